import torch

from speechsong.corpora.readers import used
from speechsong.embeddings import extract_logmel, store
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, domain, emotion = snakemake.params, snakemake.wildcards.domain, snakemake.wildcards.emotion
    recordings = [r for r in used(snakemake.config)[domain] if r.emotion == emotion]
    embeddings = extract_logmel.extract(recordings, params.blocks)
    attributes = extract_logmel.attributes(params.model, domain, emotion)
    store.write(snakemake.output[0], embeddings, 0, attributes)
