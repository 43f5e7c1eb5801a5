import pandas as pd

from speechsong.distances import ranking
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    fads, left_out = tables.read(snakemake.input.fad), tables.read(snakemake.input.left_out)
    parts = [ranking.table(rows, left_out[left_out["model"] == m]) for m, rows in fads.groupby("model", sort=False)]
    table = pd.concat(parts, ignore_index=True)
    closest = {(row, "fad_corrected") for row in table[table["rank"] == 1].index}
    tables.write(table, snakemake.output, snakemake.params.notice, bold=closest)
