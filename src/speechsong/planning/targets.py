"""Targets: which layers, approaches, stages and splits a checked configuration asks for.

Every function takes the configuration after `config.check`. A stage of adaptation is named by its direction: `speech`
is stage one on speech, `speech-music` is stage two on music after it, `music-music` is the control with equal budget,
and `speech+music` is one stage on both domains together. No domain can have a + in its name.
"""

from __future__ import annotations

from dataclasses import asdict

from speechsong.corpora.edits import of_corpus
from speechsong.corpora.splits import FOLDS
from speechsong.errors import UserError
from speechsong.planning.config import is_adapted, is_logmel, pretrained_folder
from speechsong.pretraining.settings import Settings

# what an adapter's part depends on, among the keys of `adapt`
PARTS = {"lora": ("rank", "alpha", "targets"), "bottleneck": ("width",), "gate": ("gate",)}
PAPER_EMOTIONS = {"neutral", "calm", "happy", "sad", "angry", "fearful"}


def layers(config: dict, model: str) -> list[str]:
    """Name the hidden states of an encoder by two digits, as paths do."""
    return [f"{layer:02d}" for layer in range(config["encoders"][model]["layers"] + 1)]


def corpus(config: dict, domain: str) -> str:
    """Name the corpus of a domain if it is a published one that the workflow knows; "" otherwise."""
    entry = config["corpora"][domain]
    # the demo's voices have RAVDESS's file names
    return "RAVDESS" if entry["reader"] == "ravdess" and entry.get("source") != "demo" else ""


def encoder_params(config: dict, model: str) -> dict:
    """Give what the output of an encoder depends on: its entry without what only the claims ask for.

    In one order: Snakemake takes parameters in another order for others, and a config's author writes them in any. An
    encoder that is pre-trained has the folder that it is kept in as its checkpoint.
    """
    entry = config["encoders"][model]
    if "pretrain" in entry:
        entry = entry | {"checkpoint": pretrained_folder(config, model)}
    if not is_logmel(entry):
        entry = entry | {"precision": config["precision"]}
    return {key: value for key, value in sorted(entry.items()) if key not in ("pretrained_on", "pretrain")}


def pretrain_params(config: dict, model: str) -> dict:
    """Give all settings of a pre-training by name, with the defaults of those that the entry leaves out."""
    return asdict(Settings(**config["encoders"][model]["pretrain"]))


def all_approaches(config: dict) -> list[str]:
    """List the approaches of a run: peft with all parts is `peft`, with one part `peft-lora` and so on."""
    adapt = config["adapt"]
    by_part = ["peft" if part == "all" else f"peft-{part}" for part in adapt["parts"]]
    return [name for approach in adapt["approaches"] for name in (by_part if approach == "peft" else [approach])]


def approaches(config: dict, model: str) -> list[str]:
    """List the approaches of an encoder: log-mel has no layers to weight and no blocks to adapt."""
    if not is_adapted(config, model):
        return []
    logmel = is_logmel(config["encoders"][model])
    return [a for a in all_approaches(config) if a == "baseline" or not logmel]


def seeds(config: dict, part: str, approach: str) -> list[int]:
    """List the seeds of `split`, or those of an approach in `adapt`; all forms of peft have the same."""
    chosen = config[part]["seeds"]
    return chosen[approach.partition("-")[0]] if isinstance(chosen, dict) else chosen


def seeds_by_approach(config: dict, part: str) -> dict[str, list[int]]:
    """List the seeds of `split` or `adapt` by what they are for: "" or, where they differ, an approach."""
    if part == "split":
        return {"": config[part]["seeds"]}
    by_approach = {approach: seeds(config, part, approach) for approach in config[part]["approaches"]}
    first, *others = by_approach.values()
    return by_approach if any(other != first for other in others) else {"": first}


def directions(domains: list[str]) -> dict[str, tuple[str, str | None]]:
    """Give source and target of every stage by its name; the target is None unless it is a stage two."""
    stages: dict[str, tuple[str, str | None]] = {source: (source, None) for source in [*domains, "+".join(domains)]}
    return stages | {f"{source}-{target}": (source, target) for source in domains for target in domains}


def trained_on(domains: list[str], direction: str) -> list[str]:
    """List the domains that a stage trains on: one, or both in joint training."""
    source, target = directions(domains)[direction]
    return (target or source).split("+")


def stages(config: dict, model: str) -> list[str]:
    """List the stages of adaptation of an encoder, as the paths of their results without a suffix."""
    adapt = config["adapt"]
    return [
        f"{approach}/{protocol}-{seed}/{direction}"
        for approach in approaches(config, model)
        for protocol in adapt["protocols"]
        for seed in seeds(config, "adapt", approach)
        for direction in directions(config["domains"])
    ]


