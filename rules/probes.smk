# Linear probes: one job per (model, domain, layer), with all seeds and protocols.


rule probe:
    input:
        # the domain that is learnt, and the others, on which it is tested too
        unpack(
            lambda wildcards: targets.from_domains(
                {domain: embeddings(wildcards.model, domain, wildcards.layer) for domain in DOMAINS}
            )
        ),
        splits=[f"<results>/splits/{split}.csv" for split in SPLITS],
    output:
        table="<results>/probe/{model}/{domain}/layer{layer}.csv",
        predictions="<results>/predictions/{model}/probe/{domain}/layer{layer}.csv",
    log:
        "<logs>/probe/{model}/{domain}/layer{layer}.log",
    benchmark:
        "<benchmarks>/probe/{model}/{domain}/layer{layer}.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        probe=config["probe"],
        code=code("probe"),
    message:
        "Probe {wildcards.model}, {wildcards.domain}, layer {wildcards.layer}: all splits"
    script:
        "../workflow/scripts/probe.py"


# every rule that joins CSVs is this one with other paths
rule gather_probe:
    input:
        lambda wildcards: [
            f"<results>/probe/{wildcards.model}/{domain}/layer{layer}.csv"
            for domain in DOMAINS
            for layer in layers(wildcards.model)
        ],
    output:
        "<results>/probe/{model}.csv",
    log:
        "<logs>/probe/{model}.log",
    benchmark:
        "<benchmarks>/probe/{model}.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        code=code("gather"),
    script:
        "../workflow/scripts/gather.py"


rule probes:
    input:
        every("<results>/probe/{model}.csv"),
    localrule: True
