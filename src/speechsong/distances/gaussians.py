"""Fréchet distance of two Gaussians whose factors are kept, so that one set of frames can meet many others.

|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) is the squared 2-Wasserstein distance of two Gaussians (Dowson and
Landau 1982).

The trace of the root is the nuclear norm of A^T B for any factors S_a = A A^T and S_b = B B^T. The factors come from
pivoted Cholesky (Higham 1990), which does not need full rank. At full rank, the eigenvalues of S_a S_b come faster from
the generalised symmetric problem, B^T S_a B by plain Cholesky. Neither way needs a complex root or an epsilon, or clips
the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpotrf, dpstrf, dsyev, dsyev_lwork, dsygst

from speechsong.embeddings.moments import Moments


@dataclass(frozen=True)
class Distance:
    """The two terms of a Fréchet distance, in squared units of the hidden states."""

    mean_term: float
    covariance_term: float

    @property
    def fad(self) -> float:
        """Their sum."""
        return self.mean_term + self.covariance_term


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian with the moments of a set of frames; what is computed from them is computed once.

    Attributes
    ----------
    moments : Moments
        At least two frames.
    """

    moments: Moments

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance (d, d), ddof 1."""
        return self.moments.covariance

    @cached_property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.trace(self.covariance))

    @property
    def has_many_frames(self) -> bool:
        """Whether there are enough frames for a covariance of full rank."""
        return self.moments.count > len(self.moments.mean)

    @cached_property
    def cholesky(self) -> np.ndarray | None:
        """Lower triangle (d, d) of the Cholesky factor; None if some dimensions depend on others."""
        lower, info = dpotrf(self.covariance, lower=1, clean=0)
        return None if info > 0 else lower

    @cached_property
    def factor(self) -> np.ndarray:
        """Factor (d, r) by `factor`, of whatever rank."""
        return factor(self.covariance, self.moments.count - 1)


def factor(covariance: np.ndarray, rank: int) -> np.ndarray:
    """Factor a positive semi-definite matrix.

    Parameters
    ----------
    covariance : ndarray (d, d), float64
    rank : int
        An upper bound of the rank: n - 1 for the covariance of n frames. What lies beyond it comes from rounding to
        float32, and is left out.

    Returns
    -------
    ndarray (d, r), float64
        A with A A^T = covariance up to rounding; r <= min(d, rank).
    """
    lower, pivots, full, info = dpstrf(covariance, lower=1)
    if info < 0:
        raise ValueError(f"dpstrf: argument {-info} is not valid")
    r = min(int(full), rank)
    columns = np.tril(lower)[:, :r]
    result = np.empty_like(columns)
    result[pivots - 1] = columns
    return result


def trace_of_root(a: Gaussian, b: Gaussian) -> float:
    """Compute tr (S_a S_b)^(1/2)."""
    if a.has_many_frames and b.has_many_frames and b.cholesky is not None:
        # the steps of LAPACK's dsygv, which would factor S_b anew for every a
        problem, _ = dsygst(a.covariance, b.cholesky, itype=2, lower=1)
        eigenvalues, _, info = dsyev(problem, compute_v=0, lower=1, lwork=int(dsyev_lwork(len(problem), lower=1)[0]))
        if info == 0:
            return float(np.sqrt(np.maximum(eigenvalues, 0)).sum())
    return float(svdvals(a.factor.T @ b.factor, check_finite=False).sum())


def distance(a: Gaussian, b: Gaussian) -> Distance:
    """Compute the Fréchet distance of two Gaussians.

    Returns
    -------
    Distance
        It is not clipped: rounding may leave the distance of equal sets at about -1e-15 of the traces.
    """
    shift = a.moments.mean - b.moments.mean
    return Distance(float(shift @ shift), float(a.trace + b.trace - 2 * trace_of_root(a, b)))
