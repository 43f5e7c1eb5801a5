from speechsong import files
from speechsong.distances import pairs
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    params = snakemake.params
    a, b = params.domains
    labels = {"model": snakemake.wildcards.model, "layer": int(snakemake.wildcards.layer)}
    rows, left_out = pairs.run(
        {a: snakemake.input.a, b: snakemake.input.b}, **labels, emotions=params.emotions, paired=params.paired
    )
    files.write_rows(snakemake.output.fad, [labels | row for row in rows])
    files.write_rows(snakemake.output.left_out, [labels | row for row in left_out])
