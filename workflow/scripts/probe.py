from speechsong import files
from speechsong.logs import reporting
from speechsong.probes.run import run
from speechsong.probes.train import Settings

with reporting(snakemake.log[0]):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    table, predictions = run(
        {domain: inputs[f"from_{domain}"] for domain in params.domains},
        inputs.splits,
        Settings(**{key: value for key, value in params.probe.items() if key != "fit"}),
        params.probe["fit"],
        model=wildcards.model,
        domain=wildcards.domain,
        layer=int(wildcards.layer),
        emotions=params.emotions,
    )
    files.write_rows(snakemake.output.predictions, predictions)
    files.write_rows(snakemake.output.table, table)
