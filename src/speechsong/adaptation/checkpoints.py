"""Checkpoints of trained parts: a safetensors file with nothing but what was trained, and a JSON of what it is for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from speechsong import files
from speechsong.errors import UserError

# where trained parameters belong: the first component of their names
PARTS = ("lora", "bottleneck", "gate", "layer_weights", "head")
_TEXT, _NUMBER = (str,), (int, float)
# what a description has to hold, and of which types
_KEYS = {
    "approach": _TEXT,
    "model": _TEXT,
    "encoder": (dict,),
    "emotions": (list,),
    "layers": (list,),
    "settings": (dict,),
}
# all but log-mel spectra
_ENCODED = {"family": _TEXT, "weights": _TEXT, "window_seconds": _NUMBER}
_ENCODER = {"checkpoint": _TEXT, "revision": (str, type(None))}
# of approach peft
_ADAPTERS = {"rank": (int,), "alpha": _NUMBER, "targets": (list,), "width": (int,), "gate": _TEXT}


def description_of(path: str | Path) -> Path:
    """Name the JSON beside a checkpoint."""
    return Path(path).with_suffix(".json")


def write(path: str | Path, parameters: dict[str, np.ndarray], description: dict) -> None:
    """Write a checkpoint and its description."""
    with files.atomic(description_of(path)) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    with files.atomic(path) as temporary:
        temporary.write_bytes(save_tensors(parameters))


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read a checkpoint and its description.

    Raises
    ------
    UserError
        Where one of the two is missing, cut short or something else. Nothing is ever unpickled.
    """
    beside = description_of(path)
    for needed in (Path(path), beside):
        if not needed.is_file():
            raise UserError(f"{needed}: missing; a checkpoint is a .safetensors file with its .json beside it")
    try:
        parameters = load_tensors(Path(path).read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: no whole safetensors file ({error}); delete it and let `snakemake` train it again"
        ) from error
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{beside}: not valid JSON ({error}); let `snakemake` train the checkpoint again") from error
    _check_types(beside, "", description, _KEYS)
    if description["encoder"].get("control") != "log-mel":
        _check_types(beside, "", description, _ENCODED)
        _check_types(beside, "encoder.", description["encoder"], _ENCODER)
    if description["approach"] == "peft":
        _check_types(beside, "settings.", description["settings"], _ADAPTERS)
    for key, kind in (("emotions", str), ("layers", int)):
        if not description[key] or not all(isinstance(value, kind) for value in description[key]):
            raise UserError(f"{beside}: {key} cannot be {description[key]}; let `snakemake` train the checkpoint again")
    return parameters, description


def _check_types(path: Path, prefix: str, found: object, wanted: dict[str, tuple[type, ...]]) -> None:
    if not isinstance(found, dict):
        raise UserError(f"{path}: is no JSON object; let `snakemake` train the checkpoint again")
    missing = [prefix + key for key in wanted if key not in found]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; let `snakemake` train the checkpoint again")
    for key, types in wanted.items():
        if not isinstance(found[key], types):
            raise UserError(
                f"{path}: {prefix}{key} cannot be {found[key]!r}; let `snakemake` train the checkpoint again"
            )


def identity(encoder: dict) -> dict:
    """Tell which encoder a checkpoint belongs to, from its entry in the catalogue or from a description."""
    return {key: encoder.get(key) for key in ("checkpoint", "revision", "control")}


def check(path: str | Path, description: dict, wanted: dict) -> None:
    """Refuse a checkpoint that was trained with another encoder, for other emotions or by another approach."""
    for key, value in wanted.items():
        found = identity(description[key]) if key == "encoder" else description.get(key)
        if found != value:
            what = "encoder's digest" if key == "weights" else key
            raise UserError(f"{path}: its {what} is {found}, not {value}; delete it and let `snakemake` train it again")


def check_shapes(path: str | Path, parameters: dict, wanted: dict) -> None:
    """Refuse parameters whose names or shapes are not the wanted ones; both map names to arrays."""
    if parameters.keys() != wanted.keys():
        odd = min(parameters.keys() ^ wanted.keys())
        raise UserError(f"{path}: {odd} is on one side only; the checkpoint is of another encoder or other settings")
    for name, parameter in parameters.items():
        if tuple(parameter.shape) != tuple(wanted[name].shape):
            raise UserError(
                f"{path}: {name} has shape {tuple(parameter.shape)}, not {tuple(wanted[name].shape)}; "
                "the checkpoint is of another encoder or other settings"
            )


def count(parameters: dict) -> dict[str, int]:
    """Count the numbers in each of `PARTS`; `parameters` maps names to anything with a shape."""
    counts = Counter()
    for name, parameter in parameters.items():
        counts[name.split(".")[0]] += int(np.prod(parameter.shape))
    return {part: counts[part] for part in PARTS}
