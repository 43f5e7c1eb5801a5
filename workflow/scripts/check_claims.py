from speechsong.evaluation import claims, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    table = claims.check(
        predictions.read(inputs.predictions),
        tables.read(inputs.probes),
        tables.read(inputs.fad),
        tables.read(inputs.left_out),
        claims.known_encoders(tables.read(inputs.encoders), params.pretrained_on),
        params.domains,
        params.sides,
        params.emotions,
        params.paper,
    )
    tables.write(table, snakemake.output, params.notice)
