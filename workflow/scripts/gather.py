from speechsong import files

with files.reporting(snakemake.log[0]):
    files.concatenate(snakemake.input, snakemake.output[0])
