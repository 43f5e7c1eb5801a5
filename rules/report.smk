# Figures, and the report that shows them with the tables.


report: "../workflow/report/report.rst"


PAGES = HOUSE / "workflow/report"
PROTOCOLS = config["split"]["protocols"]
METRICS = every("<results>/metrics/{model}/probe.csv")

CONFUSION = every("<results>/confusion/{model}/probe.csv")
FITS = config["probe"]["fit"]

# title, category and CSVs of each figure; `{protocol}` makes one for each split protocol of the probes
FIGURES = {
    "probe_layers": ("Accuracy by layer", "Probes", METRICS),
    "probe_emotions": ("Recall of each emotion by layer, {protocol} split", "Probes", METRICS),
    "confusion": ("Confusion of emotions, {protocol} split", "Probes", CONFUSION),
    "probe_emotions-converged": (
        "Recall of each emotion by layer, converged probes, {protocol} split",
        "Probes",
        METRICS,
    ),
    "confusion-converged": ("Confusion of emotions, converged probes, {protocol} split", "Probes", CONFUSION),
    "paper_layers": ("Accuracy by layer, as the paper draws it", "The paper", METRICS),
    "paper_emotions": ("Recall of each emotion, as the paper draws it", "The paper", METRICS),
    "paper_fad": ("Fréchet audio distance, as the paper draws it", "The paper", rules.rank_fad.output.csv),
    "transfer": ("Transfer without training, by layer", "Transfer", every("<results>/transfer/{model}.csv")),
    "similarity": (
        "Does similarity predict transfer?",
        "Transfer",
        every("<results>/similarity/{model}/points.csv"),
    ),
    "strata": (
        "Accuracy by intensity, gender and statement",
        "Probes",
        every("<results>/strata/{model}.csv"),
    ),
    "clip_map": ("Map of the clips", "Probes", every("<results>/clip_map/{model}.csv")),
    "leakage": ("Speaker leakage", "Leakage", rules.tabulate_leakage.output.csv),
    "adapt": ("Two-stage adaptation", "Adaptation", rules.tabulate_adapt.output.csv),
    "layer_weights": (
        "Learnt weights of the layers",
        "Adaptation",
        every("<results>/layer_weights/{model}.csv", WEIGHTED),
    ),
    "fad": ("Fréchet audio distance by layer", "Distances", rules.rank_fad.output.csv),
    "fad_pairs": ("Emotion by emotion", "Distances", rules.count_nearest.input.fad),
}
STEMS = {
    name: f"figures/{name}" + ("-{protocol}" if "{protocol}" in title else "")
    for name, (title, *_) in FIGURES.items()
}

# a figure of one fit is drawn from its rows alone
WHERE = {
    name: {"fit": "converged" if name.endswith("-converged") else "paper"}
    for name in FIGURES
    if name.startswith(("probe_emotions", "confusion"))
}
# the paper has one split and one fit
WHERE |= dict.fromkeys(["paper_layers", "paper_emotions"], {"protocol": "random", "fit": "paper"})
# new speakers and converged probes where the run has them
BEST = {
    "protocol": "speaker" if "speaker" in PROTOCOLS else PROTOCOLS[0],
    "fit": "converged" if "converged" in FITS else FITS[0],
}
WHERE |= {"similarity": BEST, "strata": {"fit": BEST["fit"]}}

for figure, (title, category, tables) in FIGURES.items():

    rule:
        name:
            f"plot_{figure.replace('-', '_')}"
        input:
            tables,
        output:
            png=shown(
                f"<results>/{STEMS[figure]}.png", title, figure.removesuffix("-converged"), category, figure
            ),
            pdf=f"<results>/{STEMS[figure]}.pdf",
            svg=f"<results>/{STEMS[figure]}.svg",
        log:
            f"<logs>/{STEMS[figure]}.log",
        benchmark:
            f"<benchmarks>/{STEMS[figure]}.tsv"
        conda:
            "../envs/speechsong.yaml"
        params:
            figure=figure.removesuffix("-converged"),
            where=WHERE.get(figure, {}),
            domains=DOMAINS,
            emotions=EMOTIONS,
            notice=config["notice"],
            code=code("plot"),
        script:
            "../workflow/scripts/plot.py"


