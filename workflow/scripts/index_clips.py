from pathlib import Path

from speechsong import files
from speechsong.corpora import index
from speechsong.corpora.readers import used
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    domain = snakemake.wildcards.domain
    unusable = Path(snakemake.log[0]).with_suffix(".exclude")
    files.write_rows(snakemake.output[0], index.index(domain, used(snakemake.config)[domain], unusable))
