from speechsong import clips, corpora, files

with files.reporting(snakemake.log[0]):
    domain = snakemake.wildcards.domain
    recordings = corpora.among(domain, snakemake.config["corpora"][domain], snakemake.input)
    files.write_rows(snakemake.output[0], clips.index(domain, recordings))
