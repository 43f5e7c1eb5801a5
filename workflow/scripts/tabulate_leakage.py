import pandas as pd

from speechsong.evaluation import predictions, scores
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    clips = dict(zip(params.domains, inputs.clips, strict=True))
    answers = predictions.read(inputs.predictions, clips, inputs.probes)
    found = pd.DataFrame(scores.leakage(answers))
    tables.write(
        found,
        outputs.csv,
        outputs.markdown,
        params.notice,
        latex=outputs.latex,
        best=("random", "speaker"),
        within=("source", "target", "test_domain"),
    )
