from speechsong import figures, files, tables

with files.reporting(snakemake.log[0]):
    counts = tables.read(snakemake.input)
    counts = counts[counts["protocol"] == snakemake.wildcards.protocol]
    figures.save(figures.confusion(counts, snakemake.params.emotions), snakemake.output, snakemake.params.notice)
