# What the numbers come to: figures and tables, and the report that shows them.


report: "../workflow/report/report.rst"


PAGES = Path(workflow.basedir, "workflow/report")


rule plot_probe_layers:
    input:
        [f"{RESULTS}/metrics/{model}/probe.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/probe_layers.png",
            caption="../workflow/report/probe_layers.rst",
            category="Probes",
            labels={"result": TITLES["probe_layers"]},
        ),
        pdf=f"{RESULTS}/figures/probe_layers.pdf",
        svg=f"{RESULTS}/figures/probe_layers.svg",
    log:
        f"{RESULTS}/logs/figures/probe_layers.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/probe_layers.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        notice=config["notice"],
        code=code("plot_probe_layers"),
    script:
        "../workflow/scripts/plot_probe_layers.py"


rule plot_probe_emotions:
    input:
        [f"{RESULTS}/metrics/{model}/probe.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/probe_emotions-{{protocol}}.png",
            caption="../workflow/report/probe_emotions.rst",
            category="Probes",
            labels={"result": f"{TITLES['probe_emotions']}, {{protocol}} split"},
        ),
        pdf=f"{RESULTS}/figures/probe_emotions-{{protocol}}.pdf",
        svg=f"{RESULTS}/figures/probe_emotions-{{protocol}}.svg",
    log:
        f"{RESULTS}/logs/figures/probe_emotions-{{protocol}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/probe_emotions-{{protocol}}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        notice=config["notice"],
        code=code("plot_probe_emotions"),
    script:
        "../workflow/scripts/plot_probe_emotions.py"


rule plot_confusion:
    input:
        [f"{RESULTS}/confusion/{model}/probe.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/confusion-{{protocol}}.png",
            caption="../workflow/report/confusion.rst",
            category="Probes",
            labels={"result": f"{TITLES['confusion']}, {{protocol}} split"},
        ),
        pdf=f"{RESULTS}/figures/confusion-{{protocol}}.pdf",
        svg=f"{RESULTS}/figures/confusion-{{protocol}}.svg",
    log:
        f"{RESULTS}/logs/figures/confusion-{{protocol}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/confusion-{{protocol}}.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        notice=config["notice"],
        code=code("plot_confusion"),
    script:
        "../workflow/scripts/plot_confusion.py"


rule plot_fad:
    input:
        f"{RESULTS}/tables/fad.csv",
    output:
        png=report(
            f"{RESULTS}/figures/fad.png",
            caption="../workflow/report/fad.rst",
            category="Distances",
            labels={"result": TITLES["fad"]},
        ),
        pdf=f"{RESULTS}/figures/fad.pdf",
        svg=f"{RESULTS}/figures/fad.svg",
    log:
        f"{RESULTS}/logs/figures/fad.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/fad.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        notice=config["notice"],
        code=code("plot_fad"),
    script:
        "../workflow/scripts/plot_fad.py"


rule plot_adapt:
    input:
        f"{RESULTS}/tables/adapt.csv",
    output:
        png=report(
            f"{RESULTS}/figures/adapt.png",
            caption="../workflow/report/adapt.rst",
            category="Adaptation",
            labels={"result": TITLES["adapt"]},
        ),
        pdf=f"{RESULTS}/figures/adapt.pdf",
        svg=f"{RESULTS}/figures/adapt.svg",
    log:
        f"{RESULTS}/logs/figures/adapt.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/adapt.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        emotions=EMOTIONS,
        notice=config["notice"],
        code=code("plot_adapt"),
    script:
        "../workflow/scripts/plot_adapt.py"


rule plot_leakage:
    input:
        f"{RESULTS}/tables/leakage.csv",
    output:
        png=report(
            f"{RESULTS}/figures/leakage.png",
            caption="../workflow/report/leakage.rst",
            category="Leakage",
            labels={"result": TITLES["leakage"]},
        ),
        pdf=f"{RESULTS}/figures/leakage.pdf",
        svg=f"{RESULTS}/figures/leakage.svg",
    log:
        f"{RESULTS}/logs/figures/leakage.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/leakage.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        emotions=EMOTIONS,
        notice=config["notice"],
        code=code("plot_leakage"),
    script:
        "../workflow/scripts/plot_leakage.py"


