# Configuration and paths: what a run consists of, and the functions that several rule files use.

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

SOURCE = f"{workflow.basedir}/src"
sys.path.insert(0, SOURCE)
# scripts find the package here, even in a conda environment
os.environ.update(PYTHONPATH=SOURCE)

from speechsong.errors import UserError
from speechsong.planning import config as configuration
from speechsong.planning import costs, fingerprint, targets
from speechsong.planning.plan import plan
from speechsong.planning.sources import encoder_sources, still_to_fetch

try:
    configuration.check(config, f"{workflow.basedir}/workflow/schemas/config.schema.yaml")
    RUN = plan(config)
    SOURCES = encoder_sources(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = config["results"]
DOMAINS = config["domains"]
MODELS = config["models"]
EMOTIONS = config["emotions"]
ENCODERS = {model: config["encoders"][model] for model in MODELS}
LOGMEL = [model for model in MODELS if model not in SOURCES]
PAIRED = config["speakers"] == "paired"
TASKS = ["probe", "adapt"]
SPLITS = [
    f"{protocol}-{seed}" for protocol in config["split"]["protocols"] for seed in config["split"]["seeds"]
]
# what adaptation trains on: one domain (stage one), or two in turn (stage two; the same one twice is the control)
DIRECTIONS = targets.directions(DOMAINS)
CLIPS = [f"<results>/clips/{domain}.csv" for domain in DOMAINS]


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


def code(script):
    """The fingerprint of a rule's script. As a param, it makes changed code rerun whatever depends on it."""
    return fingerprint.of_script(f"{workflow.basedir}/workflow/scripts/{script}.py")


def layers(model):
    """The hidden states of an encoder, as the two digits that paths use."""
    return targets.layers(config, model)


def embeddings(model, domain, layer=None):
    """The embedding files of an encoder in a domain, of one layer or of all."""
    return targets.embeddings(config, model, domain, [layer] if layer else layers(model))


def every(pattern, models=MODELS):
    """The path that a pattern gives for each encoder."""
    return [pattern.format(model=model) for model in models]


def fetched(*domains):
    """An empty list of inputs, which is available only once the recordings of the domains are fetched."""
    for source, corpora in RUN.unfetched.items():
        if corpora.keys() & set(domains):
            fetching = {"zenodo": "fetch_ravdess", "demo": "synthesise_voices"}[source]
            getattr(checkpoints, fetching).get()
    return []


def stage(ask):
    """An input or param of a stage: a function of its wildcards, from the function `ask` of `planning.targets`."""

    def answer(wildcards):
        try:
            return ask(config, **wildcards)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return answer


# title, caption and files of each entry of the report, by name: mostly that of its caption in workflow/report
ENTRIES = {}


def shown(path, title, caption, category, name=None):
    """Mark a result for the report, under the name of its caption or another."""
    files = [
        file.replace("<results>", RESULTS) for file in expand(path, protocol=config["split"]["protocols"])
    ]
    text = Path(workflow.basedir, f"workflow/report/{caption}.rst").read_text(encoding="utf-8")
    ENTRIES[name or caption] = {"title": title.split(", {")[0], "caption": text, "paths": files}
    return report(
        path, caption=f"../workflow/report/{caption}.rst", category=category, labels={"result": title}
    )


def table(name, title, caption, category):
    """The files of a table: CSV (which the report shows), Markdown and LaTeX."""
    return {
        "csv": shown(f"<results>/tables/{name}.csv", title, caption, category),
        "markdown": f"<results>/tables/{name}.md",
        "latex": f"<results>/tables/{name}.tex",
    }


wildcard_constraints:
    model="|".join(MODELS),
    domain="|".join(DOMAINS),
    emotion="|".join([*EMOTIONS, "all"]),
    protocol="|".join({*config["split"]["protocols"], *config["adapt"]["protocols"]}),
    layer=r"\d\d",
    seed=r"\d+",
    approach="|".join(config["adapt"]["approaches"]),
    direction="|".join(DIRECTIONS),
    task="|".join(TASKS),


onstart:
    notes = RUN.notes + targets.folds_left_out(config)
    if not GPU:
        peft = [job.wildcards for job in workflow.dag.needrun_jobs() if job.rule.name == "adapt_peft"]
        notes += costs.peft_without_gpu(config, RUN, SOURCES, [(w.model, w.direction) for w in peft])
    for line in notes:
        logger.info(line)


onerror:
    for line in still_to_fetch(config, RUN, SOURCES):
        logger.error(line)


onsuccess:
    if config["notice"]:
        logger.info(config["notice"])
    if Path(RESULTS, "figures").is_dir():
        logger.info(f"Figures: {RESULTS}/figures   Tables: {RESULTS}/tables")
