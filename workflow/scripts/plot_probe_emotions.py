from speechsong.logs import reporting
from speechsong.report import figures, tables

with reporting(snakemake.log[0]):
    metrics = tables.read(snakemake.input)
    metrics = metrics[metrics["protocol"] == snakemake.wildcards.protocol]
    figure = figures.probe_emotions(metrics, snakemake.params.emotions)
    figures.save(figure, snakemake.output, snakemake.params.notice)
