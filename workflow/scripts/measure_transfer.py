from speechsong import files
from speechsong.evaluation import predictions, transfer
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    table = predictions.read(snakemake.input)
    files.write_rows(snakemake.output[0], transfer.transfer(table, snakemake.params.emotions))
