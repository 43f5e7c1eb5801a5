"""Estimates: numbers that come with samples of what they would be with other people, and can be put together.

Conventions
-----------
A `Number` is a value with the ends of its 95 % interval. All samples of one run are of the same draws of speakers or of
blocks of speakers, so that what two estimates share, the people, cancels in their difference.

References
----------
smallest, largest : every end is that of a single difference; the end that many differences could push is adjusted by
    Bonferroni's method. With T the true smallest of m differences, the lower end is above T with a probability of at
    most 2.5 %, because it is no higher than the lower end of the one that is T. The upper end is below T only if one of
    m upper ends is below its own difference.
chance : M. Kendall and B. Babington Smith, "The problem of m rankings", Annals of Mathematical Statistics 1939.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from speechsong.evaluation import intervals
from speechsong.evaluation.scores import accuracy, count

TAIL = 0.025  # beyond each end of an interval


class Number(NamedTuple):
    """A value with the ends of its 95 % interval; they are NaN where there is no interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A number that this run measured.

    Attributes
    ----------
    value : float
    samples : ndarray (draws,), float64
        NaN in samples where the number has no value.
    people : int
        Number of speakers that were drawn, for which the interval is widened. 0 if the samples are as wide as they
        should be.
    """

    value: float
    samples: np.ndarray
    people: int

    def minus(self, other: Estimate) -> Estimate:
        """Subtract another estimate of the same draws."""
        return Estimate(self.value - other.value, self.samples - other.samples, min(self.people, other.people))

    def ends(self, tail: float = TAIL) -> tuple[float, float]:
        """Find the interval that leaves out a share `tail` at each end; NaN if it is unknown."""
        unknown = np.isnan(self.samples)
        # samples without a value might lie anywhere
        if unknown.mean() > tail:
            return float("nan"), float("nan")
        if self.people:
            return intervals.interval(self.samples, self.people, tail)
        low, high = np.quantile(self.samples[~unknown], [tail, 1 - tail])
        return float(low), float(high)

    def number(self) -> Number:
        """Give the value with its 95 % interval, which always holds the value."""
        low, high = self.ends()
        # samples have more noise than the value itself, and may all lie on one side of it
        return Number(self.value, min(low, self.value), max(high, self.value))


def difference(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    """Subtract B from A; None if one of them is."""
    return None if a is None or b is None else a.minus(b)


def number(estimate: Estimate | None) -> Number | None:
    """Give the number of an estimate; None if there is none."""
    return estimate.number() if estimate else None


def complete(estimates: list[Estimate | None]) -> list[Estimate]:
    """Give all estimates, or none of them if one is missing."""
    known = [estimate for estimate in estimates if estimate]
    return known if len(known) == len(estimates) else []


def mean(estimates: list[Estimate]) -> Estimate:
    """Average estimates of the same draws."""
    return Estimate(
        float(np.mean([e.value for e in estimates])),
        np.mean([e.samples for e in estimates], axis=0),
        min(e.people for e in estimates),
    )


def smallest(estimates: list[Estimate]) -> Number:
    """Give the smallest of several estimates, with a 95 % interval for the smallest of the true values."""
    narrow, wide = ([e.ends(tail) for e in estimates] for tail in (TAIL, TAIL / len(estimates)))
    value = min(e.value for e in estimates)
    low, high = np.min([low for low, _ in narrow]), np.min([high for _, high in wide])
    return Number(value, float(np.minimum(low, value)), float(np.maximum(high, value)))


def largest(estimates: list[Estimate]) -> Number:
    """Give the largest of several estimates, with a 95 % interval for the largest of the true values."""
    value, low, high = smallest([Estimate(-e.value, -e.samples, e.people) for e in estimates])
    return Number(-value, -high, -low)


def rank_correlation(pairs: list[tuple[Estimate, Estimate]]) -> Estimate:
    """Correlate the ranks of two lists of estimates (Spearman).

    Parameters
    ----------
    pairs
        What the first and the second list say of the same thing.

    Returns
    -------
    Estimate
        NaN where one list has no order, because all of it is equal.
    """
    a, b = zip(*pairs, strict=True)
    value = correlate(*(np.array([[e.value for e in side]]) for side in (a, b)))[0]
    samples = correlate(*(np.stack([e.samples for e in side], axis=1) for side in (a, b)))
    return Estimate(float(value), samples, min(e.people for pair in pairs for e in pair))


def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlate the ranks of each row of A (draws, n) with those of the same row of B (Spearman).

    Returns
    -------
    ndarray (draws,), float64
        NaN where a value of a row is NaN, or a row is all equal.
    """
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (_ranks(a), _ranks(b)))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), size, out=np.full(len(a), np.nan), where=size > 0)


