# Linear probes: one job a (model, domain, layer), all seeds and protocols in it.


rule probe:
    input:
        embeddings=[
            f"{RESULTS}/embeddings/{{model}}/{{domain}}/layer{{layer}}/{emotion}.h5" for emotion in EMOTIONS
        ],
        splits=[f"{RESULTS}/splits/{split}.csv" for split in SPLITS],
    output:
        table=f"{RESULTS}/probe/{{model}}/{{domain}}/layer{{layer}}.csv",
        predictions=f"{RESULTS}/predictions/{{model}}/probe/{{domain}}/layer{{layer}}.csv",
    log:
        f"{RESULTS}/logs/probe/{{model}}/{{domain}}/layer{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/{{model}}/{{domain}}/layer{{layer}}.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        emotions=EMOTIONS,
        probe=config["probe"],
        code=code("probe"),
    message:
        "Probe {wildcards.model}, {wildcards.domain}, layer {wildcards.layer}: all splits"
    script:
        "../workflow/scripts/probe.py"


rule gather_probe:
    input:
        lambda wildcards: [
            f"{RESULTS}/probe/{wildcards.model}/{domain}/layer{layer}.csv"
            for domain in DOMAINS
            for layer in layers(wildcards.model)
        ],
    output:
        f"{RESULTS}/probe/{{model}}.csv",
    log:
        f"{RESULTS}/logs/probe/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/{{model}}.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather"),
    script:
        "../workflow/scripts/gather.py"


localrules:
    probes,


rule probes:
    input:
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
