"""What training costs where there is no GPU: known before anything runs, so without a single heavy import."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

# of an epoch of peft, validation included, for a second of audio through a block of width 768; two cores
BLOCK_SECONDS = 0.02
# of a RAVDESS clip, for recordings that are not there yet
CLIP_SECONDS = 4.2


def peft_hours(encoder: dict, folder: str | Path, paths: list[str], share: float) -> float:
    """Estimate the hours of one epoch of peft on two cores.

    Parameters
    ----------
    encoder
        Its entry in the catalogue.
    folder
        Where its config.json is, or will be; until then its width is taken as 768, and a Whisper's work as that of the
        clips instead of its windows, since nothing says that it is one.
    paths
        All recordings of the domain.
    share
        Of them, how many train or validate.

    Returns
    -------
    float
        Proportional to seconds of audio, blocks, and the square of the width.
    """
    # Whisper works on whole windows, however short the clip
    whole = "d_model" in _described(folder)
    seconds = len(paths) * encoder["window_seconds"] if whole else sum(map(_seconds, paths))
    return share * seconds * encoder["layers"] * (width(folder) / 768) ** 2 * BLOCK_SECONDS / 3600


def width(folder: str | Path) -> int:
    """Read the width of an encoder; 768 where its config.json is not there yet, or says nothing of it."""
    described = _described(folder)
    widths = (described.get(key) for key in ("hidden_size", "d_model"))
    return next((w for w in widths if isinstance(w, int) and w > 0), 768)


def in_words(hours: float) -> str:
    """Round to hours, or below two of them to minutes."""
    return f"{hours:.0f} hours" if hours >= 2 else f"{60 * hours:.0f} minutes"


def _described(folder: str | Path) -> dict:
    # the job that loads the encoder says what is wrong with a broken file
    try:
        found = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# every stage asks for the same recordings
@cache
def _seconds(path: str) -> float:
    import soundfile

    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return CLIP_SECONDS
