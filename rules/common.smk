# Configuration, what the run is made of, and the functions that rules use.

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

SOURCE = f"{workflow.basedir}/src"
sys.path.insert(0, SOURCE)
# scripts find the package here, also inside an environment of their own
os.environ.update(PYTHONPATH=SOURCE)

from speechsong.corpora import recordings
from speechsong.encoders import hub
from speechsong.errors import UserError
from speechsong.planning import config as configuration
from speechsong.planning import costs, fingerprint
from speechsong.planning.plan import plan

SCRIPTS = f"{workflow.basedir}/workflow/scripts"


def code(script):
    """The fingerprint of a rule's script: a param, so that a changed formula reruns what depends on it."""
    return fingerprint.of_script(f"{SCRIPTS}/{script}.py")


try:
    configuration.check(config, f"{workflow.basedir}/workflow/schemas/config.schema.yaml")
    RUN = plan(config)
    HUB = {
        model: hub.hub_folder("data/encoders", encoder["checkpoint"], encoder["revision"])
        for model, encoder in config["encoders"].items()
        if model in config["models"] and configuration.is_on_hub(encoder)
    }
    ACOUSTIC = [model for model in config["models"] if configuration.is_acoustic(config["encoders"][model])]
    LOCAL = {
        model: configuration.checkpoint_files(
            model,
            config["encoders"][model]["checkpoint"],
            config["encoders"][model].get("control") != "random",
        )
        for model in config["models"]
        if model not in [*HUB, *ACOUSTIC] and config["encoders"][model].get("source") != "demo"
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
# of figures and tables, by the name of their caption in workflow/report
TITLES = {
    "claims": "The paper's claims",
    "paper": "The paper's numbers beside ours",
    "probe_table": "Best and worst layers",
    "probe_layers": "Accuracy by layer",
    "probe_emotions": "Recall of each emotion by layer",
    "confusion": "Confusion of emotions",
    "leakage": "Speaker leakage",
    "leakage_table": "Speaker leakage, in numbers",
    "adapt_table": "Two-stage adaptation, in numbers",
    "adapt": "Two-stage adaptation",
    "comparisons": "Differences that hold",
    "fad": "Fréchet audio distance by layer",
    "fad_table": "Fréchet audio distances, and how sure their order is",
    "kad": "Kernel audio distances",
}
SPLITS = [
    f"{protocol}-{seed}" for protocol in config["split"]["protocols"] for seed in config["split"]["seeds"]
]
# speech and song of RAVDESS with all their emotions, which the paper is about; None in other runs
BY_CHANNEL = {
    config["corpora"][d].get("channel"): d for d in DOMAINS if config["corpora"][d]["reader"] == "ravdess"
}
PAPER_EMOTIONS = {"neutral", "calm", "happy", "sad", "angry", "fearful"}
PAPER_DOMAINS = (
    [BY_CHANNEL["speech"], BY_CHANNEL["song"]]
    if len(BY_CHANNEL) == 2 and set(EMOTIONS) == PAPER_EMOTIONS
    else None
)
TASKS = ["probe", "adapt"]
# whether both protocols were used, so that there is something to set side by side
LEAKAGE = any({"random", "speaker"} <= set(config[part]["protocols"]) for part in ("split", "adapt"))
CLIPS = [f"{RESULTS}/clips/{domain}.csv" for domain in DOMAINS]
CLIP_COUNTS = {domain: Counter(r.emotion for r in RUN.recordings[domain]) for domain in DOMAINS}


def site(name):
    """What the profile of a cluster says under a name among its default resources; nothing without such a profile."""
    said = SITE.get(name)
    # Snakemake takes it for Python: quotes are part of what is said
    return str(said.raw).strip("'\"") if said is not None else ""


def has_gpu():
    """Whether this machine has a GPU. The program that would know may be there without one, as in a container."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return any(line.startswith("GPU ") for line in listed.stdout.splitlines())


SITE = workflow.resource_settings.default_resources or {}
# jobs go elsewhere, where another machine's cores and GPUs are; the partition may be "", the one that Slurm chooses
CLUSTER = SITE.get("slurm_partition") is not None
# a GPU is asked for where there is one, or where the config names one; what is asked for does not depend on what a job
# finds there: `device: auto` is the GPU in a job that sees one
GPU = int(
    config["device"].startswith("cuda")
    or (config["device"] == "auto" and (bool(site("gpu_partition")) if CLUSTER else has_gpu()))
)
# of every job that uses a GPU
ON_GPU = {"gpu": GPU}
if GPU and CLUSTER:
    ON_GPU |= {"slurm_partition": site("gpu_partition") or site("slurm_partition")}
    ON_GPU |= {"gpu_model": site("gpu_type")} if site("gpu_type") else {}


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


def threads(most):
    """Threads of a job that can use so many: on one machine at most half of its cores, for a second job beside it."""
    return most if CLUSTER else max(1, min(most, cores() // 2))


def growing(amount):
    """Memory or minutes, as much again with each attempt: see `retries` of profiles/slurm.

    The first attempt has about twice what was measured at the paper's size, and 270 MB for the two Snakemakes that a
    job of a cluster runs in.
    """
    return lambda wildcards, attempt: amount * attempt


def layers(model):
    """The two digits of each hidden state of an encoder."""
    return [f"{layer:02d}" for layer in range(ENCODERS[model]["layers"] + 1)]


def approaches(model):
    """The approaches of adaptation that an encoder takes: log-mel has no layers to weight and no blocks to adapt."""
    return [a for a in config["adapt"]["approaches"] if a == "baseline" or model not in ACOUSTIC]


def stages(model):
    """The stages of adaptation of an encoder, as the paths of their results without a suffix."""
    return [
        f"{approach}/{protocol}-{seed}/{direction}"
        for approach in approaches(model)
        for protocol in config["adapt"]["protocols"]
        for seed in config["adapt"]["seeds"]
        for direction in DIRECTIONS
    ]


def predictions(model, task):
    """The predictions of an encoder's probes, or of its stages of adaptation."""
    if task == "adapt":
        return [f"{RESULTS}/predictions/{model}/{stage}.csv" for stage in stages(model)]
    return [
        f"{RESULTS}/predictions/{model}/probe/{domain}/layer{layer}.csv"
        for domain in DOMAINS
        for layer in layers(model)
    ]


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


@cache
def weights_megabytes(model):
    """The size of an encoder's weights; 0 before they are here."""
    folder = Path(encoder_folder(model))
    files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    return sum(file.stat().st_size for file in files) / 1e6


def extraction_megabytes(model):
    """Memory of a job of extraction: `growing`, with the clip means of all layers, and weights beyond base size."""

    def megabytes(wildcards, attempt):
        means = CLIP_COUNTS[wildcards.domain][wildcards.emotion] * len(layers(model)) * width(model) * 4 / 1e6
        # 3000 has room for 400 MB, twice: as they are read, and in the model
        weights = 2 * max(0, weights_megabytes(model) - 400)
        return round(3000 + means + weights) * attempt

    return megabytes


@cache
def width(model):
    """The width of an encoder; 768 before its config.json is here."""
    return costs.width(encoder_folder(model))


def embedding_files(model, domain):
    """The embeddings of a model in a domain: layer by layer, in each the emotions in their order."""
    return [
        f"{RESULTS}/embeddings/{model}/{domain}/layer{layer}/{emotion}.h5"
        for layer in layers(model)
        for emotion in EMOTIONS
    ]


DIGESTS = {}


def digest(domain, emotion=None):
    """The digest of recordings, as a param. It stands for them: as inputs they would cost Snakemake far more."""
    if (domain, emotion) not in DIGESTS:
        found = recordings.digest([r for r in RUN.recordings[domain] if emotion in (None, r.emotion)])
        if any(domain in unfetched for unfetched in RUN.unfetched.values()):
            # to be had only in the middle of this run, so that it changes
            return found
        # one for all encoders: the largest corpora take seconds
        DIGESTS[domain, emotion] = found
    return DIGESTS[domain, emotion]


def still_to_fetch():
    """What `all` needs from elsewhere and is not here yet: a line each, with where it goes or which key replaces it."""
    unpacked = [
        f"RAVDESS {corpus['channel']} (zenodo.org/records/1188976) into {corpus['root']}, or set `corpora.{domain}.root`"
        for domain, corpus in RUN.unfetched.get("zenodo", {}).items()
        if not recordings.files_below(corpus["root"])
    ]
    sharing = {folder: [m for m in HUB if HUB[m] == folder] for folder in HUB.values()}
    encoders = [
        f"{ENCODERS[models[0]]['checkpoint']} into {folder}, or set "
        + " and ".join(f"`encoders.{model}.checkpoint`" for model in models)
        for folder, models in sharing.items()
        if not (folder / "config.json").exists()
    ]
    return [f"Still to be fetched: {item}" for item in unpacked + encoders]


def fetched(*domains):
    """No input, but to be had only once the recordings of the domains are there."""
    for source, unfetched in RUN.unfetched.items():
        if unfetched.keys() & set(domains):
            getattr(
                checkpoints,
                {"zenodo": "fetch_ravdess", "demo": "synthesise_voices"}[source],
            ).get()
    return []


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
        "layers": (
            [0]
            if wildcards.model in ACOUSTIC
            else sorted(settings["layers"] or range(1, ENCODERS[wildcards.model]["layers"] + 1))
        ),
        "training": training,
        "adapters": adapters,
    }