def stage_params(config: dict, model: str, approach: str, protocol: str, seed: str, direction: str) -> dict:
    """List what the training of a stage depends on: the fields of `adaptation.stages.Stage` except files and code.

    Raises
    ------
    UserError
        If the encoder does not support the approach.
    """
    if approach not in approaches(config, model):
        raise UserError(f"`{model}` is log-mel spectra, which have only the approach baseline")
    adapt, encoder = config["adapt"], encoder_params(config, model)
    source, target = directions(config["domains"])[direction]
    training = {key: adapt[key] for key in ("epochs", "weight_decay", "batch_size", "patience")}
    kind, _, part = approach.partition("-")
    training["learning_rate"] = adapt["learning_rate"][kind]
    adapters = {}
    if kind == "peft":
        adapters = {key: adapt[key] for name, keys in PARTS.items() if part in ("", name) for key in keys}
        training["freeze_gate"] = adapt["freeze_gate"] and target is not None
    # what is trained on; then the source, to see what was forgotten, or without a stage two every other domain
    others = [source] if target is not None else config["domains"]
    deep = sorted(adapt["layers"] or range(1, encoder["layers"] + 1))
    return {
        "model": model,
        "approach": approach,
        "protocol": protocol,
        "seed": int(seed),
        "source": source,
        "target": target,
        "tested": list(dict.fromkeys([*trained_on(config["domains"], direction), *others])),
        "encoder": encoder,
        # `speechsong predict` does the same to other recordings
        "edits": asdict(of_corpus(config["corpora"][trained_on(config["domains"], direction)[0]])),
        "emotions": config["emotions"],
        "layers": [0] if is_logmel(encoder) else deep,
        "training": training,
        "adapters": adapters,
    }


def embeddings(config: dict, model: str, domain: str, layers: list[str]) -> list[str]:
    """List the embedding files of some layers of an encoder in a domain. `<results>` is the folder of the run."""
    return [
        f"<results>/embeddings/{model}/{domain}/layer{layer}/{emotion}.h5"
        for layer in layers
        for emotion in config["emotions"]
    ]


def from_domains(files: dict[str, list[str]]) -> dict[str, list[str]]:
    """Name a rule's inputs of each domain, so that no domain can have the name of another input."""
    return {f"from_{domain}": paths for domain, paths in files.items()}


def stage_files(config: dict, model: str, approach: str, protocol: str, seed: str, direction: str) -> dict[str, str]:
    """Name the split of a stage and, for stage two, the checkpoint that it starts from.

    Raises
    ------
    UserError
        As `stage_params`.
    """
    stage = stage_params(config, model, approach, protocol, seed, direction)
    files = {"split": f"<results>/splits/{protocol}-{seed}.csv"}
    if stage["target"] is not None:
        start = f"<results>/checkpoints/{model}/{approach}/{protocol}-{seed}/{stage['source']}"
        files |= {"start": f"{start}.safetensors", "description": f"{start}.json"}
    return files


def pooled_params(config: dict, model: str, approach: str, protocol: str, seed: str) -> dict[str, dict]:
    """List `stage_params` of all directions of baseline or ws by their names, each after the stage it starts from.

    Raises
    ------
    UserError
        As `stage_params`.
    """
    names = directions(config["domains"])
    return {name: stage_params(config, model, approach, protocol, seed, name) for name in names}


def pooled_files(config: dict, model: str, approach: str, protocol: str, seed: str) -> dict[str, str | list[str]]:
    """Name the split and, by domain (`from_domains`), the embeddings that baseline and ws learn from.

    Raises
    ------
    UserError
        As `stage_params`.
    """
    first = next(iter(pooled_params(config, model, approach, protocol, seed).values()))
    deep = [f"{layer:02d}" for layer in first["layers"]]
    by_domain = {domain: embeddings(config, model, domain, deep) for domain in config["domains"]}
    return {"split": f"<results>/splits/{protocol}-{seed}.csv"} | from_domains(by_domain)


def predictions(config: dict, model: str, task: str) -> list[str]:
    """List the predictions of an encoder's probes (`probe`), or of its stages of adaptation (`adapt`)."""
    if task == "adapt":
        return [f"<results>/predictions/{model}/{stage}.csv" for stage in stages(config, model)]
    return [
        f"<results>/predictions/{model}/probe/{domain}/layer{layer}.csv"
        for domain in config["domains"]
        for layer in layers(config, model)
    ]


def sides(config: dict) -> list[str] | None:
    """Name the domains that are RAVDESS speech and song; None in runs of anything else."""
    corpora = {domain: config["corpora"][domain] for domain in config["domains"]}
    by_channel = {c["channel"]: domain for domain, c in corpora.items() if c["reader"] == "ravdess"}
    return [by_channel["speech"], by_channel["song"]] if set(by_channel) == {"speech", "song"} else None


def paper_domains(config: dict) -> list[str] | None:
    """Name the domains that are RAVDESS speech and song with all six emotions; None in runs of anything else."""
    return sides(config) if set(config["emotions"]) == PAPER_EMOTIONS else None


def compares_protocols(config: dict) -> bool:
    """Tell whether probes or adaptation use both protocols, so that leakage can be shown."""
    return any({"random", "speaker"} <= set(config[part]["protocols"]) for part in ("split", "adapt"))


def splits_in_words(config: dict, part: str) -> str:
    """Describe protocols and seeds of `split` or `adapt`."""
    named = [
        f"seeds {', '.join(map(str, some))}{f' ({approach})' if approach else ''}"
        for approach, some in seeds_by_approach(config, part).items()
    ]
    return f"{' and '.join(config[part]['protocols'])} split, {', '.join(named)}"


def folds_left_out(config: dict) -> list[str]:
    """Say, in one line each, where the seeds of the speaker split do not test every speaker."""
    return [
        f"`{part}`: the seeds {', '.join(map(str, some))} of the speaker split{f' for {approach}' if approach else ''} "
        "test only some speakers; 0 to 4 test every speaker once"
        for part in ("split", "adapt")
        if "speaker" in config[part]["protocols"]
        for approach, some in seeds_by_approach(config, part).items()
        if len({seed % FOLDS for seed in some}) < FOLDS
    ]
