"""An encoder that a user names on the command line: its entry in the catalogue, from a folder or the hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

from speechsong import files
from speechsong.encoders.families import FAMILIES
from speechsong.encoders.hub import look_up
from speechsong.errors import UserError, closest

WINDOW_SECONDS = 30


def plain_name(name: str) -> str:
    """Make a name of letters, digits and _ from any other; it may be empty."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


def model_name(encoder: str, defaults: dict) -> str:
    """Name an encoder in the config by its folder or repository."""
    name = plain_name(Path(encoder).name) or "encoder"
    # an entry of the same name would be merged with that of the catalogue
    return f"{name}_own" if name in defaults["encoders"] else name


def entry(encoder: str, defaults: dict, before: dict) -> dict:
    """Make the entry of an encoder that is not in the catalogue.

    Parameters
    ----------
    encoder
        A folder that transformers saved, or a name on the hub.
    defaults
        What config.yaml says.
    before
        The config of an earlier run of the same comparison, or empty.

    Returns
    -------
    dict
        checkpoint, layers and window_seconds, and the revision if it is on the hub.

    Raises
    ------
    UserError
        If it is neither, cannot be read, is of a family that cannot be used, or the hub has no answer.
    """
    folder = Path(encoder)
    if folder.is_dir():
        described = folder / "config.json"
        if not files.is_file(described):
            raise UserError(f"{described.absolute()}: there is no such file; give a folder that transformers saved")
        return {"checkpoint": str(folder.absolute())} | _shape(encoder, _parsed(described))
    known = ", ".join(defaults["encoders"])
    if "/" not in encoder or folder.is_absolute() or encoder.startswith("."):
        raise UserError(
            f"--encoder {encoder}: neither in the catalogue ({known}) nor a folder"
            f"{closest(encoder, defaults['encoders'])}; a name on the hub is written as owner/name"
        )
    for known_entry in (before.get("encoders") or {}).values():
        # the commit that this comparison began with; the hub need not be asked
        if isinstance(known_entry, dict) and known_entry.get("checkpoint") == encoder:
            return known_entry
    commit, described_there = look_up(encoder)
    return {"checkpoint": encoder, "revision": commit} | _shape(encoder, described_there)


def _parsed(path: Path) -> dict:
    try:
        parsed = json.loads(files.read_bytes(path))
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UserError(f"{path.absolute()}: cannot be read; save the encoder again with transformers")
    return parsed


def _shape(encoder: str, described: dict) -> dict:
    kind = described.get("model_type")
    layers = described.get("encoder_layers", described.get("num_hidden_layers"))
    if not isinstance(kind, str) or kind not in FAMILIES or not isinstance(layers, int):
        raise UserError(f"--encoder {encoder}: model type {kind!r} is none that can be used ({', '.join(FAMILIES)})")
    return {"layers": layers, "window_seconds": WINDOW_SECONDS}
