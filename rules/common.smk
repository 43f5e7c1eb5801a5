# Configuration, what the run is made of, and the functions that rules use.

import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

SOURCE = f"{workflow.basedir}/src"
sys.path.insert(0, SOURCE)
# scripts find the package here, also inside an environment of their own
os.environ.update(PYTHONPATH=SOURCE)

from speechsong import config as configuration
from speechsong import corpora, fetch, fingerprint, planning
from speechsong.files import UserError

SCRIPTS = f"{workflow.basedir}/workflow/scripts"


def code(script):
    """The fingerprint of a rule's script: a param, so that a changed formula reruns what depends on it."""
    return fingerprint.of_script(f"{SCRIPTS}/{script}.py")


try:
    configuration.check(config, f"{workflow.basedir}/workflow/schemas/config.schema.yaml")
    RUN = planning.plan(config)
    HUB = {
        model: fetch.hub_folder("data/encoders", encoder["checkpoint"], encoder["revision"])
        for model, encoder in config["encoders"].items()
        if model in config["models"] and configuration.is_on_hub(encoder)
    }
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = config["results"]
DOMAINS = config["domains"]
MODELS = config["models"]
EMOTIONS = config["emotions"]
ENCODERS = {model: config["encoders"][model] for model in MODELS}
DEMO = [encoder["checkpoint"] for encoder in ENCODERS.values() if encoder.get("source") == "demo"]
PAIRED = config["speakers"] == "paired"
SPLITS = [
    f"{protocol}-{seed}" for protocol in config["split"]["protocols"] for seed in config["split"]["seeds"]
]
# a GPU is asked for where this machine has one, or where the config names one for the machines that jobs go to
GPU = int(
    config["device"].startswith("cuda") or (config["device"] == "auto" and bool(shutil.which("nvidia-smi")))
)


def cores():
    """Cores that the run has; 1 where none are given, as for --dag."""
    try:
        return workflow.cores or 1
    except WorkflowError:
        return 1


def layers(model):
    """The two digits of each hidden state of an encoder."""
    return [f"{layer:02d}" for layer in range(ENCODERS[model]["layers"] + 1)]


def encoder_folder(model):
    """Where an encoder's files are, or will be."""
    return str(HUB.get(model, ENCODERS[model]["checkpoint"]))


def encoder_files(model):
    """The files of a checkpoint that extraction depends on."""
    folder = Path(encoder_folder(model))
    if model in HUB:
        # written last; its revision is pinned, so the weights beside it cannot change
        return [str(folder / "config.json")]
    names = ["config.json", "preprocessor_config.json"]
    known = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]
    weights = [name for name in known if (folder / name).exists()][:1]
    return [str(folder / name) for name in names + (weights or known[:1])]


def still_to_fetch():
    """What `all` needs from elsewhere and is not here yet: a line each, with where it goes or which key replaces it."""
    unpacked = [
        f"RAVDESS {corpus['channel']} (zenodo.org/records/1188976) into {corpus['root']}, or set `corpora.{domain}.root`"
        for domain, corpus in RUN.unfetched.get("zenodo", {}).items()
        if not corpora.files_below(corpus["root"])
    ]
    encoders = [
        f"{ENCODERS[model]['checkpoint']} into {folder}, or set `encoders.{model}.checkpoint`"
        for model, folder in HUB.items()
        if not (folder / "config.json").exists()
    ]
    return [f"Still to be fetched: {item}" for item in unpacked + encoders]


def recordings(domain, emotion=None):
    """The recordings of a domain, once they are there."""
    for source, unfetched in RUN.unfetched.items():
        if domain in unfetched:
            getattr(
                checkpoints,
                {"zenodo": "fetch_ravdess", "demo": "synthesise_voices"}[source],
            ).get()
    return [r.path for r in RUN.recordings[domain] if emotion in (None, r.emotion)]


wildcard_constraints:
    model="|".join(MODELS),
    domain="|".join(DOMAINS),
    emotion="|".join([*EMOTIONS, "all"]),
    protocol="|".join(config["split"]["protocols"]),
    layer=r"\d\d",
    seed=r"\d+",


onstart:
    for line in RUN.notes:
        logger.info(line)


onerror:
    for line in still_to_fetch():
        logger.error(line)


onsuccess:
    if config["notice"]:
        logger.info(config["notice"])
    logger.info(f"Figures: {RESULTS}/figures   Tables: {RESULTS}/tables")
