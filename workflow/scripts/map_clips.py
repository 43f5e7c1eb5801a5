from speechsong import files
from speechsong.evaluation import clip_map
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    a, b = params.domains
    rows = clip_map.clip_map(
        {a: inputs.a, b: inputs.b},
        inputs.probes,
        model=snakemake.wildcards.model,
        emotions=params.emotions,
        protocol=params.protocol,
        fit=params.fit,
    )
    files.write_rows(snakemake.output[0], rows)
