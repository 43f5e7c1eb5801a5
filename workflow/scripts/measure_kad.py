from speechsong import files
from speechsong.distances import kad
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    inputs, output, params = snakemake.input, snakemake.output, snakemake.params
    a, b = params.domains
    tables = kad.run(
        {a: inputs.a, b: inputs.b},
        dict(zip(params.domains, inputs.clips, strict=True)),
        model=snakemake.wildcards.model,
        emotions=params.emotions,
        paired=params.paired,
        blocks=params.blocks,
    )
    for path, some in zip((output.kad, output.left_out, output.clips), tables, strict=True):
        files.write_rows(path, [{"model": snakemake.wildcards.model} | row for row in some])
