"""Fréchet audio distance (FAD) between two sets of frames, with its uncertainty.

FAD = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians (Dowson and
Landau 1982; Kilgour et al. 2019 for audio). Means and covariances (ddof 1) are those of the frames pooled over clips.

The trace of the root is the nuclear norm of A^T B for any factors S_a = A A^T, S_b = B B^T. Factors come from pivoted
Cholesky (Higham 1990), which needs no full rank; at full rank the eigenvalues of S_a S_b come faster from the
generalised symmetric problem. Either way there is no complex root, no epsilon and no clipping of the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, eigvalsh, svdvals
from scipy.linalg.lapack import dpstrf

from speechsong.embeddings import read_blocks
from speechsong.files import UserError
from speechsong.moments import Blocks, Moments, join


@dataclass(frozen=True)
class Distance:
    """The two terms of a FAD, in squared units of the hidden states."""

    mean_term: float
    covariance_term: float

    @property
    def fad(self) -> float:
        """Their sum."""
        return self.mean_term + self.covariance_term


def factor(covariance: np.ndarray, rank: int) -> np.ndarray:
    """Factor a positive semi-definite matrix.

    Parameters
    ----------
    covariance : ndarray (d, d), float64
    rank : int
        An upper bound of the rank, n - 1 for the covariance of n frames. What lies beyond it is rounding of the
        stored float32 values, and is left out.

    Returns
    -------
    ndarray (d, r), float64
        A with A A^T = covariance to rounding, r <= min(d, rank).
    """
    lower, pivots, found, info = dpstrf(covariance, lower=1)
    if info < 0:
        raise ValueError(f"dpstrf: argument {-info} is not valid")
    r = min(int(found), rank)
    columns = np.tril(lower)[:, :r]
    result = np.empty_like(columns)
    result[pivots - 1] = columns
    return result


def trace_of_root(a: Moments, b: Moments) -> float:
    """Compute tr (S_a S_b)^(1/2) of the covariances of two sets of frames."""
    if min(a.count, b.count) > len(a.mean):
        try:
            # S_a S_b v = w v by Cholesky and a symmetric eigenproblem: the fastest way, but full rank only
            eigenvalues = eigvalsh(a.covariance, b.covariance, type=2, driver="gv", check_finite=False)
            return float(np.sqrt(np.maximum(eigenvalues, 0)).sum())
        except LinAlgError:
            pass  # not of full rank after all: frames that depend on each other
    left = factor(a.covariance, a.count - 1)
    right = factor(b.covariance, b.count - 1)
    return float(svdvals(left.T @ right, check_finite=False).sum())


def frechet(a: Moments, b: Moments) -> Distance:
    """Compute the FAD of two sets of frames.

    Parameters
    ----------
    a, b
        Their moments; at least two frames each.

    Returns
    -------
    Distance
        Rounding may leave the FAD of equal sets at about -1e-15 of the traces; it is not clipped.
    """
    apart = a.mean - b.mean
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return Distance(float(apart @ apart), float(traces - 2 * trace_of_root(a, b)))


@dataclass(frozen=True)
class Estimate:
    """A FAD, and what leaving out blocks of speakers says of it.

    Attributes
    ----------
    distance : Distance
        From all frames.
    corrected : float
        Jackknife correction of the bias that a finite sample brings; NaN where one block holds all frames.
    std_error : float
        Jackknife standard error; NaN where one block holds all frames.
    """

    distance: Distance
    corrected: float
    std_error: float


def jackknife(value: float, left_out: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Correct an estimate and find its variance by the delete-m_j jackknife.

    For blocks of unequal size (Busing, Meijer and van der Leeden 1999, "Delete-m jackknife for unequal m", eqs. 5-7).

    Parameters
    ----------
    value : float
        The estimate from all data.
    left_out : ndarray (g,)
        The estimate without block j.
    sizes : ndarray (g,)
        Observations m_j in each block.

    Returns
    -------
    tuple of float
        The corrected estimate and its variance; NaN where g < 2.
    """
    g = len(left_out)
    if g < 2:
        return float("nan"), float("nan")
    h = sizes.sum() / sizes
    corrected = g * value - np.sum((1 - 1 / h) * left_out)
    pseudo = h * value - (h - 1) * left_out
    variance = np.mean((pseudo - corrected) ** 2 / (h - 1))
    return float(corrected), float(variance)


