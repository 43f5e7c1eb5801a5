# From recordings to clip means and moments: one job per (model, domain, emotion), all its layers in one pass.


# one rule per encoder, because encoders differ in their number of layers and so in their outputs; the script is a
# param, because `script` is evaluated when a job runs, after the loop has ended
for model in MODELS:
    extractor = "extract_logmel" if model in LOGMEL else "extract"

    rule:
        name:
            f"extract_{model}"
        input:
            encoder=SOURCES[model].files if model in SOURCES else [],
            recordings=lambda wildcards: fetched(wildcards.domain),
        output:
            [
                f"<results>/embeddings/{model}/{{domain}}/layer{layer}/{{emotion}}.h5"
                for layer in layers(model)
            ],
        log:
            f"<logs>/embeddings/{model}/{{domain}}/{{emotion}}.log",
        benchmark:
            f"<benchmarks>/embeddings/{model}/{{domain}}/{{emotion}}.tsv"
        conda:
            "../envs/speechsong.yaml"
        threads: 1 if GPU or model in LOGMEL else threads(2)
        # measured without a GPU: 1,500 MB, 2 minutes; log-mel 660 MB, 15 s
        resources:
            **({} if model in LOGMEL else ON_GPU | READING),
            mem_mb=lambda wildcards, attempt, model=model: attempt
            * costs.extraction_megabytes(SOURCES.get(model), RUN.clips(**wildcards), len(layers(model))),
            runtime=growing(30 if model in LOGMEL else 60),
        params:
            model=model,
            encoder=targets.encoder_params(config, model),
            blocks=lambda wildcards: RUN.blocks[wildcards.domain],
            recordings=lambda wildcards: RUN.digest(wildcards.domain, wildcards.emotion),
            script=extractor,
            code=code(extractor),
        message:
            f"Extract {model}, {{wildcards.domain}}, {{wildcards.emotion}}: all layers"
        script:
            "../workflow/scripts/{params.script}.py"


# so that claims know the family of an encoder after its embeddings have been deleted
rule describe_encoder:
    input:
        lambda wildcards: embeddings(wildcards.model, DOMAINS[0], "00")[0],
    output:
        "<results>/encoders/{model}.csv",
    log:
        "<logs>/encoders/{model}.log",
    benchmark:
        "<benchmarks>/encoders/{model}.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        control=lambda wildcards: ENCODERS[wildcards.model].get("control", ""),
        code=code("describe_encoder"),
    script:
        "../workflow/scripts/describe_encoder.py"


rule embeddings:
    input:
        [path for model in MODELS for domain in DOMAINS for path in embeddings(model, domain)],
    localrule: True
