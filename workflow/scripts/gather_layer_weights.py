from speechsong import files
from speechsong.adaptation.layer_weights import layer_weights
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    files.write_rows(snakemake.output[0], layer_weights(snakemake.input))
