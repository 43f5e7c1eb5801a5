# Statistics of the predictions, with intervals over speakers; `task` is probe or adapt.


rule gather_predictions:
    input:
        predictions=lambda wildcards: targets.predictions(config, **wildcards),
        probes=lambda wildcards: (
            [f"<results>/probe/{wildcards.model}.csv"] if wildcards.task == "probe" else []
        ),
        clips=CLIPS,
    output:
        "<results>/predictions/{model}/{task}.csv",
    log:
        "<logs>/predictions/{model}/{task}.log",
    benchmark:
        "<benchmarks>/predictions/{model}/{task}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        code=code("gather_predictions"),
    script:
        "../workflow/scripts/gather_predictions.py"


# separate by task, so that targets that need only probes do not run adaptation
use rule gather_probe as gather_tasks with:
    input:
        lambda wildcards: [
            f"<results>/predictions/{wildcards.model}/{task}.csv"
            for task in TASKS
            if task == "probe" or wildcards.model in ADAPTED
        ],
    output:
        "<results>/predictions/{model}.csv",
    log:
        "<logs>/predictions/{model}.log",
    benchmark:
        "<benchmarks>/predictions/{model}.tsv"


rule evaluate:
    input:
        "<results>/predictions/{model}/{task}.csv",
    output:
        metrics="<results>/metrics/{model}/{task}.csv",
        confusion="<results>/confusion/{model}/{task}.csv",
    log:
        "<logs>/metrics/{model}/{task}.log",
    benchmark:
        "<benchmarks>/metrics/{model}/{task}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        code=code("evaluate"),
    message:
        "Evaluate {wildcards.model}, {wildcards.task}"
    script:
        "../workflow/scripts/evaluate.py"


rule measure_transfer:
    input:
        "<results>/predictions/{model}.csv",
    output:
        "<results>/transfer/{model}.csv",
    log:
        "<logs>/transfer/{model}.log",
    benchmark:
        "<benchmarks>/transfer/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        code=code("measure_transfer"),
    script:
        "../workflow/scripts/measure_transfer.py"


rule measure_strata:
    input:
        predictions="<results>/predictions/{model}/probe.csv",
        clips=CLIPS,
    output:
        strata="<results>/strata/{model}.csv",
        speakers="<results>/speakers/{model}.csv",
    log:
        "<logs>/strata/{model}.log",
    benchmark:
        "<benchmarks>/strata/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        attributes=RUN.strata,
        code=code("measure_strata"),
    script:
        "../workflow/scripts/measure_strata.py"


rule map_clips:
    input:
        a=lambda wildcards: embeddings(wildcards.model, DOMAINS[0]),
        b=lambda wildcards: embeddings(wildcards.model, DOMAINS[1]),
        probes="<results>/probe/{model}.csv",
    output:
        "<results>/clip_map/{model}.csv",
    log:
        "<logs>/clip_map/{model}.log",
    benchmark:
        "<benchmarks>/clip_map/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    # measured with 100,000 clips of 1,024 numbers: 1,330 MB
    resources:
        mem_mb=growing(2000),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        # as in the other figures that draw one kind of probe
        protocol=lambda wildcards: BEST["protocol"],
        fit=lambda wildcards: BEST["fit"],
        code=code("map_clips"),
    message:
        "Map the clips of {wildcards.model}"
    script:
        "../workflow/scripts/map_clips.py"


rule correlate_transfer:
    input:
        predictions="<results>/predictions/{model}.csv",
        fad="<results>/fad/{model}.csv",
        fad_left_out="<results>/fad/{model}/left_out.csv",
        kad="<results>/kad/{model}.csv",
        kad_left_out="<results>/kad/{model}/left_out.csv",
    output:
        correlations="<results>/similarity/{model}.csv",
        points="<results>/similarity/{model}/points.csv",
    log:
        "<logs>/similarity/{model}.log",
    benchmark:
        "<benchmarks>/similarity/{model}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        blocks=RUN.blocks,
        emotions=EMOTIONS,
        code=code("correlate_transfer"),
    script:
        "../workflow/scripts/correlate_transfer.py"


rule compare:
    input:
        predictions=every("<results>/predictions/{model}.csv"),
    output:
        **table("comparisons", "Differences that hold", "comparisons", "Comparisons"),
    log:
        "<logs>/tables/comparisons.log",
    benchmark:
        "<benchmarks>/tables/comparisons.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("compare"),
    script:
        "../workflow/scripts/compare.py"


rule tabulate_leakage:
    input:
        predictions=rules.compare.input.predictions,
    output:
        **table("leakage", "Speaker leakage, in numbers", "leakage_table", "Leakage"),
    log:
        "<logs>/tables/leakage.log",
    benchmark:
        "<benchmarks>/tables/leakage.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("tabulate_leakage"),
    script:
        "../workflow/scripts/tabulate_leakage.py"


