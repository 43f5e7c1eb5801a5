import torch

from speechsong import acoustic, corpora, embeddings, files

with files.reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    wildcards = snakemake.wildcards
    recordings = corpora.used(snakemake.config)[wildcards.domain]
    recordings = [r for r in recordings if r.emotion == wildcards.emotion]
    result = acoustic.extract(recordings, snakemake.params.blocks)
    embeddings.write(snakemake.output[0], result, 0, acoustic.attributes(wildcards.emotion))
