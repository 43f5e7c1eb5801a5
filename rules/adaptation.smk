# Two-stage adaptation: one job per stage of peft; the stages of baseline and ws take seconds, and share a job. All stages
# two that start from a domain share its stage one.

ADAPTED = [model for model in MODELS if targets.approaches(config, model)]
# those whose layers get learnt weights
WEIGHTED = [model for model in ADAPTED if targets.approaches(config, model) != ["baseline"]]


rule adapt_pooled:
    input:
        unpack(stage(targets.pooled_files)),
    output:
        checkpoint=every_direction(
            "<results>/checkpoints/{model}/{approach}/{protocol}-{seed}/{direction}.safetensors"
        ),
        description=every_direction(
            "<results>/checkpoints/{model}/{approach}/{protocol}-{seed}/{direction}.json"
        ),
        table=every_direction("<results>/adapt/{model}/{approach}/{protocol}-{seed}/{direction}.csv"),
        predictions=every_direction(
            "<results>/predictions/{model}/{approach}/{protocol}-{seed}/{direction}.csv"
        ),
    log:
        "<logs>/adapt/{model}/{approach}/{protocol}-{seed}.log",
    benchmark:
        "<benchmarks>/adapt/{model}/{approach}/{protocol}-{seed}.tsv"
    wildcard_constraints:
        approach="baseline|ws",
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        stages=stage(targets.pooled_params),
        state=f"{RESULTS}/state/{{model}}/{{approach}}/{{protocol}}-{{seed}}",
        code=code("adapt_pooled"),
    message:
        "Adapt {wildcards.model}, {wildcards.approach}, {wildcards.protocol}-{wildcards.seed}"
    script:
        "../workflow/scripts/adapt_pooled.py"


rule adapt_peft:
    input:
        unpack(stage(targets.stage_files)),
        recordings=lambda wildcards: fetched(*stage(targets.stage_params)(wildcards)["tested"]),
        encoder=lambda wildcards: SOURCES[wildcards.model].files,
    output:
        checkpoint="<results>/checkpoints/{model}/{approach}/{protocol}-{seed}/{direction}.safetensors",
        description="<results>/checkpoints/{model}/{approach}/{protocol}-{seed}/{direction}.json",
        table="<results>/adapt/{model}/{approach}/{protocol}-{seed}/{direction}.csv",
        predictions="<results>/predictions/{model}/{approach}/{protocol}-{seed}/{direction}.csv",
    log:
        "<logs>/adapt/{model}/{approach}/{protocol}-{seed}/{direction}.log",
    benchmark:
        "<benchmarks>/adapt/{model}/{approach}/{protocol}-{seed}/{direction}.tsv"
    wildcard_constraints:
        approach=r"peft(-\w+)?",
    conda:
        "../envs/speechsong.yaml"
    threads: 1 if GPU else threads(4)
    resources:
        **ON_GPU,
        mem_mb=growing(8000 + round(1000 * config["adapt"]["cache_gb"])),
        runtime=growing(1440),
    params:
        stage=stage(targets.stage_params),
        recordings=lambda wildcards: [RUN.digest(d) for d in stage(targets.stage_params)(wildcards)["tested"]],
        state=f"{RESULTS}/state/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        code=code("adapt_peft"),
    message:
        "Adapt {wildcards.model}, {wildcards.approach}, {wildcards.protocol}-{wildcards.seed}: {wildcards.direction}"
    script:
        "../workflow/scripts/adapt_peft.py"


use rule gather_probe as gather_adapt with:
    input:
        lambda wildcards: [
            f"<results>/adapt/{wildcards.model}/{stage}.csv"
            for stage in targets.stages(config, wildcards.model)
        ],
    output:
        "<results>/adapt/{model}.csv",
    log:
        "<logs>/adapt/{model}.log",
    benchmark:
        "<benchmarks>/adapt/{model}.tsv"
    wildcard_constraints:
        model="|".join(ADAPTED),


rule gather_layer_weights:
    input:
        lambda wildcards: [
            f"<results>/checkpoints/{wildcards.model}/{stage}.safetensors"
            for stage in targets.stages(config, wildcards.model)
            if not stage.startswith("baseline/")
        ],
    output:
        "<results>/layer_weights/{model}.csv",
    log:
        "<logs>/layer_weights/{model}.log",
    benchmark:
        "<benchmarks>/layer_weights/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather_layer_weights"),
    script:
        "../workflow/scripts/gather_layer_weights.py"


rule adapt:
    input:
        CORPORA,
        every("<results>/adapt/{model}.csv", ADAPTED),
    localrule: True