rule rank_fad:
    input:
        fad=every("<results>/fad/{model}.csv"),
        left_out=every("<results>/fad/{model}/left_out.csv"),
    output:
        **table("fad", "Fréchet audio distances, and how sure their order is", "fad_table", "Distances"),
    log:
        "<logs>/tables/fad.log",
    benchmark:
        "<benchmarks>/tables/fad.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("rank_fad"),
    script:
        "../workflow/scripts/rank_fad.py"


rule count_nearest:
    input:
        fad=every("<results>/fad/{model}/pairs.csv"),
        left_out=every("<results>/fad/{model}/pairs_left_out.csv"),
    output:
        **table("fad_pairs", "Is the same emotion the nearest?", "fad_pairs_table", "Distances"),
    log:
        "<logs>/tables/fad_pairs.log",
    benchmark:
        "<benchmarks>/tables/fad_pairs.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        notice=config["notice"],
        code=code("count_nearest"),
    script:
        "../workflow/scripts/count_nearest.py"


rule tabulate_probe:
    input:
        every("<results>/metrics/{model}/probe.csv"),
    output:
        **table("probe", "Best and worst layers", "probe_table", "Probes"),
    log:
        "<logs>/tables/probe.log",
    benchmark:
        "<benchmarks>/tables/probe.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        table="probe",
        notice=config["notice"],
        code=code("tabulate"),
    script:
        "../workflow/scripts/tabulate.py"


use rule tabulate_probe as tabulate_kad with:
    input:
        every("<results>/kad/{model}.csv"),
    output:
        **table("kad", "Kernel audio distances", "kad", "Distances"),
    log:
        "<logs>/tables/kad.log",
    benchmark:
        "<benchmarks>/tables/kad.tsv"
    params:
        table="kad",


use rule tabulate_probe as tabulate_transfer with:
    input:
        every("<results>/transfer/{model}.csv"),
    output:
        **table("transfer", "Transfer without training, in numbers", "transfer_table", "Transfer"),
    log:
        "<logs>/tables/transfer.log",
    benchmark:
        "<benchmarks>/tables/transfer.tsv"
    params:
        table="transfer",


use rule tabulate_probe as tabulate_similarity with:
    input:
        every("<results>/similarity/{model}.csv"),
    output:
        **table("similarity", "Does similarity predict transfer? In numbers", "similarity_table", "Transfer"),
    log:
        "<logs>/tables/similarity.log",
    benchmark:
        "<benchmarks>/tables/similarity.tsv"
    params:
        table="similarity",


use rule tabulate_probe as tabulate_strata with:
    input:
        every("<results>/strata/{model}.csv"),
    output:
        **table("strata", "Accuracy by intensity, gender and statement, in numbers", "strata_table", "Probes"),
    log:
        "<logs>/tables/strata.log",
    benchmark:
        "<benchmarks>/tables/strata.tsv"
    params:
        table="strata",


use rule tabulate_probe as tabulate_speakers with:
    input:
        every("<results>/speakers/{model}.csv"),
    output:
        **table("speakers", "Accuracy by speaker", "speakers_table", "Probes"),
    log:
        "<logs>/tables/speakers.log",
    benchmark:
        "<benchmarks>/tables/speakers.tsv"
    params:
        table="speakers",


use rule tabulate_probe as tabulate_adapt with:
    input:
        every("<results>/metrics/{model}/adapt.csv", ADAPTED),
    output:
        **table("adapt", "Two-stage adaptation, in numbers", "adapt_table", "Adaptation"),
    log:
        "<logs>/tables/adapt.log",
    benchmark:
        "<benchmarks>/tables/adapt.tsv"
    params:
        table="adapt",


rule tabulate_paper:
    input:
        probes=rules.tabulate_probe.output.csv,
        adapted=rules.tabulate_adapt.output.csv,
    output:
        **table("paper", "The paper's numbers beside ours", "paper", "The paper"),
    log:
        "<logs>/tables/paper.log",
    benchmark:
        "<benchmarks>/tables/paper.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        paper=targets.paper_domains(config),
        notice=config["notice"],
        code=code("tabulate_paper"),
    script:
        "../workflow/scripts/tabulate_paper.py"


rule check_claims:
    input:
        predictions=rules.compare.input.predictions,
        fad=rules.rank_fad.input.fad,
        left_out=rules.rank_fad.input.left_out,
        probes=every("<results>/probe/{model}.csv"),
        encoders=every("<results>/encoders/{model}.csv"),
    output:
        **table("claims", "The paper's claims", "claims", "The paper"),
    log:
        "<logs>/tables/claims.log",
    benchmark:
        "<benchmarks>/tables/claims.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        sides=targets.sides(config),
        paper=targets.paper_domains(config) is not None,
        pretrained_on={model: ENCODERS[model].get("pretrained_on", "") for model in MODELS},
        notice=config["notice"],
        code=code("check_claims"),
    script:
        "../workflow/scripts/check_claims.py"
