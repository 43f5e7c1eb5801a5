from speechsong import figures, files, tables

with files.reporting(snakemake.log[0]):
    figure = figures.fad(tables.read(snakemake.input), snakemake.params.domains)
    figures.save(figure, snakemake.output, snakemake.params.notice)
