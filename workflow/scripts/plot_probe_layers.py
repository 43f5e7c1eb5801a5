from speechsong.logs import reporting
from speechsong.report import figures, tables

with reporting(snakemake.log[0]):
    figure = figures.probe_layers(tables.read(snakemake.input), snakemake.params.emotions)
    figures.save(figure, snakemake.output, snakemake.params.notice)
