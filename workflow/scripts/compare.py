import pandas as pd

from speechsong.evaluation import comparisons, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    rows = comparisons.compare(predictions.read(snakemake.input.predictions))
    tables.write(pd.DataFrame(rows), snakemake.output, snakemake.params.notice)
