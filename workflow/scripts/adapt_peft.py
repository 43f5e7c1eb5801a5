from pathlib import Path

import torch

from speechsong import adapt, corpora, encoders, files

with files.reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params, config = snakemake.input, snakemake.params, snakemake.config
    stage = adapt.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    used = corpora.used(config)
    recordings = {domain: used[domain] for domain in stage.domains}
    encoder = encoders.load(
        Path(inputs.encoder[0]).parent,
        name=stage.model,
        layers=stage.encoder["layers"],
        window_seconds=stage.encoder["window_seconds"],
        device=config["device"],
        random=stage.encoder.get("control") == "random",
    )
    encoders.report_device(encoder, snakemake.resources.gpu)
    domains = adapt.recorded_domains(stage, encoder, recordings, 1e9 * config["adapt"]["cache_gb"])
    learner = adapt.peft_learner(stage, encoder)
    about = [*files.stamps(inputs), *params.recordings]
    adapt.run(stage, learner, domains, params.state, about, dict(snakemake.output.items()))
