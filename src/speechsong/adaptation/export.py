"""Use of a checkpoint elsewhere: predict the emotions in recordings, or export its LoRA in the format of `peft`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from speechsong import files
from speechsong.adaptation import checkpoints
from speechsong.encoders.families import FAMILIES
from speechsong.errors import UserError


def export(checkpoint: str | Path, folder: str | Path) -> str:
    """Write the LoRA part of a checkpoint as adapter_model.safetensors and adapter_config.json.

    Parameters
    ----------
    checkpoint
        A checkpoint of approach peft.
    folder
        Where the two files go; created if missing.

    Returns
    -------
    str
        Lines that say what was exported, what was not, and how to load it.

    Raises
    ------
    UserError
        If the checkpoint cannot be read or has no LoRA, or the files cannot be written.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the two files of the export")
    parameters, description = checkpoints.read(checkpoint)
    lora = {name.removeprefix("lora."): value for name, value in parameters.items() if name.startswith("lora.")}
    if not lora:
        raise UserError(f"{checkpoint}: holds no LoRA ({description['approach']}); export one of approach peft")
    # `peft` wraps the whole model; where that has a decoder too, ours is its submodule `encoder`
    prefix = "base_model.model." + ("encoder." if FAMILIES[description["family"]].has_decoder else "")
    with files.atomic(folder / "adapter_model.safetensors") as temporary:
        temporary.write_bytes(save({prefix + name: value for name, value in lora.items()}, metadata={"format": "pt"}))
    with files.atomic(folder / "adapter_config.json") as temporary:
        config = json.dumps(_peft_config(description), indent=2, sort_keys=True)
        temporary.write_text(config + "\n", encoding="utf-8")
    return _how_to_load(folder, description, checkpoints.count(parameters), len(lora) // 2)


def _peft_config(description: dict) -> dict:
    """Make the content of adapter_config.json."""
    from speechsong.adaptation import adapters

    config = adapters.lora_config(_adapter_settings(description))
    if not _is_random(description):
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


def _how_to_load(folder: Path, description: dict, counts: dict[str, int], projections: int) -> str:
    from speechsong.encoders import loading

    kind, random = FAMILIES[description["family"]], _is_random(description)
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
    return "\n".join(lines)


def _is_random(description: dict) -> bool:
    return description["encoder"].get("control") == "random"


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

        pooled = np.stack([logmel.summary(logmel.frames(path))[None] for path in audio])
        logits = _classify(checkpoint, parameters, description, pooled)
    else:
        logits = _encode_and_classify(checkpoint, parameters, description, audio, folder)
    logits = np.array(logits, dtype=float)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return description["emotions"], exponentials / exponentials.sum(axis=1, keepdims=True)


def _adapter_settings(description: dict):
    """Make the `adapters.Settings` of a checkpoint of approach peft."""
    from speechsong.adaptation import adapters

    settings = {key: description["settings"][key] for key in ("rank", "alpha", "targets", "width", "gate")}
    return adapters.Settings(**settings, layers=tuple(description["layers"]))


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
    layers = description["layers"]
    if description["approach"] != "peft":
        means = [fronts.clip_means(encoder, fronts.front(encoder, path), layers) for path in audio]
        return _classify(checkpoint, parameters, description, np.stack(means))
    model = adapters.Adapted(encoder, _adapter_settings(description), len(description["emotions"]), seed=0)
    checkpoints.check_shapes(checkpoint, parameters, model.trained())
    learners.load(model, parameters)
    with torch.no_grad():
        return np.stack([model([fronts.front(encoder, path)])[0].cpu().numpy() for path in audio])


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
