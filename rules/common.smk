# Configuration, what the run is made of, and the functions that rules use.

import hashlib
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
from speechsong import corpora, costs, fetch, fingerprint, planning
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
    LOCAL = {
        model: configuration.checkpoint_files(model, config["encoders"][model]["checkpoint"])
        for model in config["models"]
        if model not in HUB and config["encoders"][model].get("source") != "demo"
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


# what adaptation trains on: one domain (stage one), or one after another (stage two; twice the same is the control)
DIRECTIONS = {source: (source, None) for source in DOMAINS} | {
    f"{source}-{target}": (source, target) for source in DOMAINS for target in DOMAINS
}


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
    return LOCAL.get(model) or [
        str(folder / name) for name in ("config.json", "preprocessor_config.json", "model.safetensors")
    ]


def digest(domain, emotion=None):
    """What names or a table say of recordings, as a param: a corrected line counts even where no file changed."""
    rows = [r for r in RUN.recordings[domain] if emotion in (None, r.emotion)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


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


def adaptation(wildcards):
    """What the training of a stage depends on, as params: `speechsong.adapt.Stage` without its files."""
    settings = config["adapt"]
    source, target = DIRECTIONS[wildcards.direction]
    training = {key: settings[key] for key in ("epochs", "weight_decay", "batch_size", "patience")}
    training["learning_rate"] = settings["learning_rate"][wildcards.approach]
    adapters = {}
    if wildcards.approach == "peft":
        adapters = {key: settings[key] for key in ("rank", "alpha", "targets", "width", "gate")}
        training["freeze_gate"] = settings["freeze_gate"] and target is not None
    return {
        "model": wildcards.model,
        "approach": wildcards.approach,
        "protocol": wildcards.protocol,
        "seed": int(wildcards.seed),
        "source": source,
        "target": target,
        "encoder": ENCODERS[wildcards.model],
        "emotions": EMOTIONS,
        "layers": sorted(settings["layers"] or range(1, ENCODERS[wildcards.model]["layers"] + 1)),
        "training": training,
        "adapters": adapters,
    }


def adaptation_inputs(wildcards):
    """The split of a stage and, for stage two, the checkpoint that it starts from."""
    source, target = DIRECTIONS[wildcards.direction]
    split = f"{wildcards.protocol}-{wildcards.seed}"
    inputs = {"split": f"{RESULTS}/splits/{split}.csv"}
    if target is not None:
        folder = f"{RESULTS}/checkpoints/{wildcards.model}/{wildcards.approach}/{split}"
        inputs |= {"start": f"{folder}/{source}.safetensors", "description": f"{folder}/{source}.json"}
    return inputs


def adaptation_embeddings(wildcards):
    """The embeddings that baseline and ws learn from, by role."""
    source, target = DIRECTIONS[wildcards.direction]
    return {
        role: [
            f"{RESULTS}/embeddings/{wildcards.model}/{domain}/layer{layer:02d}/{emotion}.h5"
            for layer in adaptation(wildcards)["layers"]
            for emotion in EMOTIONS
        ]
        for role, domain in {"source": source, "target": target}.items()
        if domain is not None
    }


def adaptation_recordings(wildcards):
    """The recordings that peft learns from, by role."""
    source, target = DIRECTIONS[wildcards.direction]
    roles = {"source": source, "target": target}
    return {role: recordings(domain) for role, domain in roles.items() if domain is not None}


def peft_without_gpu(jobs):
    """How long the peft jobs of a run will take where there is no GPU, and how to leave them out."""
    stages = [job.wildcards for job in jobs if job.rule.name == "adapt_peft"]
    if GPU or not stages:
        return []
    hours = 0.0
    for stage in stages:
        source, target = DIRECTIONS[stage.direction]
        paths = [r.path for r in RUN.recordings[target or source]]
        share = sum(config["split"]["fractions"][:2])
        hours += (
            costs.peft_hours(ENCODERS[stage.model], encoder_folder(stage.model), paths, share)
            * config["adapt"]["epochs"]
        )
    if hours < 0.1:
        return []
    return [
        f"Without a GPU the {len(stages)} peft stages take about {hours:.0f} hours of two cores (an estimate from the "
        "lengths of the clips); `adapt: {approaches: [baseline, ws]}` leaves them out"
    ]


wildcard_constraints:
    model="|".join(MODELS),
    domain="|".join(DOMAINS),
    emotion="|".join([*EMOTIONS, "all"]),
    protocol="|".join({*config["split"]["protocols"], *config["adapt"]["protocols"]}),
    layer=r"\d\d",
    seed=r"\d+",
    approach="|".join(config["adapt"]["approaches"]),
    direction="|".join(DIRECTIONS),


onstart:
    for line in RUN.notes + peft_without_gpu(workflow.dag.needrun_jobs()):
        logger.info(line)


onerror:
    for line in still_to_fetch():
        logger.error(line)


onsuccess:
    if config["notice"]:
        logger.info(config["notice"])
    if Path(RESULTS, "figures").is_dir():
        logger.info(f"Figures: {RESULTS}/figures   Tables: {RESULTS}/tables")
