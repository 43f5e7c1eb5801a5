# What the predictions say, with intervals over speakers: `task` is probe or adapt.


rule evaluate:
    input:
        predictions=lambda wildcards: predictions(wildcards.model, wildcards.task),
        probes=lambda wildcards: (
            [f"{RESULTS}/probe/{wildcards.model}.csv"] if wildcards.task == "probe" else []
        ),
        clips=CLIPS,
    output:
        metrics=f"{RESULTS}/metrics/{{model}}/{{task}}.csv",
        confusion=f"{RESULTS}/confusion/{{model}}/{{task}}.csv",
    log:
        f"{RESULTS}/logs/metrics/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics/{{model}}/{{task}}.tsv"
    wildcard_constraints:
        task="|".join(TASKS),
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        code=code("evaluate"),
    message:
        "Evaluate {wildcards.model}, {wildcards.task}"
    script:
        "../workflow/scripts/evaluate.py"


rule compare:
    input:
        predictions=[path for task in TASKS for model in MODELS for path in predictions(model, task)],
        probes=[f"{RESULTS}/probe/{model}.csv" for model in MODELS],
        clips=CLIPS,
    output:
        csv=report(
            f"{RESULTS}/tables/comparisons.csv",
            caption="../workflow/report/comparisons.rst",
            category="Comparisons",
            labels={"result": TITLES["comparisons"]},
        ),
        markdown=f"{RESULTS}/tables/comparisons.md",
        latex=f"{RESULTS}/tables/comparisons.tex",
    log:
        f"{RESULTS}/logs/tables/comparisons.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/comparisons.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        notice=config["notice"],
        code=code("compare"),
    script:
        "../workflow/scripts/compare.py"


rule tabulate_leakage:
    input:
        predictions=rules.compare.input.predictions,
        probes=rules.compare.input.probes,
        clips=CLIPS,
    output:
        csv=report(
            f"{RESULTS}/tables/leakage.csv",
            caption="../workflow/report/leakage_table.rst",
            category="Leakage",
            labels={"result": TITLES["leakage_table"]},
        ),
        markdown=f"{RESULTS}/tables/leakage.md",
        latex=f"{RESULTS}/tables/leakage.tex",
    log:
        f"{RESULTS}/logs/tables/leakage.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/leakage.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        notice=config["notice"],
        code=code("tabulate_leakage"),
    script:
        "../workflow/scripts/tabulate_leakage.py"


rule check_claims:
    input:
        predictions=[path for model in MODELS for path in predictions(model, "probe")],
        probes=[f"{RESULTS}/probe/{model}.csv" for model in MODELS],
        clips=CLIPS,
        fad=[f"{RESULTS}/fad/{model}.csv" for model in MODELS],
        left_out=[f"{RESULTS}/fad/{model}/left_out.csv" for model in MODELS],
        comparisons=rules.compare.output.csv,
    output:
        csv=report(
            f"{RESULTS}/tables/claims.csv",
            caption="../workflow/report/claims.rst",
            category="The paper",
            labels={"result": TITLES["claims"]},
        ),
        markdown=f"{RESULTS}/tables/claims.md",
        latex=f"{RESULTS}/tables/claims.tex",
    log:
        f"{RESULTS}/logs/tables/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/claims.tsv"
    conda:
        "../envs/speechsong.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        domains=DOMAINS,
        paper=PAPER_DOMAINS,
        notice=config["notice"],
        code=code("check_claims"),
    script:
        "../workflow/scripts/check_claims.py"


rule tabulate_paper:
    input:
        probes=f"{RESULTS}/tables/probe.csv",
        adapted=f"{RESULTS}/tables/adapt.csv",
    output:
        csv=report(
            f"{RESULTS}/tables/paper.csv",
            caption="../workflow/report/paper.rst",
            category="The paper",
            labels={"result": TITLES["paper"]},
        ),
        markdown=f"{RESULTS}/tables/paper.md",
        latex=f"{RESULTS}/tables/paper.tex",
    log:
        f"{RESULTS}/logs/tables/paper.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/paper.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        paper=PAPER_DOMAINS,
        notice=config["notice"],
        code=code("tabulate_paper"),
    script:
        "../workflow/scripts/tabulate_paper.py"
