from speechsong.evaluation import paper
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    found = paper.beside(tables.read([inputs.probes]), tables.read([inputs.adapted]), params.paper)
    tables.write(found, outputs.csv, outputs.markdown, params.notice, latex=outputs.latex)
