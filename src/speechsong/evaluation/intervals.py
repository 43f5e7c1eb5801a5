"""Uncertainty: how far a number would move with other people, and whether two numbers differ.

Clips of one person are alike, so people are what is resampled, not clips. All functions are of counts a speaker; rows
are the S speakers of a corpus.

share_interval : of an accuracy or recall: Wilson's, with the error that resampled speakers give (Dean, Pagano 2015).
interval : percentile bootstrap over speakers, widened for few speakers (Hesterberg 2015).
sign_flip : exact permutation test of paired differences a speaker (Fisher 1935).
mcnemar : exact test of paired answers to the same clips (McNemar 1947), for one split only.
paired_interval : of the difference of two accuracies on the same clips (Bonett and Price 2012).
holm : p-values adjusted for the number of tests in a family (Holm 1979).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import stdtrit
from scipy.stats import binomtest, norm

DRAWS = 10_000


@cache
def draw(speakers: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Draw speakers with replacement: how often each one is in each sample, (draws, speakers), float64.

    The same arguments give the same samples, so that differences between results of the same speakers are paired.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=draws).astype(float)


def interval(drawn: np.ndarray, speakers: int) -> tuple[float, float]:
    """Find the 95 % interval of a statistic from its values in bootstrap samples.

    Plain percentiles are too narrow by sqrt((S - 1) / S) and by the normal's quantile in the place of Student's t:
    with 23 speakers they cover about 93 %. Taking percentiles further out mends both.

    Parameters
    ----------
    drawn : ndarray (draws,)
        NaN in samples where the statistic has no value.
    speakers
        S, at least two.

    Returns
    -------
    tuple of float
        NaN with fewer than two speakers.
    """
    drawn = drawn[~np.isnan(drawn)]
    if speakers < 2 or not len(drawn):
        return float("nan"), float("nan")
    tail = norm.cdf(stdtrit(speakers - 1, 0.025) * np.sqrt(speakers / (speakers - 1)))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def share_interval(share: float, drawn: np.ndarray, speakers: int, clips: int) -> tuple[float, float]:
    """Find the 95 % interval of a share of right answers from its values in bootstrap samples.

    Wilson's interval for as many independent clips as would have the error seen, with Student's t in the place of the
    normal's quantile. Percentiles of the samples would be too narrow near 0 and 1: where nobody was ever wrong, no
    sample is either. (Dean and Pagano 2015, "Evaluating confidence interval methods for binomial proportions in
    clustered surveys", section 2.)

    Parameters
    ----------
    share
        Between 0 and 1, or NaN.
    drawn : ndarray (draws,)
        NaN in samples where the share has no value.
    speakers
        S, at least two.
    clips
        Distinct ones; they are never worth more than that.

    Returns
    -------
    tuple of float
        NaN with fewer than two speakers.
    """
    drawn = drawn[~np.isnan(drawn)]
    if speakers < 2 or not len(drawn) or np.isnan(share):
        return float("nan"), float("nan")
    variance = drawn.var() * speakers / (speakers - 1)
    worth = min(share * (1 - share) / variance, clips) if variance > 0 else clips
    t = -stdtrit(speakers - 1, 0.025)
    centre = (share + t**2 / (2 * worth)) / (1 + t**2 / worth)
    half = t / (1 + t**2 / worth) * np.sqrt(share * (1 - share) / worth + t**2 / (4 * worth**2))
    # rounding must not leave a share of 0 or 1 outside
    return float(min(centre - half, share)), float(max(centre + half, share))


def sign_flip(differences: np.ndarray) -> float:
    """Test whether paired differences are symmetric about zero, two-sided.

    Under that hypothesis each speaker's difference might as well have the other sign. The distribution of the sum
    over all 2^S signs is computed, not sampled: differences of counts are whole numbers, so it is a convolution.

    Parameters
    ----------
    differences : ndarray (S,), int
        One a speaker: clips that A had right and B had wrong, minus the reverse.

    Returns
    -------
    float
        Share of sign patterns whose sum is at least as far from zero as the one seen.
    """
    sizes = np.abs(differences[differences != 0])
    chances = np.ones(1)
    for size in sizes:
        longer = np.zeros(len(chances) + 2 * size)
        longer[: len(chances)] += chances / 2
        longer[2 * size :] += chances / 2
        chances = longer
    sums = np.arange(len(chances)) - sizes.sum()
    return float(min(1.0, chances[np.abs(sums) >= abs(differences.sum())].sum()))


def mcnemar(only_a: int, only_b: int) -> float:
    """Test two classifiers on the same clips: those that only A had right against those that only B had right."""
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)


def paired_interval(only_a: int, only_b: int, clips: int) -> tuple[float, float]:
    """Find the 95 % interval of accuracy A minus accuracy B from their answers to the same clips.

    Wald's, with one clip added to either count; it takes clips for independent of each other.
    """
    a, b = (only_a + 1) / (clips + 2), (only_b + 1) / (clips + 2)
    half = norm.ppf(0.975) * np.sqrt((a + b - (a - b) ** 2) / (clips + 2))
    return float(max(-1.0, a - b - half)), float(min(1.0, a - b + half))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust the p-values (m,) of a family of tests, so that one rejects p <= alpha at a family-wise alpha."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted
