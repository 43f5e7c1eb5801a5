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
    planned = {}
    for name, stage_params in params.stages.items():
        start = outputs[stage_params["source"]]["checkpoint"] if stage_params["target"] is not None else None
        planned[name] = stages.stage(stage_params, inputs.split, start, params.code)
    # all domains and their union, read once for all stages
    joint = next(stage for stage in planned.values() if stage.trained not in stage.tested)
    learnt_from = domains.pooled_domains(joint, {domain: inputs[f"from_{domain}"] for domain in joint.tested})
    for name, stage in planned.items():
        log.info("%s: %d epochs", name, stage.training.epochs)
        used = [*inputs, *([stage.start] if stage.start else [])]
        state = f"{params.state}/{name}.safetensors"
        learner = learners.linear_learner(stage, learnt_from)
        training.run(stage, learner, learnt_from, state, files.stamps(used), outputs[name])
