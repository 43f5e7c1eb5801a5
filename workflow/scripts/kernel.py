from speechsong import files, kernel

with files.reporting(snakemake.log[0]):
    params = snakemake.params
    pairs = iter(zip(snakemake.input.a, snakemake.input.b, strict=True))
    layers = {layer: {emotion: next(pairs) for emotion in params.emotions} for layer in params.layers}
    rows = kernel.run(params.domains, layers, snakemake.input.clips, paired=params.paired)
    files.write_rows(snakemake.output[0], [{"model": snakemake.wildcards.model} | row for row in rows])
