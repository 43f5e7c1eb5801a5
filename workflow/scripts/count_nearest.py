import pandas as pd

from speechsong.distances import nearest
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    parts = [
        nearest.table(tables.read([fads]), tables.read([left_out]), snakemake.params.domains)
        for fads, left_out in zip(snakemake.input.fad, snakemake.input.left_out, strict=True)
    ]
    tables.write(pd.concat(parts, ignore_index=True), snakemake.output, snakemake.params.notice)
