from speechsong.evaluation import paper
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    table = paper.beside(tables.read([inputs.probes]), tables.read([inputs.adapted]), params.paper)
    tables.write(table, snakemake.output, params.notice)
