# Distances between the two domains: FAD, one job per (model, layer), for each emotion and for all pairs of emotions; and
# KAD, one job per model.


rule measure_fad:
    input:
        a=lambda wildcards: embeddings(wildcards.model, DOMAINS[0], wildcards.layer),
        b=lambda wildcards: embeddings(wildcards.model, DOMAINS[1], wildcards.layer),
    output:
        fad=[f"<results>/fad/{{model}}/layer{{layer}}/{emotion}.csv" for emotion in [*EMOTIONS, "all"]],
        left_out="<results>/fad/{model}/layer{layer}/left_out.csv",
    log:
        "<logs>/fad/{model}/layer{layer}.log",
    benchmark:
        "<benchmarks>/fad/{model}/layer{layer}.tsv"
    conda:
        "../envs/speechsong.yaml"
    # measured: 900 MB, 20 s
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        paired=PAIRED,
        code=code("measure_fad"),
    message:
        "FAD {wildcards.model}, layer {wildcards.layer}: all emotions"
    script:
        "../workflow/scripts/measure_fad.py"


use rule gather_probe as gather_fad with:
    input:
        lambda wildcards: [
            f"<results>/fad/{wildcards.model}/layer{layer}/{emotion}.csv"
            for layer in layers(wildcards.model)
            for emotion in [*EMOTIONS, "all"]
        ],
    output:
        "<results>/fad/{model}.csv",
    log:
        "<logs>/fad/{model}.log",
    benchmark:
        "<benchmarks>/fad/{model}.tsv"


use rule gather_probe as gather_left_out with:
    input:
        lambda wildcards: [
            f"<results>/fad/{wildcards.model}/layer{layer}/left_out.csv" for layer in layers(wildcards.model)
        ],
    output:
        "<results>/fad/{model}/left_out.csv",
    log:
        "<logs>/fad/{model}/left_out.log",
    benchmark:
        "<benchmarks>/fad/{model}/left_out.tsv"


rule measure_pairs:
    input:
        a=rules.measure_fad.input.a,
        b=rules.measure_fad.input.b,
    output:
        fad="<results>/fad/{model}/pairs/layer{layer}.csv",
        left_out="<results>/fad/{model}/pairs/layer{layer}_left_out.csv",
    log:
        "<logs>/fad/{model}/pairs/layer{layer}.log",
    benchmark:
        "<benchmarks>/fad/{model}/pairs/layer{layer}.tsv"
    conda:
        "../envs/speechsong.yaml"
    # measured: 940 MB, 21 s
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        paired=PAIRED,
        code=code("measure_pairs"),
    message:
        "FAD {wildcards.model}, layer {wildcards.layer}: all pairs of emotions"
    script:
        "../workflow/scripts/measure_pairs.py"


use rule gather_probe as gather_pairs_left_out with:
    input:
        lambda wildcards: [
            f"<results>/fad/{wildcards.model}/pairs/layer{layer}_left_out.csv"
            for layer in layers(wildcards.model)
        ],
    output:
        "<results>/fad/{model}/pairs_left_out.csv",
    log:
        "<logs>/fad/{model}/pairs_left_out.log",
    benchmark:
        "<benchmarks>/fad/{model}/pairs_left_out.tsv"


rule correct_pairs:
    input:
        fad=lambda wildcards: [
            f"<results>/fad/{wildcards.model}/pairs/layer{layer}.csv" for layer in layers(wildcards.model)
        ],
        left_out="<results>/fad/{model}/pairs_left_out.csv",
    output:
        "<results>/fad/{model}/pairs.csv",
    log:
        "<logs>/fad/{model}/pairs.log",
    benchmark:
        "<benchmarks>/fad/{model}/pairs.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        code=code("correct_pairs"),
    script:
        "../workflow/scripts/correct_pairs.py"


rule measure_kad:
    input:
        a=lambda wildcards: embeddings(wildcards.model, DOMAINS[0]),
        b=lambda wildcards: embeddings(wildcards.model, DOMAINS[1]),
        clips=CLIPS,
    output:
        kad="<results>/kad/{model}.csv",
        left_out="<results>/kad/{model}/left_out.csv",
        clips="<results>/kad/{model}/clips.csv",
    log:
        "<logs>/kad/{model}.log",
    benchmark:
        "<benchmarks>/kad/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    # measured with 2,000 speakers: 920 MB
    resources:
        mem_mb=growing(2000),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        paired=PAIRED,
        blocks=RUN.blocks,
        code=code("measure_kad"),
    message:
        "KAD {wildcards.model}: all layers and emotions"
    script:
        "../workflow/scripts/measure_kad.py"


rule fad:
    input:
        every("<results>/fad/{model}.csv"),
        every("<results>/fad/{model}/pairs.csv"),
    localrule: True


rule kad:
    input:
        every("<results>/kad/{model}.csv"),
    localrule: True
