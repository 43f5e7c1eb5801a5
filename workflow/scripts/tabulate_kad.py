from speechsong import files, tables

with files.reporting(snakemake.log[0]):
    found, outputs = tables.read(snakemake.input), snakemake.output
    found["layer"] = found["layer"].map("{:02d}".format)
    tables.write(found, outputs.csv, outputs.markdown, snakemake.params.notice, latex=outputs.latex)
