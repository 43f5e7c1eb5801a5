from speechsong import figures, files, tables

with files.reporting(snakemake.log[0]):
    figure = figures.leakage(tables.read(snakemake.input), snakemake.params.domains, snakemake.params.emotions)
    figures.save(figure, snakemake.output, snakemake.params.notice)
