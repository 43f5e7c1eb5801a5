"""Made-up frames in speaker blocks, and their FAD computed without moments."""

from __future__ import annotations

import numpy as np

from speechsong.embeddings.moments import Blocks, Moments, of_frames


def random(seed: int) -> np.random.Generator:
    """Seed a generator."""
    return np.random.default_rng(seed)


def frames(n: int, d: int, seed: int, mean: float = 0.0) -> np.ndarray:
    """Make correlated frames whose directions differ in size, as hidden states' do."""
    rng = random(seed)
    mix = rng.standard_normal((d, d)) * np.geomspace(3, 0.1, d)[:, None]
    return rng.standard_normal((n, d)) @ mix + mean


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the FAD from frames by NumPy's covariance and the eigenvalues of S_a^(1/2) S_b S_a^(1/2)."""
    s, t = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(s)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    trace = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(0)).sum()
    return ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * trace


def as_blocks(parts: list[np.ndarray]) -> Blocks:
    """Compute the moments of blocks of frames."""
    width = parts[0].shape[1]
    empty = Moments(0, np.zeros(width), np.zeros((width, width)))
    each = [of_frames(p) if len(p) else empty for p in parts]
    return Blocks(*(np.array([getattr(m, k) for m in each]) for k in ("count", "mean", "scatter")))


def cut(sizes: list[int], d: int, seed: int, mean: float = 0.0) -> list[np.ndarray]:
    """Make blocks of frames, each with a mean of its own, as speakers have."""
    rng = random(seed)
    return [frames(n, d, seed) + rng.standard_normal(d) + mean for n in sizes]
