# Encoders that are fetched from the hub, or made for the demo.

import re

ON_HUB = {str(source.folder): model for model, source in SOURCES.items() if source.kind == "hub"}
MADE = [str(source.folder) for source in SOURCES.values() if source.kind == "demo"]

if ON_HUB:

    rule fetch_encoder:
        output:
            "{folder}/config.json",
        log:
            "<logs>/encoders/{folder}.log",
        benchmark:
            "<benchmarks>/encoders/{folder}.tsv"
        wildcard_constraints:
            folder="|".join(map(re.escape, ON_HUB)),
        priority: 100
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        # all cores, so that nothing else starts before the download is complete
        threads: cores()
        params:
            encoder=lambda wildcards: ON_HUB[wildcards.folder],
        script:
            "../workflow/scripts/fetch_encoder.py"


if MADE:

    rule make_encoder:
        output:
            "{folder}/config.json",
            "{folder}/preprocessor_config.json",
            "{folder}/model.safetensors",
        log:
            "<logs>/encoders/{folder}.log",
        benchmark:
            "<benchmarks>/encoders/{folder}.tsv"
        wildcard_constraints:
            folder="|".join(map(re.escape, MADE)),
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        params:
            code=code("make_encoder"),
        script:
            "../workflow/scripts/make_encoder.py"