def _ranks(rows: np.ndarray) -> np.ndarray:
    """Rank each row from 1; equal values share their mean rank, and NaN stays."""
    return pd.DataFrame(rows).rank(axis=1).to_numpy()


def concordance(values: np.ndarray) -> np.ndarray:
    """Compute Kendall's W: how much several judges agree in how they rank things.

    Parameters
    ----------
    values : ndarray (..., judges, things)
        Without equal values of one judge.

    Returns
    -------
    ndarray (...), float64
        1 if all orders are the same; 1 / judges is the mean of random orders. NaN where a value is NaN.
    """
    judges, things = values.shape[-2:]
    sums = _ranks(values.reshape(-1, things)).reshape(values.shape).sum(axis=-2)
    w = 12 * ((sums - judges * (things + 1) / 2) ** 2).sum(axis=-1) / (judges**2 * (things**3 - things))
    return np.where(np.isnan(values).any(axis=(-2, -1)), np.nan, w)


def chance(judges: int, things: int, draws: int = 10_000, seed: int = 0) -> float:
    """Find the chance level of Kendall's W: random orders exceed it in 5 % of draws."""
    random = np.random.default_rng(seed).random((draws, judges, things))
    return float(np.quantile(concordance(random), 0.95))


@dataclass(frozen=True)
class Tallies:
    """Right answers and all answers of every result, by speaker and emotion.

    Attributes
    ----------
    counts : dict
        (right, total), each (S, C), float64, by the key of the result.
    emotions : list of str
        The columns.
    """

    counts: dict[tuple, tuple[np.ndarray, np.ndarray]]
    emotions: list[str]

    def accuracy(self, keys: Iterable[tuple], emotion: str | None = None) -> Estimate | None:
        """Compute the accuracy of several results together, or their recall of one emotion.

        Parameters
        ----------
        keys
            Of the results; of layers, this is the mean of their accuracies, because all have the same clips.
        emotion
            None for all.

        Returns
        -------
        Estimate or None
            In %. None if a result or the emotion is not there.
        """
        keys = list(keys)
        if not keys or not set(keys) <= self.counts.keys() or emotion not in (None, *self.emotions):
            return None
        column = slice(None) if emotion is None else [self.emotions.index(emotion)]
        right, total = (sum(self.counts[key][i][:, column].sum(axis=1) for key in keys) for i in (0, 1))
        if not total.sum():
            return None
        drawn = intervals.draw(len(total))
        value = 100 * float(accuracy(right.sum(), total.sum()))
        return Estimate(value, 100 * accuracy(drawn @ right, drawn @ total), int((total > 0).sum()))


def tally(answers: pd.DataFrame, keys: list[str]) -> Tallies:
    """Count the answers of every result.

    Parameters
    ----------
    answers
        Rows of `predictions.read`.
    keys
        The columns that tell the results apart.
    """
    speakers, emotions = (sorted(answers[column].unique()) for column in ("speaker", "true"))
    groups = answers.groupby(keys, sort=False, observed=True)
    return Tallies({key: count(part, speakers, emotions) for key, part in groups}, emotions)
