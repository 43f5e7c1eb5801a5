"""Masks: spans of frames that the model does not see and has to predict."""

from __future__ import annotations

import numpy as np

# share of the frames at which a span starts, and frames in a span (Hsu et al. 2021, section IV-B)
STARTS = 0.08
LENGTH = 10


def spans(rows: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the masked frames of a batch.

    Every frame starts a span with the probability `STARTS`, and one frame of each row does in any case. Spans may
    overlap, and end with the row, so a little more than half of the frames are masked.

    Parameters
    ----------
    rows, frames
        Size of the batch.
    rng
        Source of randomness.

    Returns
    -------
    ndarray (rows, frames), bool
        True where a frame is masked.
    """
    starts = rng.random((rows, frames)) < STARTS
    starts[np.arange(rows), rng.integers(frames, size=rows)] = True
    masked = np.zeros_like(starts)
    for shift in range(min(LENGTH, frames)):
        masked[:, shift:] |= starts[:, : frames - shift]
    return masked
