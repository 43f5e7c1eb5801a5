"""Checkpoints: the trained parameters of a stage in a safetensors file, and beside it a JSON that describes them.

The encoder itself is not in the file; the description names it. The metadata of the safetensors file hold a digest of
the parameters and the description, so that damage to either file is noticed. Checkpoints of earlier versions have none.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from speechsong import files
from speechsong.encoders.families import FAMILIES
from speechsong.errors import UserError
from speechsong.states import digest

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
# further keys of `settings` for each part of peft, and their types
ADAPTERS: dict[str, dict[str, tuple[type, ...]]] = {
    "lora": {"rank": (int,), "alpha": _NUMBER, "targets": (list,)},
    "bottleneck": {"width": (int,)},
    "gate": {"gate": _TEXT},
}
# what each approach puts into the encoder
APPROACHES = {"baseline": (), "ws": (), "peft": tuple(ADAPTERS)} | {f"peft-{part}": (part,) for part in ADAPTERS}
_RETRAIN = "let `snakemake` train the checkpoint again"


def description_of(path: str | Path) -> Path:
    """Return the path of a checkpoint's description: the same with the suffix .json."""
    return Path(path).with_suffix(".json")


def write(path: str | Path, parameters: dict[str, np.ndarray], description: dict) -> None:
    """Write a checkpoint and its description."""
    metadata = {"digest": digest(parameters, json.dumps(description, sort_keys=True))}
    with files.atomic(description_of(path)) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    with files.atomic(path) as temporary:
        temporary.write_bytes(save_tensors(parameters, metadata=metadata))


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
    # what safetensors raises depends on what is wrong
    try:
        parameters = load_tensors(Path(path).read_bytes())
        with safe_open(path, framework="numpy") as stored:
            written = (stored.metadata() or {}).get("digest")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct its permissions, or {_RETRAIN}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        cause = " ".join(str(error).split())
        raise UserError(
            f"{path}: not a complete safetensors file ({cause}); delete it and let `snakemake` train it again"
        ) from error
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{beside}: cannot be read ({error.strerror}); correct its permissions") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{beside}: not valid JSON ({error}); {_RETRAIN}") from error
    _check_types(beside, "", description, _KEYS)
    if description["encoder"].get("control") != "log-mel":
        _check_types(beside, "", description, _ENCODED)
        _check_types(beside, "encoder.", description["encoder"], _ENCODER)
        if description["family"] not in FAMILIES or description["encoder"].get("control") not in (None, "random"):
            what = f"{description['family']} and {description['encoder'].get('control')}"
            raise UserError(f"{beside}: family and encoder.control cannot be {what}; {_RETRAIN}")
    if description["approach"] not in APPROACHES:
        raise UserError(f"{beside}: approach cannot be {description['approach']!r}; {_RETRAIN}")
    for part in APPROACHES[description["approach"]]:
        _check_types(beside, "settings.", description["settings"], ADAPTERS[part])
    emotions, layers = description["emotions"], description["layers"]
    if not emotions or not all(isinstance(e, str) and e for e in emotions) or len(set(emotions)) < len(emotions):
        raise UserError(f"{beside}: emotions cannot be {emotions}; {_RETRAIN}")
    if not layers or not all(type(n) is int and 0 <= n < 1000 for n in layers) or layers != sorted(set(layers)):
        raise UserError(f"{beside}: layers cannot be {layers}; {_RETRAIN}")
    if written is not None and written != digest(parameters, json.dumps(description, sort_keys=True)):
        raise UserError(f"{path}: it, or {beside.name} beside it, was changed or damaged; {_RETRAIN}")
    _check_parameters(path, parameters, description)
    return parameters, description


def _check_parameters(path: str | Path, parameters: dict[str, np.ndarray], description: dict) -> None:
    """Check that parameters are finite, float32, and of as many classes and layers as the description says."""
    for name, value in parameters.items():
        if value.dtype != np.float32 or not np.isfinite(value).all():
            what = f"is {value.dtype}, not float32" if value.dtype != np.float32 else "is not finite"
            raise UserError(f"{path}: {name} {what}; {_RETRAIN}")
    sizes = {"head.weight": (len(description["emotions"]), None), "head.bias": (len(description["emotions"]),)}
    if description["approach"] != "baseline":
        sizes["layer_weights"] = (len(description["layers"]),)
    for name, wanted in sizes.items():
        shape = parameters[name].shape if name in parameters else None
        if shape is None or len(shape) != len(wanted) or wanted[0] != shape[0]:
            text = "is missing" if shape is None else f"has shape {shape}"
            raise UserError(f"{path}: {name} {text}, which does not fit {description_of(path).name}; {_RETRAIN}")


def _check_types(path: Path, prefix: str, values: object, wanted: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{path}: is not a JSON object; {_RETRAIN}")
    missing = [prefix + key for key in wanted if key not in values]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; {_RETRAIN}")
    for key, types in wanted.items():
        value = values[key]
        # a bool is an int in Python
        sound = isinstance(value, types) and not isinstance(value, bool)
        if sound and types != _TEXT and isinstance(value, int | float):
            sound = 0 < value < 10**9 and math.isfinite(value)
        if not sound:
            raise UserError(f"{path}: {prefix}{key} cannot be {repr(value)[:80]}; {_RETRAIN}")


def is_random(description: dict) -> bool:
    """Tell whether the encoder of a checkpoint has random weights."""
    return description["encoder"].get("control") == "random"


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
