from speechsong import files
from speechsong.evaluation import predictions, similarity
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    rows, points = similarity.similarity(
        predictions.read([inputs.predictions]),
        {name: (tables.read([inputs[name]]), tables.read([inputs[f"{name}_left_out"]])) for name in ("fad", "kad")},
        params.blocks,
        params.emotions,
    )
    files.write_rows(snakemake.output.correlations, rows)
    files.write_rows(snakemake.output.points, points)
