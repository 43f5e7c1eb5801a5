"""The embedding file: clip means and speaker-block moments of one (model, domain, layer, emotion), as HDF5.

Frames are never stored. The moments are constant in size and the means take d numbers for each clip, however long the
corpus is."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from speechsong import files
from speechsong.embeddings import moments
from speechsong.errors import UserError


@dataclass
class Embeddings:
    """What one pass over the recordings of one emotion gives.

    Attributes
    ----------
    clips : list of n str
    frames : ndarray (n,), int64
        Frames of each clip.
    pooled : ndarray (S, n, d), float32
        Mean over a clip's frames, for each of the S hidden states.
    count : ndarray (B,), int64
        Frames of each speaker block.
    mean : ndarray (S, B, d), float64
    scatter : ndarray (S, B, d(d+1)/2), float32
        Packed (`moments.pack`), centred on the block's own mean.
    """

    clips: list[str]
    frames: np.ndarray
    pooled: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray


def write(path: str | Path, embeddings: Embeddings, state: int, attributes: dict) -> None:
    """Write one hidden state as HDF5, the way `read_pooled` and `read_blocks` want it."""
    # in memory first: HDF5 does not fail cleanly on a full disk
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as h5:
        h5.attrs.update(attributes)
        h5.attrs["layer"] = state
        h5.create_dataset("clips", data=embeddings.clips, dtype=h5py.string_dtype())
        h5.create_dataset("pooled", data=embeddings.pooled[state])
        h5.create_dataset("frames", data=embeddings.frames)
        h5.create_dataset("blocks/count", data=embeddings.count)
        h5.create_dataset("blocks/mean", data=embeddings.mean[state])
        h5.create_dataset("blocks/scatter", data=embeddings.scatter[state])
    with files.atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _open(path: str | Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); delete the file and run again") from error


def read_pooled(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read clip ids and clip means (n, d), float32."""
    with _open(path) as h5:
        # all at once: one by one takes h5py a second for ten thousand
        return h5["clips"].asstr()[()].tolist(), h5["pooled"][()]


def read_maker(path: str | Path) -> dict[str, str | None]:
    """Read of which family the encoder was, and the digest of its weights; both None for log-mel spectra."""
    with _open(path) as h5:
        return {key: h5.attrs.get(key) for key in ("family", "weights")}


def read_blocks(path: str | Path) -> tuple[moments.Blocks, int]:
    """Read speaker-block moments, and how many clips they come from."""
    with _open(path) as h5:
        mean = h5["blocks/mean"][()]
        scatter = moments.unpack(h5["blocks/scatter"][()], mean.shape[1])
        return moments.Blocks(h5["blocks/count"][()], mean, scatter), len(h5["clips"])
