from speechsong.evaluation import comparisons, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    table = comparisons.leakage(predictions.read(snakemake.input.predictions))
    best, within = ("random", "speaker"), ("fit", "source", "target", "test_domain")
    tables.write(table, snakemake.output, snakemake.params.notice, best, within)
