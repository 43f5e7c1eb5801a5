import pandas as pd

from speechsong import evaluation, files, tables

with files.reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    clips = dict(zip(params.domains, inputs.clips, strict=True))
    predictions = evaluation.read(inputs.predictions, clips, inputs.probes)
    found = pd.DataFrame(evaluation.leakage(predictions))
    tables.write(
        found,
        outputs.csv,
        outputs.markdown,
        params.notice,
        latex=outputs.latex,
        best=("random", "speaker"),
        within=("source", "target", "test_domain"),
    )
