from speechsong.evaluation import claims, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    table = claims.check(
        predictions.read(inputs.predictions),
        tables.read(inputs.fad),
        tables.read(inputs.left_out),
        tables.read([inputs.comparisons]),
        params.domains,
        params.paper,
    )
    tables.write(table, snakemake.output, params.notice)
