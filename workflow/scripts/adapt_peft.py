from pathlib import Path

import torch

from speechsong import files
from speechsong.adaptation import domains, learners, stages, training
from speechsong.corpora.readers import used
from speechsong.encoders import devices, loading
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params, config = snakemake.input, snakemake.params, snakemake.config
    stage = stages.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    recordings = used(config)
    folder = Path(inputs.encoder[0]).parent
    encoder = loading.load_entry(folder, stage.model, stage.encoder, config["device"])
    devices.report(encoder.device, encoder.precision, snakemake.resources)
    cache = 1e9 * config["adapt"]["cache_gb"]
    learnt_from = domains.recorded_domains(stage, encoder, {d: recordings[d] for d in stage.tested}, cache)
    learner = learners.peft_learner(stage, encoder)
    stamps = [*files.stamps(inputs), *params.recordings]
    training.run(stage, learner, learnt_from, params.state, stamps, dict(snakemake.output.items()))
