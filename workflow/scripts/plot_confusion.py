from speechsong.logs import reporting
from speechsong.report import figures, tables

with reporting(snakemake.log[0]):
    counts = tables.read(snakemake.input)
    counts = counts[counts["protocol"] == snakemake.wildcards.protocol]
    figures.save(figures.confusion(counts, snakemake.params.emotions), snakemake.output, snakemake.params.notice)
