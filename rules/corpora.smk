# From a corpus to an index of its clips and to splits.

if "zenodo" in RUN.unfetched:

    checkpoint fetch_ravdess:
        output:
            touch(RUN.markers("zenodo")),
        log:
            "<logs>/corpora/fetch_ravdess.log",
        benchmark:
            "<benchmarks>/corpora/fetch_ravdess.tsv"
        priority: 90
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        # all cores, so that nothing else starts before the download is complete
        threads: cores()
        params:
            corpora=RUN.unfetched["zenodo"],
        script:
            "../workflow/scripts/fetch_ravdess.py"


if "demo" in RUN.unfetched:

    checkpoint synthesise_voices:
        output:
            touch(RUN.markers("demo")),
        log:
            "<logs>/corpora/synthesise_voices.log",
        benchmark:
            "<benchmarks>/corpora/synthesise_voices.tsv"
        priority: 90
        localrule: True
        conda:
            "../envs/speechsong.yaml"
        params:
            corpora=RUN.unfetched["demo"],
        script:
            "../workflow/scripts/synthesise_voices.py"


rule describe_corpus:
    output:
        "<results>/corpora/{domain}.csv",
    log:
        "<logs>/corpora/{domain}.log",
    benchmark:
        "<benchmarks>/corpora/{domain}.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        corpus=lambda wildcards: targets.corpus(config, wildcards.domain),
        code=code("describe_corpus"),
    script:
        "../workflow/scripts/describe_corpus.py"


rule index_clips:
    input:
        lambda wildcards: fetched(wildcards.domain),
    output:
        "<results>/clips/{domain}.csv",
    log:
        "<logs>/clips/{domain}.log",
    benchmark:
        "<benchmarks>/clips/{domain}.tsv"
    # first, because it opens every recording and says at once which cannot be used
    priority: 80
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        recordings=lambda wildcards: RUN.digest(wildcards.domain),
        given=lambda wildcards: RUN.given(wildcards.domain),
        code=code("index_clips"),
    message:
        "Index the clips of {wildcards.domain}"
    script:
        "../workflow/scripts/index_clips.py"


rule describe_recordings:
    input:
        CLIPS,
    output:
        **table("recordings", "Lengths and bandwidths of the recordings", "recordings", "Recordings"),
    log:
        "<logs>/tables/recordings.log",
    benchmark:
        "<benchmarks>/tables/recordings.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        notice=config["notice"],
        code=code("describe_recordings"),
    script:
        "../workflow/scripts/describe_recordings.py"


rule split:
    input:
        clips=clips_to_split,
    output:
        "<results>/splits/{protocol}-{seed}.csv",
    log:
        "<logs>/splits/{protocol}-{seed}.log",
    benchmark:
        "<benchmarks>/splits/{protocol}-{seed}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        fractions=config["split"]["fractions"],
        paired=PAIRED,
        code=code("split"),
    script:
        "../workflow/scripts/split.py"
