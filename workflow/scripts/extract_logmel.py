import torch

from speechsong.corpora.readers import used
from speechsong.embeddings import extract_logmel, store
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    wildcards = snakemake.wildcards
    recordings = used(snakemake.config)[wildcards.domain]
    recordings = [r for r in recordings if r.emotion == wildcards.emotion]
    result = extract_logmel.extract(recordings, snakemake.params.blocks)
    store.write(snakemake.output[0], result, 0, extract_logmel.attributes(wildcards.emotion))
