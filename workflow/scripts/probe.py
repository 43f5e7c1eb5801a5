from speechsong import files, probe

with files.reporting(snakemake.log[0]):
    wildcards = snakemake.wildcards
    table, predictions = probe.run(
        dict(zip(snakemake.params.emotions, snakemake.input.embeddings, strict=True)),
        snakemake.input.splits,
        probe.Settings(**snakemake.params.probe),
        {"model": wildcards.model, "domain": wildcards.domain, "layer": wildcards.layer},
    )
    files.write_rows(snakemake.output.predictions, predictions)
    files.write_rows(snakemake.output.table, table)
