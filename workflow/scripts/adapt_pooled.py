import torch

from speechsong import files
from speechsong.adaptation import domains, learners, stages, training
from speechsong.logs import log, reporting

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    inputs, params = snakemake.input, snakemake.params
    kinds = ("checkpoint", "table", "predictions")
    made = zip(*(snakemake.output[kind] for kind in kinds), strict=True)
    outputs = {name: dict(zip(kinds, paths, strict=True)) for name, paths in zip(params.stages, made, strict=True)}
    for name, stage_params in params.stages.items():
        start = outputs[stage_params["source"]]["checkpoint"] if stage_params["target"] is not None else None
        stage = stages.stage(stage_params, inputs.split, start, params.code)
        embeddings = {domain: inputs[f"from_{domain}"] for domain in stage.tested}
        used = [inputs.split, *(path for paths in embeddings.values() for path in paths), *([start] if start else [])]
        log.info("%s: %d epochs", name, stage.training.epochs)
        learnt_from = domains.pooled_domains(stage, embeddings)
        learner = learners.linear_learner(stage, learnt_from)
        state = f"{params.state}/{name}.safetensors"
        training.run(stage, learner, learnt_from, state, files.stamps(used), outputs[name])
