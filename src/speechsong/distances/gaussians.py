"""Fréchet distance of two Gaussians whose factors are kept, so that one set of frames can meet many others.

|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) is the squared 2-Wasserstein distance of two Gaussians (Dowson and
Landau 1982).

The trace of the root is the nuclear norm of A^T B for any factors S_a = A A^T and S_b = B B^T. The factors come from
pivoted Cholesky (Higham 1990), which does not need full rank. The eigenvalues of B^T S_a B, whose roots are these
singular values, come faster. They are as good unless many of them are almost zero, as with fewer frames than
dimensions. Neither way needs a complex root or an epsilon, or clips the result.

Full rank is rare: after a layer norm, (h - bias) / weight sums to zero, so that one direction of every hidden state of
wav2vec 2.0, HuBERT or MERT of base size has no variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf, dsyev, dsyev_lwork, dsygst

from speechsong.embeddings.moments import Moments

# of the two traces: what the rounding of stored moments to float32 may bring as well
TOLERANCE = 1e-7


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
    def cholesky(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Pivoted Cholesky factor, as from `cholesky`."""
        return cholesky(self.covariance, self.moments.count - 1)

    @cached_property
    def factor(self) -> np.ndarray:
        """Factor A (d, r), float64, with A A^T = covariance up to rounding."""
        lower, order, rank = self.cholesky
        result = np.empty((len(order), rank))
        result[order] = np.tril(lower[:, :rank])
        return result


def cholesky(covariance: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Factor a positive semi-definite matrix by pivoted Cholesky.

    Parameters
    ----------
    covariance : ndarray (d, d), float64
    rank : int
        An upper bound of the rank: n - 1 for the covariance of n frames. What lies beyond it comes from rounding to
        float32, and is left out.

    Returns
    -------
    lower : ndarray (d, d), float64
        L in its lower triangle, with L L^T = covariance[order][:, order] up to rounding. Columns from r on are zero.
    order : ndarray (d,), int
        The dimensions, those of large variance first.
    r : int
        The rank found, at most `rank`.
    """
    lower, pivots, full, info = dpstrf(covariance, lower=1)
    if info < 0:
        raise ValueError(f"dpstrf: argument {-info} is not valid")
    r = min(int(full), rank)
    lower[:, r:] = 0
    return lower, pivots - 1, r


def trace_of_root(a: Gaussian, b: Gaussian) -> float:
    """Compute tr (S_a S_b)^(1/2)."""
    if a.has_many_frames and b.has_many_frames:
        roots, error = _roots(a, b)
        if error <= TOLERANCE * (a.trace + b.trace):
            return float(roots.sum())
    return float(svdvals(a.factor.T @ b.factor, check_finite=False).sum())


def _roots(a: Gaussian, b: Gaussian) -> tuple[np.ndarray, float]:
    """Compute the roots of the eigenvalues of B^T S_a B, and what rounding may do to their sum."""
    lower, order, rank = b.cholesky
    if rank == 0:
        return np.zeros(0), 0.0
    # the steps of LAPACK's dsygv, which would factor S_b anew for every a
    problem, _ = dsygst(a.covariance[np.ix_(order, order)], lower, itype=2, lower=1)
    eigenvalues, _, info = dsyev(problem[:rank, :rank], compute_v=0, lower=1, lwork=int(dsyev_lwork(rank, lower=1)[0]))
    if info > 0:
        return np.zeros(0), np.inf
    eigenvalues = np.maximum(eigenvalues, 0)
    roots = np.sqrt(eigenvalues)
    # LAPACK's eigenvalues are off by a few epsilons of the largest one (Anderson et al. 1999, section 4.7)
    noise = 10 * np.finfo(np.float64).eps * eigenvalues[-1]
    return roots, float((np.sqrt(eigenvalues + noise) - roots).sum())


def distance(a: Gaussian, b: Gaussian) -> Distance:
    """Compute the Fréchet distance of two Gaussians.

    Returns
    -------
    Distance
        It is not clipped: rounding may leave the distance of equal sets at about -1e-15 of the traces.
    """
    shift = a.moments.mean - b.moments.mean
    return Distance(float(shift @ shift), float(a.trace + b.trace - 2 * trace_of_root(a, b)))