def adaptation_inputs(wildcards):
    """The split of a stage and, for stage two, the checkpoint that it starts from."""
    if wildcards.approach not in approaches(wildcards.model):
        raise WorkflowError(f"`{wildcards.model}` is log-mel spectra, which have only the approach baseline")
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
    """The digests of the recordings that peft learns from."""
    return [digest(domain) for domain in DIRECTIONS[wildcards.direction] if domain is not None]


def splits_of(part):
    """Protocols and seeds, in words."""
    seeds = ", ".join(map(str, config[part]["seeds"]))
    return f"{' and '.join(config[part]['protocols'])} split, seeds {seeds}"


def folds_left_out():
    """Which uses of the speaker split do not test everybody."""
    return [
        f"`{part}`: the seeds {', '.join(map(str, config[part]['seeds']))} of the speaker split test some people only; "
        "0 to 4 test everybody once"
        for part in ("split", "adapt")
        if "speaker" in config[part]["protocols"] and len({seed % 5 for seed in config[part]["seeds"]}) < 5
    ]


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
        f"Without a GPU the {len(stages)} peft stages take about {costs.in_words(hours)} on two cores (an estimate from the "
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
    for line in RUN.notes + folds_left_out() + peft_without_gpu(workflow.dag.needrun_jobs()):
        logger.info(line)


onerror:
    for line in still_to_fetch():
        logger.error(line)


onsuccess:
    if config["notice"]:
        logger.info(config["notice"])
    if Path(RESULTS, "figures").is_dir():
        logger.info(f"Figures: {RESULTS}/figures   Tables: {RESULTS}/tables")
