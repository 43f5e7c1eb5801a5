from pathlib import Path

import torch

from speechsong import adapt, corpora, encoders, files

with files.reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params, config = snakemake.input, snakemake.params, snakemake.config
    stage = adapt.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    roles = {stage.target: inputs.get("target"), stage.source: inputs.source}
    recordings = {d: corpora.among(d, config["corpora"][d], roles[d]) for d in stage.domains}
    encoder = encoders.load(
        Path(inputs.encoder[0]).parent,
        name=stage.model,
        layers=stage.encoder["layers"],
        window_seconds=stage.encoder["window_seconds"],
        device=config["device"],
    )
    domains = adapt.recorded_domains(stage, encoder, recordings, 1e9 * config["adapt"]["cache_gb"])
    learner = adapt.peft_learner(stage, encoder)
    adapt.run(stage, learner, domains, params.state, inputs, dict(snakemake.output.items()))
