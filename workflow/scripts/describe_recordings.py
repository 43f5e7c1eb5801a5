import pandas as pd

from speechsong import files
from speechsong.corpora import lengths
from speechsong.logs import log, reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    paths = dict(zip(snakemake.params.domains, snakemake.input, strict=True))
    table = lengths.describe({domain: pd.DataFrame(files.read_rows(path)) for domain, path in paths.items()})
    for line in lengths.warnings(table):
        log.warning(line)
    tables.write(table, snakemake.output, snakemake.params.notice)
