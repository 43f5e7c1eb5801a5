"""Using what adaptation trained: naming the emotions in recordings, and LoRA in the format of `peft`."""

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
        Of approach peft.
    folder
        Where the two files go.

    Returns
    -------
    str
        What was written and what is not in it.

    Raises
    ------
    UserError
        Where the checkpoint has no LoRA or cannot be read.
    """
    from safetensors.numpy import save

    from speechsong.adaptation import adapters
    from speechsong.encoders import loading

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the two files of the export")
    parameters, description = checkpoints.read(checkpoint)
    lora = {name.removeprefix("lora."): value for name, value in parameters.items() if name.startswith("lora.")}
    if not lora:
        raise UserError(f"{checkpoint}: holds no LoRA ({description['approach']}); export one of approach peft")
    # `peft` wraps the whole model; our Whisper is the encoder alone
    whisper = not any(name.startswith("encoder.") for name in lora)
    prefix = "base_model.model." + ("encoder." if whisper else "")
    settings = description["settings"]
    config = adapters.lora_config(
        adapters.Settings(
            **{key: settings[key] for key in ("rank", "alpha", "targets", "width", "gate")},
            layers=tuple(description["layers"]),
        )
    )
    random = description["encoder"].get("control") == "random"
    if not random:
        config.base_model_name_or_path = description["encoder"]["checkpoint"]
        config.revision = description["encoder"]["revision"]
    config.inference_mode = True
    if whisper:
        # the decoder's projections have the same names
        names = "|".join(sorted(config.target_modules))
        blocks = "|".join(map(str, config.layers_to_transform))
        config.target_modules = rf"(.*\.)?encoder\.layers\.({blocks})\.self_attn\.({names})"
        config.layers_to_transform = config.layers_pattern = None
    with files.atomic(folder / "adapter_model.safetensors") as temporary:
        temporary.write_bytes(save({prefix + name: value for name, value in lora.items()}, metadata={"format": "pt"}))
    content = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    with files.atomic(folder / "adapter_config.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    counts = checkpoints.count(parameters)
    absent = [f"{part} ({counts[part]:,} numbers)" for part in checkpoints.PARTS if part != "lora" and counts[part]]
    base, model = description["encoder"]["checkpoint"], f"{FAMILIES[description['family']]}Model"
    loaded = f"{model}(its config)" if random else f"{model}.from_pretrained(...)"
    lines = [
        f"{folder}: LoRA of {len(lora) // 2} projections for {base}{' with random weights' if random else ''}",
        f"Not in it: {', '.join(absent)}; `speechsong predict` has them all",
        f"Load it onto transformers.{model}: PeftModel.from_pretrained({loaded}, {str(folder)!r})",
    ]
    if random:
        lines.append(f"The weights are those of {loaded} after torch.manual_seed({loading.RANDOM_SEED})")
    if description["family"] == "wavlm":
        lines.append("transformers' WavLM reads bare weights: call merge_adapter() after PeftModel.from_pretrained")
    return "\n".join(lines)


def predict(checkpoint: str | Path, audio: list[str], folder: str | Path | None = None) -> tuple[list[str], np.ndarray]:
    """Compute how likely each emotion is.

    Parameters
    ----------
    checkpoint
    audio
        n recordings.
    folder
        Of the encoder; None for where it was at training, or where the workflow keeps it.

    Returns
    -------
    emotions : list of C str
    probabilities : ndarray (n, C)

    Raises
    ------
    UserError
        Where checkpoint, encoder or a recording cannot be used.
    """
    parameters, description = checkpoints.read(checkpoint)
    if description["encoder"].get("control") == "log-mel":
        from speechsong.encoders import logmel

        pooled = np.stack([logmel.summary(logmel.frames(path))[None] for path in audio])
        logits = _classify(checkpoint, parameters, description, pooled)
    else:
        logits = _encode(checkpoint, parameters, description, audio, folder)
    logits = np.array(logits, dtype=float)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return description["emotions"], chances / chances.sum(axis=1, keepdims=True)


def _encode(
    checkpoint: str | Path, parameters: dict, description: dict, audio: list[str], folder: str | Path | None
) -> np.ndarray:
    import torch

    from speechsong.adaptation import adapters, fronts
    from speechsong.encoders import loading

    folder = Path(folder or _encoder_folder(checkpoint, description))
    if not (folder / "config.json").is_file():
        raise UserError(f"--encoder {folder}: holds no config.json; name a folder in transformers' layout")
    encoder = loading.load(
        folder,
        name=description["model"],
        layers=None,
        window_seconds=description["window_seconds"],
        device="auto",
        random=description["encoder"].get("control") == "random",
    )
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
    settings = description["settings"]
    options = {key: settings[key] for key in ("rank", "alpha", "targets", "width", "gate")}
    classes = len(description["emotions"])
    model = adapters.Adapted(encoder, adapters.Settings(**options, layers=tuple(layers)), classes, 0)
    checkpoints.check_shapes(checkpoint, parameters, model.trained())
    adapters.load(model, parameters)
    with torch.no_grad():
        return np.stack([model([fronts.front(encoder, path)])[0].cpu().numpy() for path in audio])


def _classify(checkpoint: str | Path, parameters: dict, description: dict, means: np.ndarray) -> np.ndarray:
    """Compute logits of clip means (n, N, d) by a checkpoint of approach baseline or ws."""
    from speechsong.adaptation.learners import LinearLearner
    from speechsong.adaptation.stages import Training

    _, layers, width = means.shape
    weighted = description["approach"] == "ws"
    learner = LinearLearner(weighted, width, len(description["emotions"]), layers, Training(1, 1, 0, 1), 0)
    checkpoints.check_shapes(checkpoint, parameters, learner.named)
    learner.load(parameters)
    return learner.classify(means if weighted else means.mean(axis=1))


def _encoder_folder(checkpoint: str | Path, description: dict) -> Path:
    from speechsong.encoders.hub import hub_folder

    name, revision = description["encoder"]["checkpoint"], description["encoder"]["revision"]
    places = [Path(name)]
    if revision:
        # a local folder may have inherited a revision
        with contextlib.suppress(UserError):
            places.append(hub_folder("data/encoders", name, revision))
    for place in places:
        if (place / "config.json").is_file():
            return place
    raise UserError(f"{checkpoint}: its encoder {name} is not here; name its folder with --encoder")
