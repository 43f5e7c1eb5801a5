"""Count, mean and scatter of frames: what Fréchet distances are computed from, however long the recordings are.

The scatter of n frames x_i with mean m is sum (x_i - m)(x_i - m)^T, shape (d, d); the covariance is scatter / (n - 1).
Moments of disjoint sets merge exactly (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
variance", eq. 2.1), so blocks of speakers can be joined or left out without going back to the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Moments of n frames of width d.

    Attributes
    ----------
    count : int
        n, the number of frames.
    mean : ndarray (d,), float64
        Mean of the frames.
    scatter : ndarray (d, d), float64
        Centred on `mean`.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance (ddof 1), shape (d, d)."""
        return self.scatter / (self.count - 1)


@dataclass(frozen=True)
class Blocks:
    """Moments of B disjoint blocks of frames, one block per group of speakers.

    Attributes
    ----------
    count : ndarray (B,), int64
        Frames of each block; 0 if its speakers have none.
    mean : ndarray (B, d), float64
        Mean of each block's frames; 0 if there are none.
    scatter : ndarray (B, d, d), float64
        Each centred on its own block's mean.
    """

    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray

    def merge(self, keep: np.ndarray | None = None) -> Moments:
        """Merge all blocks, or only those that the boolean mask `keep` (B,) picks."""
        count = self.count if keep is None else np.where(keep, self.count, 0)
        total = int(count.sum())
        weights = count / max(total, 1)
        mean = weights @ self.mean
        apart = (self.mean - mean) * np.sqrt(count)[:, None]
        within = np.einsum("b,bij->ij", (count > 0).astype(float), self.scatter)
        return Moments(total, mean, within + apart.T @ apart)


def of_frames(frames: np.ndarray) -> Moments:
    """Compute the moments of frames (n, d) in memory, in float64."""
    frames = np.asarray(frames, dtype=np.float64)
    mean = frames.mean(axis=0)
    centred = frames - mean
    return Moments(len(frames), mean, centred.T @ centred)


def join(parts: list[Blocks]) -> Blocks:
    """Merge several sets block by block: block b of the result is block b of all parts together."""
    merged = []
    for b in range(len(parts[0].count)):
        same = Blocks(*(np.stack([getattr(p, name)[b] for p in parts]) for name in ("count", "mean", "scatter")))
        merged.append(same.merge())
    return Blocks(
        np.array([m.count for m in merged], dtype=np.int64),
        np.stack([m.mean for m in merged]),
        np.stack([m.scatter for m in merged]),
    )


@lru_cache
def _triangle(width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(width)


def pack(scatter: np.ndarray) -> np.ndarray:
    """Keep the upper triangle of symmetric matrices (..., d, d), row by row, as float32 (..., d(d+1)/2)."""
    rows, columns = _triangle(scatter.shape[-1])
    return scatter[..., rows, columns].astype(np.float32)


def unpack(packed: np.ndarray, width: int) -> np.ndarray:
    """Restore symmetric matrices (..., d, d), float64, from the output of `pack`."""
    rows, columns = _triangle(width)
    full = np.empty((*packed.shape[:-1], width, width))
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full
