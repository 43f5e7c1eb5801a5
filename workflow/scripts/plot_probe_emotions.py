from speechsong import figures, files, tables

with files.reporting(snakemake.log[0]):
    probes = tables.read(snakemake.input)
    probes = probes[probes["protocol"] == snakemake.wildcards.protocol]
    figure = figures.probe_emotions(probes, snakemake.params.emotions)
    figures.save(figure, snakemake.output, snakemake.params.notice)
