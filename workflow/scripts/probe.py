from speechsong import files
from speechsong.logs import reporting
from speechsong.probes.run import run
from speechsong.probes.train import Settings

with reporting(snakemake.log[0]):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    table, predictions = run(
        inputs.embeddings,
        inputs.splits,
        Settings(**params.probe),
        model=wildcards.model,
        domain=wildcards.domain,
        layer=int(wildcards.layer),
        emotions=params.emotions,
    )
    files.write_rows(snakemake.output.predictions, predictions)
    files.write_rows(snakemake.output.table, table)
