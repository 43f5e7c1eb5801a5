# Encoders that are pre-trained here, on the recordings of any corpora of the catalogue.

PRETRAINED = {model: targets.pretrain_params(config, model) for model in configuration.pretrained(config)}

if PRETRAINED:

    rule pretrain:
        input:
            lambda wildcards: fetched(*PRETRAINED[wildcards.model]["domains"]),
        output:
            expand("<results>/encoders/{{model}}/{file}", file=saving.FILES),
            curve="<results>/encoders/{model}/curve.csv",
        log:
            "<logs>/encoders/{model}/pretrain.log",
        benchmark:
            "<benchmarks>/encoders/{model}/pretrain.tsv"
        wildcard_constraints:
            model="|".join(PRETRAINED),
        conda:
            "../envs/speechsong.yaml"
        threads: 1 if GPU else threads(4)
        resources:
            **ON_GPU,
            mem_mb=growing(8000),
            runtime=growing(1440),
        params:
            settings=lambda wildcards: PRETRAINED[wildcards.model],
            precision=config["precision"],
            recordings=lambda wildcards: RUN.pretraining_digest(wildcards.model),
            state=f"{RESULTS}/state/{{model}}/pretrain.safetensors",
            code=code("pretrain"),
        message:
            "Pre-train {wildcards.model}"
        script:
            "../workflow/scripts/pretrain.py"
