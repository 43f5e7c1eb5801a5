# Configuration and paths: what a run consists of, and the functions that several rule files use.

import io
import os
import re
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import update_config


def house():
    """The folder of this repository, also where another workflow imports it as a module."""
    rules = workflow.current_basedir
    if isinstance(rules, os.PathLike):
        return Path(rules).parent
    # of a module on a hosting service, Snakemake has a bare clone; Python imports the package from a folder
    repository = rules.hosted_repo.repo
    commit = repository.commit(rules.ref).hexsha
    folder = Path(".snakemake/speechsong", commit).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        repository.archive(packed, commit, format="tar", path=["config.yaml", "src", "workflow"])
        packed.seek(0)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            with tarfile.open(fileobj=packed) as archive:
                # Python 3.11.3 and earlier have no filters
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(f"{temporary}/whole")
            os.rename(f"{temporary}/whole", folder)
    return folder


HOUSE = house()
SOURCE = f"{HOUSE}/src"
if {"{", "}", os.pathsep} & set(SOURCE):
    raise WorkflowError(
        f"{HOUSE}: the folder of speechsong must have no {{, }} or {os.pathsep} in its path; move it"
    )
sys.path.insert(0, SOURCE)
# scripts find the package here, even in a conda environment; what a site has there stays
PLACES = [SOURCE, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
os.environ.update(PYTHONPATH=os.pathsep.join(dict.fromkeys(PLACES)))

import speechsong
from speechsong.encoders import saving
from speechsong.errors import UserError
from speechsong.planning import config as configuration
from speechsong.planning import costs, fingerprint, targets
from speechsong.planning.plan import plan
from speechsong.planning.sources import encoder_sources, still_to_fetch

if not Path(speechsong.__file__).resolve().is_relative_to(Path(SOURCE).resolve()):
    raise WorkflowError(
        f"speechsong is imported from {Path(speechsong.__file__).parent} already, instead of {SOURCE}; "
        "use one copy of it in a workflow"
    )

if workflow.modifier.is_main_snakefile():
    overriding = workflow.config_settings
    config_files = [*workflow.configfiles[len(overriding.configfiles) :], *overriding.configfiles]
    merged = [*map(load_configfile, config_files), overriding.config]
else:
    paths = workflow.modifier.path_modifier
    if paths.prefix or paths.modifies_prefixes:
        raise WorkflowError(
            "module speechsong: leave out `prefix` and `replace_prefix`; set `results` in its config"
        )
    # a module reads no configfile: what its importer leaves out has the default
    merged = [load_configfile(HOUSE / "config.yaml"), config]
    config = load_configfile(HOUSE / "config.yaml")
    update_config(config, merged[1])
configuration.forget_other_readers(config, merged)
try:
    configuration.check(config, HOUSE / "workflow/schemas/config.schema.yaml")
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
# what adaptation trains on: one domain (stage one), two in turn (stage two; the same one twice is the control), or both
# together
DIRECTIONS = targets.directions(DOMAINS)
CLIPS = [f"<results>/clips/{domain}.csv" for domain in DOMAINS]
CORPORA = [f"<results>/corpora/{domain}.csv" for domain in DOMAINS]


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


def code(script):
    """The fingerprint of a rule's script. As a param, it makes changed code rerun whatever depends on it."""
    return fingerprint.of_script(HOUSE / f"workflow/scripts/{script}.py")


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


def every_direction(path):
    """The files of all stages of a (model, approach, protocol, seed), stages two after those that they start from."""
    return expand(path, direction=DIRECTIONS, allow_missing=True)


def clips_to_split(wildcards):
    """The indexes of clips, for probes and adaptation: they need two emotions to tell apart."""
    if len(EMOTIONS) < 2:
        raise WorkflowError(
            f"config key `emotions`: only {EMOTIONS[0]}, so there is nothing for probes and adaptation to tell apart; "
            "add an emotion, or ask for the distances alone: `fad` or `kad`"
        )
    return CLIPS


# title, caption and files of each entry of the report, by name: mostly that of its caption in workflow/report
ENTRIES = {}


def shown(path, title, caption, category, name=None):
    """Mark a result for the report, under the name of its caption or another."""
    files = [
        file.replace("<results>", RESULTS) for file in expand(path, protocol=config["split"]["protocols"])
    ]
    text = (HOUSE / f"workflow/report/{caption}.rst").read_text(encoding="utf-8")
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


def warnings_of_recordings():
    """What differs between the recordings of the two domains, as the table of recordings says; nothing without it."""
    path = Path(RESULTS, "tables/recordings.csv")
    if not path.is_file():
        return []
    # heavy, so only at the end of a run
    import pandas as pd
    from speechsong import files
    from speechsong.corpora import lengths

    try:
        with files.table(path):
            return lengths.warnings(pd.read_csv(path, keep_default_na=False))
    except UserError as error:
        return [str(error)]


wildcard_constraints:
    model="|".join(MODELS),
    domain="|".join(DOMAINS),
    emotion="|".join([*EMOTIONS, "all"]),
    protocol="|".join({*config["split"]["protocols"], *config["adapt"]["protocols"]}),
    layer=r"\d\d",
    seed=r"\d+",
    approach="|".join(targets.all_approaches(config)),
    direction="|".join(map(re.escape, DIRECTIONS)),
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
    for line in warnings_of_recordings():
        logger.warning(line)
    if Path(RESULTS, "figures").is_dir():
        logger.info(f"Figures: {RESULTS}/figures   Tables: {RESULTS}/tables")
