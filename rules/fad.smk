# Distances between the two domains. Fréchet audio distance: one job a (model, layer), all emotions in it. Kernel audio
# distance, which is cheap: one job a model.


rule frechet:
    input:
        a=[f"{RESULTS}/embeddings/{{model}}/{DOMAINS[0]}/layer{{layer}}/{emotion}.h5" for emotion in EMOTIONS],
        b=[f"{RESULTS}/embeddings/{{model}}/{DOMAINS[1]}/layer{{layer}}/{emotion}.h5" for emotion in EMOTIONS],
    output:
        fad=[f"{RESULTS}/fad/{{model}}/layer{{layer}}/{emotion}.csv" for emotion in [*EMOTIONS, "all"]],
        left_out=f"{RESULTS}/fad/{{model}}/layer{{layer}}/left_out.csv",
    log:
        f"{RESULTS}/logs/fad/{{model}}/layer{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fad/{{model}}/layer{{layer}}.tsv"
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


rule gather_left_out:
    input:
        lambda wildcards: [
            f"{RESULTS}/fad/{wildcards.model}/layer{layer}/left_out.csv" for layer in layers(wildcards.model)
        ],
    output:
        f"{RESULTS}/fad/{{model}}/left_out.csv",
    log:
        f"{RESULTS}/logs/fad/{{model}}/left_out.log",
    benchmark:
        f"{RESULTS}/benchmarks/fad/{{model}}/left_out.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather"),
    script:
        "../workflow/scripts/gather.py"


rule rank_fad:
    input:
        fad=[f"{RESULTS}/fad/{model}.csv" for model in MODELS],
        left_out=[f"{RESULTS}/fad/{model}/left_out.csv" for model in MODELS],
    output:
        csv=report(
            f"{RESULTS}/tables/fad.csv",
            caption="../workflow/report/fad_table.rst",
            category="Distances",
            labels={"result": TITLES["fad_table"]},
        ),
        markdown=f"{RESULTS}/tables/fad.md",
        latex=f"{RESULTS}/tables/fad.tex",
    log:
        f"{RESULTS}/logs/tables/fad.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/fad.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("rank_fad"),
    script:
        "../workflow/scripts/rank_fad.py"


rule kernel:
    input:
        a=lambda wildcards: embedding_files(wildcards.model, DOMAINS[0]),
        b=lambda wildcards: embedding_files(wildcards.model, DOMAINS[1]),
        clips=CLIPS,
    output:
        f"{RESULTS}/kad/{{model}}.csv",
    log:
        f"{RESULTS}/logs/kad/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/kad/{{model}}.tsv"
    conda:
        "../envs/speechsong.yaml"
    # measured: 280 MB, 20 s
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        layers=lambda wildcards: layers(wildcards.model),
        paired=PAIRED,
        code=code("measure_kad"),
    message:
        "KAD {wildcards.model}: all layers and emotions"
    script:
        "../workflow/scripts/measure_kad.py"


rule tabulate_kad:
    input:
        [f"{RESULTS}/kad/{model}.csv" for model in MODELS],
    output:
        csv=report(
            f"{RESULTS}/tables/kad.csv",
            caption="../workflow/report/kad.rst",
            category="Distances",
            labels={"result": TITLES["kad"]},
        ),
        markdown=f"{RESULTS}/tables/kad.md",
        latex=f"{RESULTS}/tables/kad.tex",
    log:
        f"{RESULTS}/logs/tables/kad.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/kad.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("tabulate_kad"),
    script:
        "../workflow/scripts/tabulate_kad.py"


localrules:
    fad,
    kad,


rule fad:
    input:
        [f"{RESULTS}/fad/{model}.csv" for model in MODELS],


rule kad:
    input:
        [f"{RESULTS}/kad/{model}.csv" for model in MODELS],
