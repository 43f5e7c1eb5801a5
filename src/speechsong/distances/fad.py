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

from speechsong.distances.jackknife import jackknife
from speechsong.embeddings.moments import Blocks, Moments, join
from speechsong.embeddings.store import read_blocks
from speechsong.errors import UserError


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
    left_out : list of LeftOut
        What both are computed from.
    """

    distance: Distance
    corrected: float
    std_error: float
    left_out: list[LeftOut]


@dataclass(frozen=True)
class LeftOut:
    """The FAD without one block.

    Attributes
    ----------
    side : int or None
        The domain that lacks the block, 0 or 1; None where both do.
    block : int
    frames : int
        The block's, m_j of the jackknife; those of both domains where both lack it.
    fad : float
        NaN where a domain has fewer than two frames left.
    """

    side: int | None
    block: int
    frames: int
    fad: float


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
    sides = [None] if paired else [0, 1]
    left_out: list[LeftOut] = []
    corrected, variance = distance.fad, 0.0
    for side in sides:
        sizes = a.count + b.count if paired else (a, b)[side].count
        used = np.flatnonzero(sizes)
        values = []
        for j in used:
            rest_a = whole_a if side == 1 else a.merge(np.arange(len(a.count)) != j)
            rest_b = whole_b if side == 0 else b.merge(np.arange(len(b.count)) != j)
            values.append(_fad(rest_a, rest_b))
        left_out += [LeftOut(side, int(j), int(sizes[j]), value) for j, value in zip(used, values, strict=True)]
        one_sided, one_variance = jackknife(distance.fad, np.array(values), sizes[used])
        corrected += one_sided - distance.fad
        variance += one_variance
    return Estimate(distance, corrected, float(np.sqrt(variance)), left_out)


def _fad(a: Moments, b: Moments) -> float:
    """FAD of parts of the data; NaN where one has fewer than the two frames that a covariance needs."""
    return frechet(a, b).fad if min(a.count, b.count) > 1 else float("nan")


HALVINGS = 2
SEED = 0


def orders(a: int, b: int, *, paired: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw the orders of blocks that `scale` and `matched` go by: the same for every emotion, layer and model.

    Parameters
    ----------
    a, b
        How many blocks the two domains have.
    paired
        Whether block j holds the same people in both, so that both have the same order.

    Returns
    -------
    list of HALVINGS pairs of ndarray (a,) and (b,)
        Permutations of the blocks.
    """
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(HALVINGS):
        first = rng.permutation(a)
        drawn.append((first, first if paired else rng.permutation(b)))
    return drawn


def scale(a: Blocks, b: Blocks, drawn: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float]:
    """Compute FADs between halves of the speakers, within each domain and across: what "close" is read against.

    All compare half of the blocks with the other half: samples are as large and people are different in each, so that
    within and across differ in the domains alone.

    Parameters
    ----------
    a, b
        Speaker blocks of the two domains.
    drawn
        From `orders`; the first half of an order against the second.

    Returns
    -------
    tuple of float
        Within A, within B and across (one half from A, the other from B, both ways), means over the halvings; NaN where
        a half has fewer than two frames.
    """
    within_a, within_b, across = [], [], []
    for order_a, order_b in drawn:
        a1, a2 = (a.merge(_mask(half, a)) for half in np.array_split(order_a, 2))
        b1, b2 = (b.merge(_mask(half, b)) for half in np.array_split(order_b, 2))
        within_a.append(_fad(a1, a2))
        within_b.append(_fad(b1, b2))
        across += [_fad(a1, b2), _fad(a2, b1)]
    return float(np.mean(within_a)), float(np.mean(within_b)), float(np.mean(across))


