from speechsong import files
from speechsong.distances import kad
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    inputs, params, model = snakemake.input, snakemake.params, snakemake.wildcards.model
    a, b = params.domains
    clips = dict(zip(params.domains, inputs.clips, strict=True))
    rows = kad.run({a: inputs.a, b: inputs.b}, clips, model=model, emotions=params.emotions, paired=params.paired)
    files.write_rows(snakemake.output[0], [{"model": model} | row for row in rows])
