from speechsong import files
from speechsong.evaluation import predictions, scores
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    table, emotions = predictions.read(snakemake.input), snakemake.params.emotions
    files.write_rows(snakemake.output.metrics, scores.measure(table, emotions))
    files.write_rows(snakemake.output.confusion, scores.confusion(table, emotions))