rule tabulate_probe:
    input:
        [f"{RESULTS}/metrics/{model}/probe.csv" for model in MODELS],
    output:
        csv=report(
            f"{RESULTS}/tables/probe.csv",
            caption="../workflow/report/probe_table.rst",
            category="Probes",
            labels={"result": TITLES["probe_table"]},
        ),
        markdown=f"{RESULTS}/tables/probe.md",
        latex=f"{RESULTS}/tables/probe.tex",
    log:
        f"{RESULTS}/logs/tables/probe.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/probe.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("tabulate_probe"),
    script:
        "../workflow/scripts/tabulate_probe.py"


rule tabulate_adapt:
    input:
        [f"{RESULTS}/metrics/{model}/adapt.csv" for model in MODELS if approaches(model)],
    output:
        csv=report(
            f"{RESULTS}/tables/adapt.csv",
            caption="../workflow/report/adapt_table.rst",
            category="Adaptation",
            labels={"result": TITLES["adapt_table"]},
        ),
        markdown=f"{RESULTS}/tables/adapt.md",
        latex=f"{RESULTS}/tables/adapt.tex",
    log:
        f"{RESULTS}/logs/tables/adapt.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/adapt.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("tabulate_adapt"),
    script:
        "../workflow/scripts/tabulate_adapt.py"


# What the report shows, in the order of its opening page: files, by the name of their title and caption.
SHOWN = {
    "claims": rules.check_claims.output.csv,
    "paper": rules.tabulate_paper.output.csv,
    "probe_table": rules.tabulate_probe.output.csv,
    "probe_layers": rules.plot_probe_layers.output.png,
    "probe_emotions": expand(rules.plot_probe_emotions.output.png, protocol=config["split"]["protocols"]),
    "confusion": expand(rules.plot_confusion.output.png, protocol=config["split"]["protocols"]),
    "leakage": rules.plot_leakage.output.png if LEAKAGE else [],
    "leakage_table": rules.tabulate_leakage.output.csv if LEAKAGE else [],
    "adapt_table": rules.tabulate_adapt.output.csv,
    "adapt": rules.plot_adapt.output.png,
    "comparisons": rules.compare.output.csv,
    "fad": rules.plot_fad.output.png,
    "fad_table": rules.rank_fad.output.csv,
    "kad": rules.tabulate_kad.output.csv,
}


rule summarise:
    input:
        clips=CLIPS,
        shown=list(SHOWN.values()),
    output:
        f"{RESULTS}/summary.html",
    log:
        f"{RESULTS}/logs/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/summary.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        title=f"{' and '.join(DOMAINS)}, as audio encoders hear them",
        facts={
            "encoders": ", ".join(
                f"{model} ({encoder['layers']} layers)" for model, encoder in ENCODERS.items()
            ),
            "emotions": ", ".join(EMOTIONS),
            "probes": splits_of("split"),
            "adaptation": f"{', '.join(config['adapt']['approaches'])}; {splits_of('adapt')}",
        },
        shown=[
            {
                "title": TITLES[name],
                "caption": (PAGES / f"{name}.rst").read_text(encoding="utf-8"),
                "paths": [str(path) for path in ([paths] if isinstance(paths, str) else paths)],
            }
            for name, paths in SHOWN.items()
            if paths
        ],
        notice=config["notice"],
        style=(PAGES / "report.css").read_text(encoding="utf-8"),
        code=code("summarise"),
    script:
        "../workflow/scripts/summarise.py"


localrules:
    figures,
    tables,


rule figures:
    input:
        rules.plot_probe_layers.output,
        expand(rules.plot_probe_emotions.output, protocol=config["split"]["protocols"]),
        expand(rules.plot_confusion.output, protocol=config["split"]["protocols"]),
        rules.plot_fad.output,
        rules.plot_adapt.output,
        rules.plot_leakage.output if LEAKAGE else [],


rule tables:
    input:
        rules.check_claims.output,
        rules.tabulate_paper.output,
        rules.tabulate_probe.output,
        rules.tabulate_adapt.output,
        rules.compare.output,
        rules.tabulate_leakage.output if LEAKAGE else [],
        rules.rank_fad.output,
        rules.tabulate_kad.output,
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
        [f"{RESULTS}/metrics/{model}/probe.csv" for model in MODELS],
        [f"{RESULTS}/adapt/{model}.csv" for model in MODELS if approaches(model)],
        [f"{RESULTS}/metrics/{model}/adapt.csv" for model in MODELS if approaches(model)],
        [f"{RESULTS}/fad/{model}.csv" for model in MODELS],
        [f"{RESULTS}/kad/{model}.csv" for model in MODELS],
