# What the numbers come to: figures and tables.


rule plot_probe_layers:
    input:
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/probe_layers.png",
            caption="../workflow/report/probe_layers.rst",
            category="Probes",
        ),
        pdf=f"{RESULTS}/figures/probe_layers.pdf",
    log:
        f"{RESULTS}/logs/figures/probe_layers.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures/probe_layers.tsv"
    conda:
        "../envs/speechsong.yaml"
    params:
        notice=config["notice"],
        code=code("plot_probe_layers"),
    script:
        "../workflow/scripts/plot_probe_layers.py"


rule plot_probe_emotions:
    input:
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/probe_emotions-{{protocol}}.png",
            caption="../workflow/report/probe_emotions.rst",
            category="Probes",
        ),
        pdf=f"{RESULTS}/figures/probe_emotions-{{protocol}}.pdf",
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


rule plot_fad:
    input:
        [f"{RESULTS}/fad/{model}.csv" for model in MODELS],
    output:
        png=report(
            f"{RESULTS}/figures/fad.png",
            caption="../workflow/report/fad.rst",
            category="Fréchet audio distance",
        ),
        pdf=f"{RESULTS}/figures/fad.pdf",
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


rule tabulate_probe:
    input:
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
    output:
        csv=report(
            f"{RESULTS}/tables/probe.csv",
            caption="../workflow/report/probe_table.rst",
            category="Probes",
        ),
        markdown=f"{RESULTS}/tables/probe.md",
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


localrules:
    figures,
    tables,


rule figures:
    input:
        rules.plot_probe_layers.output,
        expand(rules.plot_probe_emotions.output, protocol=config["split"]["protocols"]),
        rules.plot_fad.output,


rule tables:
    input:
        rules.tabulate_probe.output,
        [f"{RESULTS}/probe/{model}.csv" for model in MODELS],
        [f"{RESULTS}/fad/{model}.csv" for model in MODELS],
        rules.adapt.input,