def matched(
    a: list[Blocks], b: list[Blocks], share: float, order: tuple[np.ndarray, np.ndarray], *, paired: bool
) -> float:
    """Compute the FAD of a share of the data, taken by whole blocks.

    Parameters
    ----------
    a, b
        Speaker blocks of the two domains: one set for an emotion, several for emotions together, which then take turns,
        a block each.
    share
        Of all the data, 0 to 1.
    order
        One of `orders`; blocks are taken from its start and, in a second draw, from its end.
    paired
        Whether the same blocks count as having frames in both domains.

    Returns
    -------
    float
        Mean of the two draws; NaN where one has fewer than two frames in a domain.
    """
    counts = [sum(part.count for part in parts) for parts in (a, b)]
    if paired:
        counts = [counts[0] + counts[1]] * 2
    used = [one[count[one] > 0] for one, count in zip(order, counts, strict=True)]
    # emotions turn round too: where there are fewer blocks than emotions, the last ones come first
    draws = [
        [_take(parts[::step], one[::step], share) for parts, one in zip((a, b), used, strict=True)] for step in (1, -1)
    ]
    return float(np.mean([_fad(*draw) for draw in draws]))


def _mask(chosen: np.ndarray, blocks: Blocks) -> np.ndarray:
    return np.isin(np.arange(len(blocks.count)), chosen)


def _take(parts: list[Blocks], order: np.ndarray, share: float) -> Moments:
    n = len(parts)
    taken = order[: max(1, round(share * n * len(order)))]
    pieces = [part.merge(_mask(taken[i::n], part)) for i, part in enumerate(parts)]
    return Blocks(*(np.stack([getattr(p, name) for p in pieces]) for name in ("count", "mean", "scatter"))).merge()


def run(domains: list[str], files: dict[str, tuple[str, str]], *, paired: bool) -> tuple[list[dict], list[dict]]:
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
    rows : list of dict
        A row an emotion, the last one `all`: emotion, fad, fad_corrected, std_error, mean_term, covariance_term, clips
        and frames of each domain, then fad_matched, fad_within_A, fad_within_B, fad_across (`matched`, `scale`). Sets
        are matched to the emotion that has the fewest clips, n_a n_b / (n_a + n_b) of them: what the bias goes by.
    left_out : list of dict
        A row an emotion and block: emotion, side (the domain without the block, or `both`), block, frames,
        fad_left_out.
    """
    read = {emotion: [read_blocks(path) for path in pair] for emotion, pair in files.items()}
    sets = {emotion: ([a], [b]) for emotion, ((a, _), (b, _)) in read.items()}
    clips = {emotion: (in_a, in_b) for emotion, ((_, in_a), (_, in_b)) in read.items()}
    sets["all"] = tuple([parts[side][0] for parts in read.values()] for side in (0, 1))
    clips["all"] = tuple(sum(column) for column in zip(*clips.values(), strict=True))
    sizes = {emotion: in_a * in_b / (in_a + in_b) for emotion, (in_a, in_b) in clips.items()}
    drawn = orders(*(len(parts[0].count) for parts in sets["all"]), paired=paired)
    rows, left_out = [], []
    for emotion, parts in sets.items():
        a, b = (join(side) if len(side) > 1 else side[0] for side in parts)
        found = estimate(a, b, paired=paired)
        share = min(sizes.values()) / sizes[emotion]
        within_a, within_b, across = scale(a, b, drawn)
        rows.append(
            {
                "emotion": emotion,
                "fad": found.distance.fad,
                "fad_corrected": found.corrected,
                "std_error": found.std_error,
                "mean_term": found.distance.mean_term,
                "covariance_term": found.distance.covariance_term,
                f"clips_{domains[0]}": clips[emotion][0],
                f"clips_{domains[1]}": clips[emotion][1],
                f"frames_{domains[0]}": int(a.count.sum()),
                f"frames_{domains[1]}": int(b.count.sum()),
                "fad_matched": matched(*parts, share, drawn[0], paired=paired) if share < 1 else found.distance.fad,
                f"fad_within_{domains[0]}": within_a,
                f"fad_within_{domains[1]}": within_b,
                "fad_across": across,
            }
        )
        left_out += [
            {
                "emotion": emotion,
                "side": "both" if one.side is None else domains[one.side],
                "block": one.block,
                "frames": one.frames,
                "fad_left_out": one.fad,
            }
            for one in found.left_out
        ]
    return rows, left_out
