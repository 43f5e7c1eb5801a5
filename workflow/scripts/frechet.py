from speechsong import files, frechet

with files.reporting(snakemake.log[0]):
    rows = frechet.run(
        snakemake.params.domains,
        dict(zip(snakemake.params.emotions, zip(snakemake.input.a, snakemake.input.b, strict=True), strict=True)),
        paired=snakemake.params.paired,
    )
    for row, path in zip(rows, snakemake.output, strict=True):
        tuple_ = {"model": snakemake.wildcards.model, "layer": snakemake.wildcards.layer}
        files.write_rows(path, [tuple_ | row])
