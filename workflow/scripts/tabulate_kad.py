from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    found, outputs = tables.read(snakemake.input), snakemake.output
    found["layer"] = found["layer"].map("{:02d}".format)
    tables.write(found, outputs.csv, outputs.markdown, snakemake.params.notice, latex=outputs.latex)
