from speechsong import files
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    files.concatenate(snakemake.input, snakemake.output[0])
