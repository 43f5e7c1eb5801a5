from speechsong.logs import reporting
from speechsong.report import figures, tables

with reporting(snakemake.log[0]):
    figure = figures.fad(tables.read(snakemake.input), snakemake.params.domains)
    figures.save(figure, snakemake.output, snakemake.params.notice)
