from pathlib import Path

import torch

from speechsong.corpora.readers import used
from speechsong.embeddings import extract, store
from speechsong.encoders import devices, loading
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, domain, emotion = snakemake.params, snakemake.wildcards.domain, snakemake.wildcards.emotion
    recordings = [r for r in used(snakemake.config)[domain] if r.emotion == emotion]
    folder = Path(snakemake.input.encoder[0]).parent
    encoder = loading.load_entry(folder, params.model, params.encoder, snakemake.config["device"])
    devices.report(encoder.device, encoder.precision, snakemake.resources)
    embeddings = extract.extract(encoder, recordings, params.blocks)
    attributes = extract.attributes(encoder, params.encoder, domain, emotion)
    for layer, path in enumerate(snakemake.output):
        store.write(path, embeddings, layer, attributes)
