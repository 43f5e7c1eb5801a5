from speechsong import files
from speechsong.logs import reporting
from speechsong.probes.run import run
from speechsong.probes.train import Settings

with reporting(snakemake.log[0]):
    wildcards = snakemake.wildcards
    table, predictions = run(
        dict(zip(snakemake.params.emotions, snakemake.input.embeddings, strict=True)),
        snakemake.input.splits,
        Settings(**snakemake.params.probe),
        {"model": wildcards.model, "domain": wildcards.domain, "layer": wildcards.layer},
    )
    files.write_rows(snakemake.output.predictions, predictions)
    files.write_rows(snakemake.output.table, table)
