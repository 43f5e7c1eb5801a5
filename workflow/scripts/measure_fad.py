from speechsong import files
from speechsong.distances import fad
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    rows, left_out = fad.run(
        snakemake.params.domains,
        dict(zip(snakemake.params.emotions, zip(snakemake.input.a, snakemake.input.b, strict=True), strict=True)),
        paired=snakemake.params.paired,
    )
    tuple_ = {"model": snakemake.wildcards.model, "layer": snakemake.wildcards.layer}
    files.write_rows(snakemake.output.left_out, [tuple_ | row for row in left_out])
    for row, path in zip(rows, snakemake.output.fad, strict=True):
        files.write_rows(path, [tuple_ | row])
