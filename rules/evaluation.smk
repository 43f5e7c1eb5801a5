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
        [f"<results>/predictions/{{model}}/{task}.csv" for task in TASKS],
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
