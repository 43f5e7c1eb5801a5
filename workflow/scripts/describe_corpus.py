from speechsong import files
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    row = {"domain": snakemake.wildcards.domain, "corpus": snakemake.params.corpus}
    files.write_rows(snakemake.output[0], [row])
