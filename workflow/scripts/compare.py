import pandas as pd

from speechsong.evaluation import comparisons, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    clips = dict(zip(params.domains, inputs.clips, strict=True))
    answers = predictions.read(inputs.predictions, clips, inputs.probes)
    answers = answers[answers["layer"].isin(["", "selected"])]
    found = pd.DataFrame(comparisons.compare(answers))
    tables.write(found, outputs.csv, outputs.markdown, params.notice, latex=outputs.latex)
