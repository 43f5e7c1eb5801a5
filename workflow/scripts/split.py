from speechsong import files
from speechsong.corpora import splits
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    tables = map(files.read_rows, snakemake.input.clips)
    rows = splits.split(
        dict(zip(snakemake.params.domains, tables, strict=True)),
        snakemake.wildcards.protocol,
        int(snakemake.wildcards.seed),
        fractions=snakemake.params.fractions,
        paired=snakemake.params.paired,
    )
    files.write_rows(snakemake.output[0], rows)
