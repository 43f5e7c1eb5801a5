from pathlib import Path

import torch

from speechsong import corpora, embeddings, encoders, files

with files.reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    wildcards, params = snakemake.wildcards, snakemake.params
    recordings = corpora.used(snakemake.config)[wildcards.domain]
    recordings = [r for r in recordings if r.emotion == wildcards.emotion]
    encoder = encoders.load(
        Path(snakemake.input.checkpoint[0]).parent,
        name=params.model,
        layers=params.encoder["layers"],
        window_seconds=params.encoder["window_seconds"],
        device=snakemake.config["device"],
        random=params.encoder.get("control") == "random",
    )
    encoders.report_device(encoder, snakemake.resources.gpu)
    result = embeddings.extract(encoder, recordings, params.blocks)
    attributes = embeddings.attributes(encoder, params.encoder, wildcards.emotion)
    for layer, path in enumerate(snakemake.output):
        embeddings.write(path, result, layer, attributes)
