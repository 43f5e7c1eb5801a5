"""Intervals and tests: how far a number would move with other speakers, and whether two numbers differ.

Clips of the same speaker are alike, so speakers are resampled, not clips.

Conventions
-----------
S is the number of speakers. Functions take counts per speaker, or values of a statistic in bootstrap samples of the
speakers (`draw`). All intervals are 95 %, all p-values two-sided.

References
----------
share_interval, of an accuracy or recall : Wilson's interval with the error from resampling the speakers (N. Dean and
    M. Pagano, "Evaluating confidence interval methods for binomial proportions in clustered surveys", Journal of Survey
    Statistics and Methodology 2015, section 2).
interval, of any statistic : percentile bootstrap, widened for few speakers (T. Hesterberg, "What teachers should know
    about the bootstrap", The American Statistician 2015: expanded percentile interval).
paired_interval, of the difference of two accuracies on the same clips : D. Bonett and R. Price, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data", Journal of Educational and
    Behavioral Statistics 2012.
sign_flip : exact permutation test of paired differences (R. Fisher, "The Design of Experiments", 1935).
mcnemar : exact test of paired answers to the same clips, for a single split (Q. McNemar, Psychometrika 1947).
holm : p-values adjusted for the number of tests in a family (S. Holm, Scandinavian Journal of Statistics 1979).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import bdtr, ndtr, ndtri, stdtrit

DRAWS = 10_000


@cache
def draw(speakers: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draw bootstrap samples of speakers.

    The same arguments give the same samples, so that differences between results of the same speakers are paired.

    Parameters
    ----------
    speakers
        S.
    draws
        Number of samples.
    seed

    Returns
    -------
    ndarray (draws, S), float64
        How often each speaker is in each sample.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=draws).astype(float)


def interval(drawn: np.ndarray, speakers: int, tail: float = 0.025) -> tuple[float, float]:
    """Find the 95 % interval of a statistic from its values in bootstrap samples.

    Plain percentiles are too narrow: by sqrt((S - 1) / S), and because they use the quantile of the normal distribution
    in place of Student's t. With 23 speakers they cover about 93 %. Percentiles further out correct both.

    Parameters
    ----------
    drawn : ndarray (draws,)
        NaN in samples where the statistic has no value.
    speakers
        S.
    tail
        What the interval leaves out at each end; less for an interval that is wider than 95 %.

    Returns
    -------
    low, high : float
        NaN with fewer than two speakers.
    """
    drawn = drawn[~np.isnan(drawn)]
    if speakers < 2 or not len(drawn):
        return float("nan"), float("nan")
    outer = ndtr(stdtrit(speakers - 1, tail) * np.sqrt(speakers / (speakers - 1)))
    low, high = np.quantile(drawn, [outer, 1 - outer])
    return float(low), float(high)


def share_interval(share: float, drawn: np.ndarray, speakers: int, clips: int) -> tuple[float, float]:
    """Find the 95 % interval of a share of right answers from its values in bootstrap samples.

    It is Wilson's interval for the number of independent clips that would have the same error, with Student's t in
    place of the quantile of the normal distribution. Percentiles of the samples would be too narrow near 0 and 1: if
    all answers are right, they are right in every sample.

    Parameters
    ----------
    share
        Between 0 and 1, or NaN.
    drawn : ndarray (draws,)
        NaN in samples where the share has no value.
    speakers
        S.
    clips
        Number of distinct clips, an upper limit for the number of independent ones.

    Returns
    -------
    low, high : float
        NaN with fewer than two speakers.
    """
    drawn = drawn[~np.isnan(drawn)]
    if speakers < 2 or not len(drawn) or np.isnan(share):
        return float("nan"), float("nan")
    variance = drawn.var() * speakers / (speakers - 1)
    n = min(share * (1 - share) / variance, clips) if variance > 0 else clips
    return wilson(share, n, -stdtrit(speakers - 1, 0.025))


def wilson(share: float, n: float, t: float = ndtri(0.975)) -> tuple[float, float]:
    """Find Wilson's interval of a share of n independent trials; t is the quantile that decides its width."""
    centre = (share + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * np.sqrt(share * (1 - share) / n + t**2 / (4 * n**2))
    # rounding must not exclude a share of 0 or 1
    return float(min(centre - half, share)), float(max(centre + half, share))


def sign_flip(differences: np.ndarray) -> float:
    """Test whether paired differences are symmetric about zero.

    If they are, each speaker's difference could equally well have the opposite sign. The distribution of the sum over
    all 2^S sign patterns is computed, not sampled: differences of counts are whole numbers, so it is a convolution.

    Parameters
    ----------
    differences : ndarray (S,), int
        For each speaker, the clips that A had right minus those that B had right.

    Returns
    -------
    float
        p, the share of sign patterns whose sum is at least as far from zero as the one observed.
    """
    sizes = np.abs(differences[differences != 0])
    # probabilities of all sums, from the negative to the positive total of the sizes so far; each size adds two signs
    probabilities = np.ones(1)
    for size in sizes:
        longer = np.zeros(len(probabilities) + 2 * size)
        longer[: len(probabilities)] += probabilities / 2
        longer[2 * size :] += probabilities / 2
        probabilities = longer
    sums = np.arange(len(probabilities)) - sizes.sum()
    return float(min(1.0, probabilities[np.abs(sums) >= abs(differences.sum())].sum()))


def mcnemar(only_a: int, only_b: int) -> float:
    """Test whether two classifiers are equally accurate, from their answers to the same clips.

    Parameters
    ----------
    only_a, only_b
        Clips that only A, and only B, had right.

    Returns
    -------
    float
        p.
    """
    if only_a + only_b == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def paired_interval(only_a: int, only_b: int, clips: int) -> tuple[float, float]:
    """Find the 95 % interval of accuracy A minus accuracy B from their answers to the same clips.

    It is Wald's interval with one clip added to each count, and treats clips as independent.

    Parameters
    ----------
    only_a, only_b
        Clips that only A, and only B, had right.
    clips
        All clips.

    Returns
    -------
    low, high : float
        Between -1 and 1.
    """
    a, b = (only_a + 1) / (clips + 2), (only_b + 1) / (clips + 2)
    half = ndtri(0.975) * np.sqrt((a + b - (a - b) ** 2) / (clips + 2))
    return float(max(-1.0, a - b - half)), float(min(1.0, a - b + half))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values so that rejecting those up to alpha has a family-wise error rate of at most alpha.

    Parameters
    ----------
    p : ndarray (m,)
        The p-values of all tests of a family.

    Returns
    -------
    ndarray (m,), float64
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted
