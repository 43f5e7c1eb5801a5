from speechsong import figures, files, tables

with files.reporting(snakemake.log[0]):
    figure = figures.probe_layers(tables.read(snakemake.input), snakemake.params.emotions)
    figures.save(figure, snakemake.output, snakemake.params.notice)
