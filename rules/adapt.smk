# Two-stage adaptation: one job a stage. Stage one of a domain serves its own row and every stage two that starts there.


rule adapt_pooled:
    input:
        unpack(adaptation_inputs),
        unpack(adaptation_embeddings),
    output:
        checkpoint=f"{RESULTS}/checkpoints/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        description=f"{RESULTS}/checkpoints/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.json",
        table=f"{RESULTS}/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.csv",
        predictions=f"{RESULTS}/predictions/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.csv",
    log:
        f"{RESULTS}/logs/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.tsv"
    wildcard_constraints:
        approach="baseline|ws",
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        stage=adaptation,
        state=f"{RESULTS}/state/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        code=code("adapt_pooled"),
    message:
        "Adapt {wildcards.model}, {wildcards.approach}, {wildcards.protocol}-{wildcards.seed}: {wildcards.direction}"
    script:
        "../workflow/scripts/adapt_pooled.py"


rule adapt_peft:
    input:
        unpack(adaptation_inputs),
        recordings=lambda wildcards: fetched(*DIRECTIONS[wildcards.direction]),
        encoder=lambda wildcards: encoder_files(wildcards.model),
    output:
        checkpoint=f"{RESULTS}/checkpoints/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        description=f"{RESULTS}/checkpoints/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.json",
        table=f"{RESULTS}/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.csv",
        predictions=f"{RESULTS}/predictions/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.csv",
    log:
        f"{RESULTS}/logs/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adapt/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.tsv"
    wildcard_constraints:
        approach="peft",
    conda:
        "../envs/speechsong.yaml"
    threads: 1 if GPU else threads(4)
    resources:
        **ON_GPU,
        mem_mb=growing(8000 + round(1000 * config["adapt"]["cache_gb"])),
        runtime=growing(1440),
    params:
        stage=adaptation,
        recordings=adaptation_recordings,
        state=f"{RESULTS}/state/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        code=code("adapt_peft"),
    message:
        "Adapt {wildcards.model}, {wildcards.approach}, {wildcards.protocol}-{wildcards.seed}: {wildcards.direction}"
    script:
        "../workflow/scripts/adapt_peft.py"


rule gather_adapt:
    input:
        lambda wildcards: [
            f"{RESULTS}/adapt/{wildcards.model}/{stage}.csv" for stage in stages(wildcards.model)
        ],
    output:
        f"{RESULTS}/adapt/{{model}}.csv",
    log:
        f"{RESULTS}/logs/adapt/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adapt/{{model}}.tsv"
    wildcard_constraints:
        model="|".join(model for model in MODELS if approaches(model)),
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather"),
    script:
        "../workflow/scripts/gather.py"


localrules:
    adapt,


rule adapt:
    input:
        [f"{RESULTS}/adapt/{model}.csv" for model in MODELS if approaches(model)],
