import torch

from speechsong import files
from speechsong.adaptation import domains, learners, stages, training
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params = snakemake.input, snakemake.params
    stage = stages.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    # the control has the same source and target
    embeddings = {stage.source: inputs.source, stage.target: inputs.get("target")}
    learnt_from = domains.pooled_domains(stage, {domain: embeddings[domain] for domain in stage.domains})
    learner = learners.linear_learner(stage, learnt_from)
    training.run(stage, learner, learnt_from, params.state, files.stamps(inputs), dict(snakemake.output.items()))
