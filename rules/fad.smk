# Fréchet audio distance between the two domains: one job a (model, layer), all emotions in it.


rule frechet:
    input:
        a=[f"{RESULTS}/embeddings/{{model}}/{DOMAINS[0]}/layer{{layer}}/{emotion}.h5" for emotion in EMOTIONS],
        b=[f"{RESULTS}/embeddings/{{model}}/{DOMAINS[1]}/layer{{layer}}/{emotion}.h5" for emotion in EMOTIONS],
    output:
        [f"{RESULTS}/fad/{{model}}/layer{{layer}}/{emotion}.csv" for emotion in [*EMOTIONS, "all"]],
    log:
        f"{RESULTS}/logs/fad/{{model}}/layer{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fad/{{model}}/layer{{layer}}.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        paired=PAIRED,
        code=code("frechet"),
    message:
        "FAD {wildcards.model}, layer {wildcards.layer}: all emotions"
    script:
        "../workflow/scripts/frechet.py"


rule gather_fad:
    input:
        lambda wildcards: [
            f"{RESULTS}/fad/{wildcards.model}/layer{layer}/{emotion}.csv"
            for layer in layers(wildcards.model)
            for emotion in [*EMOTIONS, "all"]
        ],
    output:
        f"{RESULTS}/fad/{{model}}.csv",
    log:
        f"{RESULTS}/logs/fad/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fad/{{model}}.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather"),
    script:
        "../workflow/scripts/gather.py"


localrules:
    fad,


rule fad:
    input:
        [f"{RESULTS}/fad/{model}.csv" for model in MODELS],
