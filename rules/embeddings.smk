# From recordings to clip means and moments: one job a (model, domain, emotion), all its layers in one pass.

if HUB:

    rule fetch_encoder:
        output:
            "{folder}/config.json",
        log:
            f"{RESULTS}/logs/encoders/{{folder}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/encoders/{{folder}}.tsv"
        wildcard_constraints:
            folder="|".join(re.escape(str(folder)) for folder in HUB.values()),
        priority: 100
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        # nothing else starts before what is missing is there
        threads: cores()
        params:
            encoder=lambda wildcards: next(m for m, folder in HUB.items() if str(folder) == wildcards.folder),
        script:
            "../workflow/scripts/fetch_encoder.py"


if DEMO:

    rule make_encoder:
        output:
            "{folder}/config.json",
            "{folder}/preprocessor_config.json",
            "{folder}/model.safetensors",
        log:
            f"{RESULTS}/logs/encoders/{{folder}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/encoders/{{folder}}.tsv"
        wildcard_constraints:
            folder="|".join(map(re.escape, DEMO)),
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        params:
            code=code("make_encoder"),
        script:
            "../workflow/scripts/make_encoder.py"


if ACOUSTIC:

    rule extract_logmel:
        input:
            recordings=lambda wildcards: fetched(wildcards.domain),
        output:
            f"{RESULTS}/embeddings/{{model}}/{{domain}}/layer00/{{emotion}}.h5",
        log:
            f"{RESULTS}/logs/embeddings/{{model}}/{{domain}}/{{emotion}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/embeddings/{{model}}/{{domain}}/{{emotion}}.tsv"
        wildcard_constraints:
            model="|".join(ACOUSTIC),
        conda:
            "../envs/speechsong.yaml"
        # measured: 660 MB, 15 s
        resources:
            mem_mb=growing(1500),
            runtime=growing(30),
        params:
            blocks=lambda wildcards: RUN.blocks[wildcards.domain],
            recordings=lambda wildcards: digest(wildcards.domain, wildcards.emotion),
            code=code("extract_logmel"),
        message:
            "Extract {wildcards.model}, {wildcards.domain}, {wildcards.emotion}: log-mel frames"
        script:
            "../workflow/scripts/extract_logmel.py"


# a rule an encoder: they differ in their number of layers, and so in their outputs
for model in [model for model in MODELS if model not in ACOUSTIC]:

    rule:
        name:
            f"extract_{model}"
        input:
            checkpoint=encoder_files(model),
            recordings=lambda wildcards: fetched(wildcards.domain),
        output:
            [
                f"{RESULTS}/embeddings/{model}/{{domain}}/layer{layer}/{{emotion}}.h5"
                for layer in layers(model)
            ],
        log:
            f"{RESULTS}/logs/embeddings/{model}/{{domain}}/{{emotion}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/embeddings/{model}/{{domain}}/{{emotion}}.tsv"
        conda:
            "../envs/speechsong.yaml"
        threads: 1 if GPU else threads(2)
        # measured without a GPU: 1,500 MB, 2 minutes
        resources:
            **ON_GPU,
            mem_mb=extraction_megabytes(model),
            runtime=growing(60),
        params:
            model=model,
            encoder=ENCODERS[model],
            blocks=lambda wildcards: RUN.blocks[wildcards.domain],
            recordings=lambda wildcards: digest(wildcards.domain, wildcards.emotion),
            code=code("extract"),
        message:
            f"Extract {model}, {{wildcards.domain}}, {{wildcards.emotion}}: all layers"
        script:
            "../workflow/scripts/extract.py"


localrules:
    embeddings,


rule embeddings:
    input:
        [path for model in MODELS for domain in DOMAINS for path in embedding_files(model, domain)],
