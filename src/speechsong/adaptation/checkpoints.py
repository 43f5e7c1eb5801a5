"""Checkpoints: the trained parameters of a stage in a safetensors file, and beside it a JSON that describes them.

The encoder itself is not in the file; the description names it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from speechsong import files
from speechsong.errors import UserError

# the trained parts of a model: the first component of the names of their parameters
PARTS = ("lora", "bottleneck", "gate", "layer_weights", "head")
_TEXT, _NUMBER = (str,), (int, float)
# the keys that every description must have, and their types
_KEYS = {
    "approach": _TEXT,
    "model": _TEXT,
    "encoder": (dict,),
    "emotions": (list,),
    "layers": (list,),
    "settings": (dict,),
}
# further keys, except for log-mel spectra
_ENCODED = {"family": _TEXT, "weights": _TEXT, "window_seconds": _NUMBER}
_ENCODER = {"checkpoint": _TEXT, "revision": (str, type(None))}
# further keys of `settings` for approach peft
_ADAPTERS = {"rank": (int,), "alpha": _NUMBER, "targets": (list,), "width": (int,), "gate": _TEXT}
_RETRAIN = "let `snakemake` train the checkpoint again"


def description_of(path: str | Path) -> Path:
    """Return the path of a checkpoint's description: the same with the suffix .json."""
    return Path(path).with_suffix(".json")


def write(path: str | Path, parameters: dict[str, np.ndarray], description: dict) -> None:
    """Write a checkpoint and its description."""
    with files.atomic(description_of(path)) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    with files.atomic(path) as temporary:
        temporary.write_bytes(save_tensors(parameters))


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read a checkpoint and its description. Nothing is unpickled, so a malicious file cannot run code.

    Returns
    -------
    parameters : dict of ndarray
        By name.
    description : dict
        With the keys and types that later code relies on.

    Raises
    ------
    UserError
        If one of the two files is missing, incomplete or in the wrong format.
    """
    beside = description_of(path)
    for needed in (Path(path), beside):
        if not needed.is_file():
            raise UserError(f"{needed}: missing; a checkpoint is a .safetensors file with its .json beside it")
    try:
        parameters = load_tensors(Path(path).read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: not a complete safetensors file ({error}); delete it and let `snakemake` train it again"
        ) from error
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{beside}: not valid JSON ({error}); {_RETRAIN}") from error
    _check_types(beside, "", description, _KEYS)
    if description["encoder"].get("control") != "log-mel":
        _check_types(beside, "", description, _ENCODED)
        _check_types(beside, "encoder.", description["encoder"], _ENCODER)
    if description["approach"] == "peft":
        _check_types(beside, "settings.", description["settings"], _ADAPTERS)
    for key, kind in (("emotions", str), ("layers", int)):
        if not description[key] or not all(isinstance(value, kind) for value in description[key]):
            raise UserError(f"{beside}: {key} cannot be {description[key]}; {_RETRAIN}")
    return parameters, description


def _check_types(path: Path, prefix: str, values: object, wanted: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{path}: is not a JSON object; {_RETRAIN}")
    missing = [prefix + key for key in wanted if key not in values]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; {_RETRAIN}")
    for key, types in wanted.items():
        if not isinstance(values[key], types):
            raise UserError(f"{path}: {prefix}{key} cannot be {values[key]!r}; {_RETRAIN}")


def encoder_identity(encoder: dict) -> dict:
    """Keep the keys that tell encoders apart, from an entry in the config or from a description's `encoder`."""
    return {key: encoder.get(key) for key in ("checkpoint", "revision", "control")}


def check(path: str | Path, description: dict, wanted: dict) -> None:
    """Check that a checkpoint was trained as wanted.

    Parameters
    ----------
    path
        The checkpoint, for the message.
    description
        The checkpoint's description.
    wanted
        The values that keys of the description must have; for `encoder`, an `encoder_identity`.

    Raises
    ------
    UserError
        At the first difference.
    """
    for key, value in wanted.items():
        actual = encoder_identity(description[key]) if key == "encoder" else description.get(key)
        if actual != value:
            label = "encoder weights" if key == "weights" else key
            raise UserError(
                f"{path}: was trained with {label} {actual}, not {value}; delete it and let `snakemake` train it again"
            )


def check_shapes(path: str | Path, parameters: dict, wanted: dict) -> None:
    """Check names and shapes of a checkpoint's parameters against a model's.

    Parameters
    ----------
    path
        The checkpoint, for the message.
    parameters, wanted
        Map names to anything with a shape.

    Raises
    ------
    UserError
        At the first difference.
    """
    cause = "the checkpoint belongs to another encoder or other settings"
    if parameters.keys() != wanted.keys():
        name = min(parameters.keys() ^ wanted.keys())
        raise UserError(f"{path}: {name} {'is not expected' if name in parameters else 'is missing'}; {cause}")
    for name, parameter in parameters.items():
        shape, expected = tuple(parameter.shape), tuple(wanted[name].shape)
        if shape != expected:
            raise UserError(f"{path}: {name} has shape {shape}, not {expected}; {cause}")


def count(parameters: dict) -> dict[str, int]:
    """Count the scalar parameters of each of `PARTS`; `parameters` maps names to anything with a shape."""
    counts: Counter[str] = Counter()
    for name, parameter in parameters.items():
        counts[name.split(".")[0]] += int(np.prod(parameter.shape))
    return {part: counts[part] for part in PARTS}
