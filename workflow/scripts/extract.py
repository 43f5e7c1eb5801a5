from pathlib import Path

import torch

from speechsong.corpora.readers import used
from speechsong.embeddings import extract, store
from speechsong.encoders import loading
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    wildcards, params = snakemake.wildcards, snakemake.params
    recordings = used(snakemake.config)[wildcards.domain]
    recordings = [r for r in recordings if r.emotion == wildcards.emotion]
    encoder = loading.load(
        Path(snakemake.input.checkpoint[0]).parent,
        name=params.model,
        layers=params.encoder["layers"],
        window_seconds=params.encoder["window_seconds"],
        device=snakemake.config["device"],
        random=params.encoder.get("control") == "random",
    )
    loading.report_device(encoder, snakemake.resources.gpu)
    result = extract.extract(encoder, recordings, params.blocks)
    attributes = extract.attributes(encoder, params.encoder, wildcards.emotion)
    for layer, path in enumerate(snakemake.output):
        store.write(path, result, layer, attributes)