def estimate(a: Blocks, b: Blocks, *, paired: bool) -> Estimate:
    """Compute a FAD with its bias correction and standard error from speaker blocks.

    Parameters
    ----------
    a, b
        Speaker blocks of the two domains.
    paired
        Whether block j holds the same people in both, so that it is dropped from both at once; otherwise each
        domain has a jackknife of its own, and biases and variances add.

    Returns
    -------
    Estimate

    Raises
    ------
    UserError
        With fewer than two frames on a side.
    """
    whole_a, whole_b = a.merge(), b.merge()
    for moments in (whole_a, whole_b):
        if moments.count < 2:
            raise UserError("FAD needs at least two frames on each side; add recordings to this emotion")
    distance = frechet(whole_a, whole_b)
    if any((whole.count - side.count < 2).any() for whole, side in ((whole_a, a), (whole_b, b))):
        return Estimate(distance, float("nan"), float("nan"))  # without one block nothing is left to compare
    if paired:
        sizes = a.count + b.count
        used = np.flatnonzero(sizes)
        left_out = [
            frechet(a.merge(_without(j, a)), b.merge(_without(j, b))).fad if len(used) > 1 else np.nan for j in used
        ]
        corrected, variance = jackknife(distance.fad, np.array(left_out), sizes[used])
        return Estimate(distance, corrected, float(np.sqrt(variance)))
    corrected, variance = distance.fad, 0.0
    for blocks, other, swapped in ((a, whole_b, False), (b, whole_a, True)):
        used = np.flatnonzero(blocks.count)
        left_out = []
        for j in used if len(used) > 1 else []:
            rest = blocks.merge(_without(j, blocks))
            left_out.append(frechet(other, rest).fad if swapped else frechet(rest, other).fad)
        one_sided, one_variance = jackknife(distance.fad, np.array(left_out), blocks.count[used])
        corrected += one_sided - distance.fad
        variance += one_variance
    return Estimate(distance, corrected, float(np.sqrt(variance)))


def _without(j: int, blocks: Blocks) -> np.ndarray:
    keep = np.ones(len(blocks.count), dtype=bool)
    keep[j] = False
    return keep


def run(domains: list[str], files: dict[str, tuple[str, str]], *, paired: bool) -> list[dict]:
    """Compute the FAD of every emotion and of all together, for one model and layer.

    Parameters
    ----------
    domains
        The names A and B of the two domains.
    files
        For each emotion the embedding files of A and B.
    paired
        As in `estimate`.

    Returns
    -------
    list of dict
        A row an emotion, the last one `all`: emotion, fad, fad_corrected, std_error, mean_term,
        covariance_term, clips and frames of each domain.
    """
    sides = {emotion: [read_blocks(path) for path in pair] for emotion, pair in files.items()}
    columns = list(zip(*sides.values(), strict=True))
    sides["all"] = [(join([b for b, _ in column]), sum(clips for _, clips in column)) for column in columns]
    rows = []
    for emotion, ((a, clips_a), (b, clips_b)) in sides.items():
        found = estimate(a, b, paired=paired)
        rows.append(
            {
                "emotion": emotion,
                "fad": found.distance.fad,
                "fad_corrected": found.corrected,
                "std_error": found.std_error,
                "mean_term": found.distance.mean_term,
                "covariance_term": found.distance.covariance_term,
                f"clips_{domains[0]}": clips_a,
                f"clips_{domains[1]}": clips_b,
                f"frames_{domains[0]}": int(a.count.sum()),
                f"frames_{domains[1]}": int(b.count.sum()),
            }
        )
    return rows