# a figure needs the fit and the split that it draws
for name, where in WHERE.items():
    if where["fit"] not in FITS or where.get("protocol", PROTOCOLS[0]) not in PROTOCOLS:
        del ENTRIES[name]

# leakage compares the two protocols, so it needs both
if not targets.compares_protocols(config):
    del ENTRIES["leakage"], ENTRIES["leakage_table"]

if not RUN.strata:
    del ENTRIES["strata"], ENTRIES["strata_table"]

if not WEIGHTED:
    del ENTRIES["layer_weights"]

# the report shows them in this order
ORDER = ["claims", "paper", "probe_table", "probe_layers", "probe_emotions", "confusion"]
ORDER += ["probe_emotions-converged", "confusion-converged", "strata", "strata_table", "speakers_table"]
ORDER += [
    "clip_map",
    "transfer",
    "transfer_table",
    "similarity",
    "similarity_table",
    "leakage",
    "leakage_table",
]
ORDER += ["adapt_table", "adapt", "layer_weights", "comparisons", "fad", "fad_table", "fad_pairs"]
ORDER += ["fad_pairs_table", "kad", "recordings", "paper_layers", "paper_emotions", "paper_fad"]
SHOWN = [ENTRIES[name] for name in ORDER if name in ENTRIES]


rule summarise:
    input:
        clips=CLIPS,
        corpora=CORPORA,
        encoders=every("<results>/encoders/{model}.csv"),
        shown=[path for entry in SHOWN for path in entry["paths"]],
    output:
        "<results>/summary.html",
    log:
        "<logs>/summary.log",
    benchmark:
        "<benchmarks>/summary.tsv"
    localrule: True
    conda:
        "../envs/speechsong.yaml"
    params:
        domains=DOMAINS,
        title=f"{' and '.join(DOMAINS)}, as audio encoders hear them",
        facts={
            "encoders": ", ".join(f"{model} ({ENCODERS[model]['layers']} layers)" for model in MODELS),
            "emotions": ", ".join(EMOTIONS),
            "probes": targets.splits_in_words(config, "split"),
            "adaptation": f"{', '.join(targets.all_approaches(config))}; {targets.splits_in_words(config, 'adapt')}",
        },
        shown=SHOWN,
        approaches=targets.all_approaches(config),
        pretrained=any(model in PRETRAINED for model in MODELS),
        notice=config["notice"],
        # a function, because Snakemake would take braces in a string for wildcards
        template=lambda wildcards: (PAGES / "summary.html.j2").read_text(encoding="utf-8"),
        style=(PAGES / "report.css").read_text(encoding="utf-8"),
        code=code("summarise"),
    script:
        "../workflow/scripts/summarise.py"


rule figures:
    input:
        [
            expand(f"<results>/{STEMS[name]}.{suffix}", protocol=PROTOCOLS)
            for name in FIGURES
            if name in ENTRIES
            for suffix in ("png", "pdf", "svg")
        ],
    localrule: True


rule tables:
    input:
        rules.describe_recordings.output,
        rules.check_claims.output,
        rules.tabulate_paper.output,
        rules.tabulate_probe.output,
        rules.tabulate_transfer.output,
        rules.tabulate_similarity.output,
        rules.tabulate_strata.output if "strata" in ENTRIES else [],
        rules.tabulate_speakers.output,
        rules.tabulate_adapt.output,
        rules.compare.output,
        rules.tabulate_leakage.output if "leakage" in ENTRIES else [],
        rules.rank_fad.output,
        rules.count_nearest.output,
        rules.tabulate_kad.output,
        METRICS,
        every("<results>/metrics/{model}/adapt.csv", ADAPTED),
        rules.probes.input,
        rules.adapt.input,
        rules.fad.input,
        rules.kad.input,
    localrule: True
