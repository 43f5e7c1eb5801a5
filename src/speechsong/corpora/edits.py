"""Edits: what of a recording an encoder hears, as controls for silence, length and bandwidth. By default all of it.

They come in this order: leading and trailing silence is left out, the middle is cut out, and high frequencies are
filtered out. Snakemake lists recordings whenever it parses the workflow, so this module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# seconds: length of a frame in which loudness is measured, and from one frame to the next
FRAME, HOP = 0.025, 0.010


@dataclass(frozen=True)
class Edits:
    """What is done to every recording of a corpus; the names are those of the config's `corpora`.

    Attributes
    ----------
    trim : float or None
        Decibels below the loudest frame: what comes before the first and after the last frame above this is left out.
    seconds : float or None
        Cut out the middle of recordings that are longer.
    bandwidth : float or None
        In Hz: frequencies above this are filtered out.
    """

    trim: float | None = None
    seconds: float | None = None
    bandwidth: float | None = None


NONE = Edits()


def of_corpus(corpus: dict) -> Edits:
    """Take the edits from an entry of `corpora`."""
    return Edits(**{key: corpus[key] for key in ("trim", "seconds", "bandwidth") if key in corpus})


def cut(samples: np.ndarray, rate: int, edits: Edits) -> np.ndarray:
    """Trim silence, then cut out the middle.

    Parameters
    ----------
    samples : ndarray (n,), float32
    rate
        Sample rate in Hz.
    edits

    Returns
    -------
    ndarray (m,), float32
        A view, never empty.
    """
    if edits.trim is not None:
        samples = samples[slice(*loud(samples, rate, edits.trim))]
    if edits.seconds is not None:
        keep = max(1, round(edits.seconds * rate))
        start = max(0, len(samples) - keep) // 2
        samples = samples[start : start + keep]
    return samples


def loud(samples: np.ndarray, rate: int, decibels: float) -> tuple[int, int]:
    """Find the first and the last frame whose power is within some decibels of that of the loudest frame.

    Frames are 25 ms long and begin every 10 ms; the last one ends with the recording.

    Parameters
    ----------
    samples : ndarray (n,), float32
    rate
        Sample rate in Hz.
    decibels
        Above zero.

    Returns
    -------
    start, end : int
        The samples from the beginning of the first to the end of the last of these frames.
    """
    length, hop = max(1, round(FRAME * rate)), max(1, round(HOP * rate))
    if len(samples) <= length:
        return 0, len(samples)
    starts = np.unique(np.append(np.arange(0, len(samples) - length, hop), len(samples) - length))
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    power = energy[starts + length] - energy[starts]
    kept = np.flatnonzero(power >= power.max() * 10 ** (-decibels / 10))
    return int(starts[kept[0]]), int(starts[kept[-1]] + length)
