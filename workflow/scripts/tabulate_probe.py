from speechsong import files, tables

with files.reporting(snakemake.log[0]):
    summary = tables.best_and_worst(tables.read(snakemake.input))
    tables.write(summary, snakemake.output.csv, snakemake.output.markdown, snakemake.params.notice)
