from speechsong import files
from speechsong.embeddings import store
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    keys = {"model": snakemake.wildcards.model, "control": snakemake.params.control}
    files.write_rows(snakemake.output[0], [keys | store.read_maker(snakemake.input[0])])
