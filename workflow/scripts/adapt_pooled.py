import torch

from speechsong import files
from speechsong.adaptation import domains, learners, stages, training
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params = snakemake.input, snakemake.params
    stage = stages.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    learnt_from = domains.pooled_domains(stage, {domain: inputs[f"from_{domain}"] for domain in stage.tested})
    learner = learners.linear_learner(stage, learnt_from)
    training.run(stage, learner, learnt_from, params.state, files.stamps(inputs), dict(snakemake.output.items()))
