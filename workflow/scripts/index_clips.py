from speechsong import clips, corpora, files

with files.reporting(snakemake.log[0]):
    domain = snakemake.wildcards.domain
    files.write_rows(snakemake.output[0], clips.index(domain, corpora.used(snakemake.config)[domain]))
