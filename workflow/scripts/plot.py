from speechsong.logs import reporting
from speechsong.report import figures, style, tables

with reporting(snakemake.log[0]):
    params = snakemake.params
    table = tables.read(snakemake.input)
    for column, value in [*snakemake.wildcards.items(), *params.where.items()]:
        table = table[table[column] == value]
    # params.figure is the name of a function
    figure = getattr(figures, params.figure)(table, params.domains, params.emotions)
    style.save(figure, snakemake.output, params.notice)
