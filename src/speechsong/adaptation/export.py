"""Use of a checkpoint elsewhere: predict the emotions in recordings, or export its LoRA in the format of `peft`."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from speechsong import files
from speechsong.adaptation import card, checkpoints
from speechsong.corpora.edits import Edits
from speechsong.encoders.families import FAMILIES
from speechsong.errors import UserError


def export(checkpoint: str | Path, folder: str | Path, with_card: bool = False) -> str:
    """Write the LoRA part of a checkpoint as adapter_model.safetensors and adapter_config.json, and how to load it.

    Parameters
    ----------
    checkpoint
        A checkpoint of approach peft or peft-lora.
    folder
        Where these two files and README.md go; created if missing.
    with_card
        Whether README.md is a model card, instead of saying only how to load it.

    Returns
    -------
    str
        Lines that say what was exported, what was not, and how to load it.

    Raises
    ------
    UserError
        If the checkpoint cannot be read or has no LoRA that fits its description, the folder holds a model, or the
        files cannot be written.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the files of the export")
    if (folder / "config.json").exists():
        # whoever loads the model there would get the adapter, too
        raise UserError(f"{folder}: holds a model (config.json); name a folder of its own for the export")
    readme = folder / "README.md"
    if readme.exists() and not files.read_bytes(readme).startswith((_TITLE.encode(), card.START.encode())):
        raise UserError(f"{readme}: is not of an export; name a folder of its own")
    parameters, description = checkpoints.read(checkpoint)
    lora = {name.removeprefix("lora."): value for name, value in parameters.items() if name.startswith("lora.")}
    if not lora:
        held = " and ".join(part for part, count in checkpoints.count(parameters).items() if count)
        raise UserError(
            f"{checkpoint}: holds no LoRA ({description['approach']}), and `peft` has no format for its {held}; "
            "`speechsong predict` uses them"
        )
    config = _peft_config(checkpoint, description)
    _check_lora(checkpoint, lora, parameters["head.weight"].shape[1], description)
    said = _how_to_load(folder, description, checkpoints.count(parameters), len(lora) // 2)
    text = card.compose(checkpoint, description) if with_card else _readme(description)
    # `peft` wraps the whole model; where that has a decoder too, ours is its submodule `encoder`
    prefix = "base_model.model." + ("encoder." if FAMILIES[description["family"]].has_decoder else "")
    with files.atomic(folder / "adapter_model.safetensors") as temporary:
        temporary.write_bytes(save({prefix + name: value for name, value in lora.items()}, metadata={"format": "pt"}))
    with files.atomic(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with files.atomic(folder / "adapter_config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return said


def _check_lora(checkpoint: str | Path, lora: dict[str, np.ndarray], width: int, description: dict) -> None:
    """Check that LoRA is of the projections and blocks that the description says, and of the right shapes."""
    settings, blocks = description["settings"], description["layers"][-1]
    shapes = {"A": (settings["rank"], width), "B": (width, settings["rank"])}
    found = set()
    for name, value in lora.items():
        match = re.fullmatch(r"(?:encoder\.)?layers\.(\d+)\.[a-z_]+\.([a-z]+)_proj\.lora_([AB])\.weight", name)
        if match is None or value.shape != shapes[match[3]]:
            raise UserError(f"{checkpoint}: lora.{name}, {value.shape}, is no LoRA of its settings; train it again")
        found.add((int(match[1]), match[2], match[3]))
    wanted = {(b, target, part) for b in range(blocks) for target in settings["targets"] for part in "AB"}
    if found != wanted:
        block, target, part = min(found ^ wanted)
        what = "is missing" if (block, target, part) in wanted else "is not of its settings"
        raise UserError(f"{checkpoint}: lora_{part} of {target}_proj in block {block} {what}; train it again")


def _peft_config(checkpoint: str | Path, description: dict) -> dict:
    """Make the content of adapter_config.json."""
    from speechsong.adaptation import adapters

    config = adapters.lora_config(_adapter_settings(checkpoint, description))
    if not checkpoints.is_random(description):
        # what `AutoPeftModel` needs to know
        base = _base_class(description)
        config.auto_mapping = {"base_model_class": base.__name__, "parent_library": base.__module__}
        config.base_model_name_or_path = description["encoder"]["checkpoint"]
        config.revision = description["encoder"]["revision"]
    config.inference_mode = True
    if FAMILIES[description["family"]].has_decoder:
        # the decoder's projections have the same names
        names = "|".join(sorted(config.target_modules))
        blocks = "|".join(map(str, config.layers_to_transform))
        config.target_modules = rf"(.*\.)?encoder\.layers\.({blocks})\.self_attn\.({names})"
        config.layers_to_transform = config.layers_pattern = None
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}


def _base_class(description: dict) -> Any:
    """The class in transformers of the model that LoRA was trained on."""
    import transformers

    return getattr(transformers, f"{FAMILIES[description['family']].prefix}Model")


_README = """{title}

Trained by speechsong on `{name}`; the classes were {classes}. Bottleneck adapters, gates, layer weights and the head of
the training are not in it.

Run the code below in this folder, or put the folder's path in the place of ".".
{notes}
## Without a head

```python
from peft import PeftModel
from transformers import {model}

base = {base}
model = PeftModel.from_pretrained(base, ".").merge_and_unload()
```

## With a head

A model with a head, such as `{headed}` or any other of the family, holds the encoder as its part
`{part}`. Put LoRA onto that part. On the whole model, peft finds no weight of that name, warns, and leaves LoRA at
zero.

```python
from peft import PeftModel
from transformers import {headed}

model = {head}
model.{part} = PeftModel.from_pretrained(model.{part}, ".").merge_and_unload()
```
"""
_TITLE = "# LoRA of an encoder"


def _readme(description: dict) -> str:
    """Say how to load the export, in Markdown with code that runs as it is."""
    from speechsong.encoders import loading

    kind, base_class = FAMILIES[description["family"]], _base_class(description)
    model, name, revision = (
        base_class.__name__,
        description["encoder"]["checkpoint"],
        description["encoder"]["revision"],
    )
    headed = f"{kind.prefix}For{'ConditionalGeneration' if kind.has_decoder else 'SequenceClassification'}"
    source = ".from_pretrained(" + json.dumps(name) + (f", revision={json.dumps(revision)})" if revision else ")")
    notes = []
    if checkpoints.is_random(description):
        notes.append(
            f"The encoder had random weights: those of `{model}(config)` after "
            f"`torch.manual_seed({loading.RANDOM_SEED})`. Put them in the place of the dots."
        )
    else:
        notes.append('`AutoPeftModel.from_pretrained(".")` loads the encoder by itself, and does not merge.')
    if kind.reads_bare_weights:
        notes.append(
            f"`{model}` reads its weights without calling its layers, so LoRA does nothing until it is merged."
        )
    return _README.format(
        title=_TITLE,
        name=name,
        classes=", ".join(description["emotions"]),
        notes="".join(f"\n{note}\n" for note in notes),
        model=model,
        base="..." if checkpoints.is_random(description) else model + source,
        headed=headed,
        part=base_class.base_model_prefix,
        head="..." if checkpoints.is_random(description) else headed + source,
    )


def _how_to_load(folder: Path, description: dict, counts: dict[str, int], projections: int) -> str:
    from speechsong.encoders import loading

    kind, random = FAMILIES[description["family"]], checkpoints.is_random(description)
    absent = [f"{part} ({counts[part]:,} numbers)" for part in checkpoints.PARTS if part != "lora" and counts[part]]
    model = f"{kind.prefix}Model"
    base = f"{model}(its config)" if random else f"{model}.from_pretrained(...)"
    trained_on = description["encoder"]["checkpoint"] + (" with random weights" if random else "")
    lines = [
        f"{folder}: LoRA of {projections} projections for {trained_on}",
        f"Not in it: {', '.join(absent)}; `speechsong predict` uses them all",
        f"Load it onto transformers.{model}: PeftModel.from_pretrained({base}, {str(folder)!r})",
    ]
    if random:
        lines.append(f"The weights are those of {base} after torch.manual_seed({loading.RANDOM_SEED})")
    if kind.reads_bare_weights:
        lines.append(f"{model} reads bare weights: call merge_adapter() after PeftModel.from_pretrained")
    lines.append(f"How to load it onto a model with a head: {folder / 'README.md'}")
    return "\n".join(lines)


def predict(checkpoint: str | Path, audio: list[str], folder: str | Path | None = None) -> tuple[list[str], np.ndarray]:
    """Compute the probability of each emotion in recordings.

    Parameters
    ----------
    checkpoint
        A checkpoint of any approach.
    audio
        Paths of n recordings.
    folder
        The encoder's folder. None if that is where it was at training, or where the workflow keeps encoders.

    Returns
    -------
    emotions : list of C str
        Names of the classes.
    probabilities : ndarray (n, C), float64
        One row per recording; each adds up to 1.

    Raises
    ------
    UserError
        If the checkpoint, the encoder or a recording cannot be used.
    """
    parameters, description = checkpoints.read(checkpoint)
    if description["encoder"].get("control") == "log-mel":
        from speechsong.encoders import logmel

        edits = _edits(checkpoint, description)
        pooled = np.stack([logmel.summary(logmel.frames(path, edits))[None] for path in audio])
        logits = _classify(checkpoint, parameters, description, pooled)
    else:
        logits = _encode_and_classify(checkpoint, parameters, description, audio, folder)
    logits = np.array(logits, dtype=float)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return description["emotions"], exponentials / exponentials.sum(axis=1, keepdims=True)


def _adapter_settings(checkpoint: str | Path, description: dict):
    """Make the `adapters.Settings` of a checkpoint of approach peft, or of one of its parts."""
    from speechsong.adaptation import adapters

    parts = checkpoints.APPROACHES[description["approach"]]
    settings = {key: description["settings"][key] for part in parts for key in checkpoints.ADAPTERS[part]}
    targets, gate = settings.get("targets", []), settings.get("gate", "identity")
    known = gate in adapters.GATES and all(isinstance(t, str) and t in ("q", "k", "v", "out") for t in targets)
    if not known or description["layers"][0] < 1:
        raise UserError(
            f"{checkpoint}: no adapters have targets {targets}, gate {gate!r} and layers {description['layers']}; let "
            "`snakemake` train it again"
        )
    return adapters.Settings(**settings, layers=tuple(description["layers"]))


def _edits(checkpoint: str | Path, description: dict) -> Edits:
    """What of a recording to keep, as in training; checkpoints of earlier versions were trained on all of it."""
    edits = description.get("edits", {})
    try:
        return Edits(**edits)
    except TypeError:
        raise UserError(f"{checkpoint}: edits cannot be {edits!r}; let `snakemake` train it again") from None


def _encode_and_classify(
    checkpoint: str | Path, parameters: dict, description: dict, audio: list[str], folder: str | Path | None
) -> np.ndarray:
    """Compute logits (n, C) of recordings with a checkpoint that was trained on an encoder, not on log-mel spectra."""
    import torch

    from speechsong.adaptation import adapters, fronts, learners
    from speechsong.encoders import loading

    folder = Path(folder or _encoder_folder(checkpoint, description))
    if not (folder / "config.json").is_file():
        raise UserError(f"--encoder {folder}: holds no config.json; name a folder in transformers' layout")
    entry = description["encoder"] | {"window_seconds": description["window_seconds"]}
    encoder = loading.load_entry(folder, description["model"], entry, "auto")
    if (encoder.family, encoder.weights) != (description["family"], description["weights"]):
        trained = f"{description['encoder']['checkpoint']} ({description['family']}, weights {description['weights']})"
        raise UserError(
            f"{folder}: this encoder ({encoder.family}, weights {encoder.weights}) is not the one that {checkpoint} "
            f"was trained on; name the folder of {trained} with --encoder"
        )
    if description["layers"][-1] > encoder.layers:
        raise UserError(
            f"{checkpoint}: has layer {description['layers'][-1]}, but {folder} has {encoder.layers} layers"
        )
    layers, edits = description["layers"], _edits(checkpoint, description)
    if not checkpoints.APPROACHES[description["approach"]]:
        means = [fronts.clip_means(encoder, fronts.front(encoder, path, edits), layers) for path in audio]
        return _classify(checkpoint, parameters, description, np.stack(means))
    model = adapters.Adapted(encoder, _adapter_settings(checkpoint, description), len(description["emotions"]), seed=0)
    checkpoints.check_shapes(checkpoint, parameters, model.trained())
    learners.load(model, parameters)
    with torch.no_grad():
        return np.stack([model([fronts.front(encoder, path, edits)])[0].cpu().numpy() for path in audio])


def _classify(checkpoint: str | Path, parameters: dict, description: dict, means: np.ndarray) -> np.ndarray:
    """Compute logits (n, C) of clip means (n, N, d) with a checkpoint of approach baseline or ws."""
    import torch

    from speechsong.adaptation import learners

    _, layers, width = means.shape
    weighted = description["approach"] == "ws"
    model = learners.LinearClassifier(width, len(description["emotions"]), layers if weighted else None)
    checkpoints.check_shapes(checkpoint, parameters, model.trained())
    learners.load(model, parameters)
    with torch.no_grad():
        return model(torch.from_numpy(means if weighted else means.mean(axis=1))).numpy()


def _encoder_folder(checkpoint: str | Path, description: dict) -> Path:
    from speechsong.encoders.hub import hub_folder

    name, revision = description["encoder"]["checkpoint"], description["encoder"]["revision"]
    folders = [Path(name)]
    if revision:
        # a local folder may have inherited a revision, but then its name need not be valid on the hub
        with contextlib.suppress(UserError):
            folders.append(hub_folder("data/encoders", name, revision))
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    raise UserError(f"{checkpoint}: its encoder {name} is not here; name its folder with --encoder")
