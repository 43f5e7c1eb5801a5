from speechsong import files
from speechsong.distances import kad
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    params = snakemake.params
    pairs = iter(zip(snakemake.input.a, snakemake.input.b, strict=True))
    layers = {layer: {emotion: next(pairs) for emotion in params.emotions} for layer in params.layers}
    rows = kad.run(params.domains, layers, snakemake.input.clips, paired=params.paired)
    files.write_rows(snakemake.output[0], [{"model": snakemake.wildcards.model} | row for row in rows])
