import pandas as pd

from speechsong.distances import ranking
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    fads, left_out = tables.read(snakemake.input.fad), tables.read(snakemake.input.left_out)
    parts = [ranking.table(some, left_out[left_out["model"] == m]) for m, some in fads.groupby("model", sort=False)]
    found = pd.concat(parts, ignore_index=True)
    outputs = snakemake.output
    closest = {(row, "fad_corrected") for row in found.index[found["rank"] == "1"]}
    tables.write(found, outputs.csv, outputs.markdown, snakemake.params.notice, latex=outputs.latex, bold=closest)
