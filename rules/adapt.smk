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
        mem_mb=2000,
        runtime=30,
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
        unpack(adaptation_recordings),
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
    threads: 1 if GPU else max(1, min(4, cores() // 2))
    resources:
        gpu=GPU,
        mem_mb=8000 + round(1000 * config["adapt"]["cache_gb"]),
        runtime=1440,
    params:
        stage=adaptation,
        state=f"{RESULTS}/state/{{model}}/{{approach}}/{{protocol}}-{{seed}}/{{direction}}.safetensors",
        code=code("adapt_peft"),
    message:
        "Adapt {wildcards.model}, {wildcards.approach}, {wildcards.protocol}-{wildcards.seed}: {wildcards.direction}"
    script:
        "../workflow/scripts/adapt_peft.py"


rule gather_adapt:
    input:
        lambda wildcards: [
            f"{RESULTS}/adapt/{wildcards.model}/{approach}/{protocol}-{seed}/{direction}.csv"
            for approach in config["adapt"]["approaches"]
            for protocol in config["adapt"]["protocols"]
            for seed in config["adapt"]["seeds"]
            for direction in DIRECTIONS
        ],
    output:
        f"{RESULTS}/adapt/{{model}}.csv",
    log:
        f"{RESULTS}/logs/adapt/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adapt/{{model}}.tsv"
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
        [f"{RESULTS}/adapt/{model}.csv" for model in MODELS],
