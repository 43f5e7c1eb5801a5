"""State files: one file from which a killed training resumes to the bit, and a digest that shows any damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from speechsong import files
from speechsong.logs import log

Groups = dict[str, dict[str, np.ndarray]]


def digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Digest arrays, by name, and a text that goes with them; 16 hexadecimal digits."""
    found = hashlib.sha256(text.encode())
    for name, value in sorted(arrays.items()):
        found.update(f"{name} {value.dtype} {value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def write(path: Path, identity: str, groups: Groups, facts: dict) -> None:
    """Write a state.

    Parameters
    ----------
    path
        Replaced as a whole, so that a kill never leaves half a state.
    identity
        Digest of all that the training depends on.
    groups
        Arrays by name, in named groups such as the weights and the state of the optimiser.
    facts
        What JSON can hold.
    """
    tensors = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
    text = json.dumps({"identity": identity, "groups": sorted(groups), "facts": facts})
    with files.atomic(path) as temporary:
        temporary.write_bytes(save_tensors(tensors, metadata={"state": text, "digest": digest(tensors, text)}))


def read(path: Path, identity: str) -> tuple[Groups, dict] | None:
    """Read a state. Damage costs the progress so far, never the training.

    Returns
    -------
    tuple of (dict of dict of ndarray, dict), or None
        Groups and facts as they were written. None if there is no state, or it is damaged or of another training; the
        log says which.
    """
    if not path.is_file():
        return None
    state = None
    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (no dictionary)
        if metadata["digest"] == digest(tensors, metadata["state"]):
            state = json.loads(metadata["state"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        log.debug("%s: %s", path, error)
    if state is None:
        log.warning("%s is damaged or of an earlier version; started from scratch", path)
        return None
    if state["identity"] != identity:
        log.info("%s belongs to another training; started from scratch", path)
        return None
    groups: Groups = {group: {} for group in state["groups"]}
    for key, value in tensors.items():
        group, name = key.split("/", 1)
        groups[group][name] = value
    return groups, state["facts"]
