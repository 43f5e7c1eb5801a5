"""Embeddings of log-mel frames, in the same form as those of hidden states."""

from __future__ import annotations

import numpy as np
import torch
import torchaudio

from speechsong import __version__
from speechsong.corpora.recordings import Recording
from speechsong.embeddings import moments
from speechsong.embeddings.store import Embeddings
from speechsong.encoders.logmel import BANDS, HOP, RATE, WIDTH, frames, summary
from speechsong.logs import progress


def extract(recordings: list[Recording], block_of: dict[str, int]) -> Embeddings:
    """Compute clip summaries and block moments of log-mel frames.

    Parameters
    ----------
    recordings
        n recordings.
    block_of
        The block, 0 to B - 1, of every speaker of the corpus.

    Returns
    -------
    Embeddings
        One state, in the order of `recordings`. The moments are those of the frames, d = 80. In place of clip means
        it holds each clip's `logmel.summary` (160,), because a mean alone would not show how the spectrum changes.

    Raises
    ------
    UserError
        If a recording cannot be used.
    """
    n_blocks = max(block_of.values()) + 1
    merged = [moments.Moments(0, np.zeros(BANDS), np.zeros((BANDS, BANDS))) for _ in range(n_blocks)]
    counts, pooled = np.zeros(len(recordings), dtype=np.int64), np.empty((1, len(recordings), WIDTH), np.float32)
    advance = progress(len(recordings), "clips")
    for i, recording in enumerate(recordings):
        spectrum = frames(recording.path, recording.edits)
        counts[i], pooled[0, i] = len(spectrum), summary(spectrum)
        block = block_of[recording.speaker]
        pair = (merged[block], moments.of_frames(spectrum))
        columns = (np.stack([getattr(m, name) for m in pair]) for name in ("count", "mean", "scatter"))
        merged[block] = moments.Blocks(*columns).merge()
        advance(1)
    return Embeddings(
        [r.clip_id for r in recordings],
        counts,
        pooled,
        np.array([m.count for m in merged], dtype=np.int64),
        np.stack([m.mean for m in merged])[None],
        np.stack([moments.pack(m.scatter) for m in merged])[None],
    )


def attributes(model: str, domain: str, emotion: str) -> dict:
    """List the attributes of an embedding file, under the names that `extract.attributes` uses."""
    return {
        "model": model,
        "domain": domain,
        "encoder": "log-mel",
        "revision": "local",
        "control": "log-mel",
        "emotion": emotion,
        "sample_rate": RATE,
        "frame_rate": RATE / HOP,
        "torch": str(torch.__version__),
        "torchaudio": str(torchaudio.__version__),
        "speechsong": __version__,
    }
