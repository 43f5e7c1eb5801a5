from pathlib import Path

import torch

from speechsong import files
from speechsong.adaptation import domains, learners, stages, training
from speechsong.corpora.readers import used
from speechsong.encoders import loading
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params, config = snakemake.input, snakemake.params, snakemake.config
    stage = stages.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    used = used(config)
    recordings = {domain: used[domain] for domain in stage.domains}
    encoder = loading.load(
        Path(inputs.encoder[0]).parent,
        name=stage.model,
        layers=stage.encoder["layers"],
        window_seconds=stage.encoder["window_seconds"],
        device=config["device"],
        random=stage.encoder.get("control") == "random",
    )
    loading.report_device(encoder, snakemake.resources.gpu)
    learnt_from = domains.recorded_domains(stage, encoder, recordings, 1e9 * config["adapt"]["cache_gb"])
    learner = learners.peft_learner(stage, encoder)
    about = [*files.stamps(inputs), *params.recordings]
    training.run(stage, learner, learnt_from, params.state, about, dict(snakemake.output.items()))
