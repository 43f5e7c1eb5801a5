"""Scores: accuracy, UAR and recalls of every result, each with a 95 % interval over speakers.

Scores are computed from counts of clips by speaker and true emotion, all seeds together. Their bootstrap samples come
from the same counts, with each speaker counted as often as drawn. `speechsong.metrics` defines the scores,
`evaluation.intervals` the intervals.

Conventions
-----------
S is the number of speakers, C the number of emotions, in the order of the config. Scores are between 0 and 1; those
that go into a table of their own are in % (`percent`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from speechsong import metrics
from speechsong.evaluation import intervals
from speechsong.evaluation.predictions import results


def count(answers: pd.DataFrame, speakers: list[str], emotions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count clips by speaker and true emotion.

    Parameters
    ----------
    answers
        Rows of `predictions.read`.
    speakers, emotions
        The rows and columns of the counts.

    Returns
    -------
    right, total : ndarray (S, C), float64
        Clips whose answer is right, and all clips.
    """
    row, column = (
        # pandas stores codes in the smallest integer type, in which the product below would overflow
        pd.Categorical(answers[name], labels).codes.astype(int)
        for name, labels in (("speaker", speakers), ("true", emotions))
    )
    cell = row * len(emotions) + column
    right = (answers["true"] == answers["predicted"]).to_numpy()
    shape = (len(speakers), len(emotions))
    correct, every = (
        np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(float) for cells in (cell[right], cell)
    )
    return correct, every


def accuracy(right: Any, total: Any) -> Any:
    """Compute accuracies from counts of clips.

    Parameters
    ----------
    right, total : array_like (...)
        Clips whose answer is right, and all clips. With `right` of A minus `right` of B on the same clips, this is the
        difference of their accuracies.

    Returns
    -------
    ndarray (...), float64
        NaN where there are no clips.
    """
    return metrics.scores(np.asarray(right)[..., None], np.asarray(total)[..., None])[..., 0]


def percent(name: str, value: float, bounds: tuple[float, float]) -> dict[str, float]:
    """Convert a share and its interval to %, under the names of their columns in a table."""
    return {name: 100 * float(value), f"{name}_low": 100 * bounds[0], f"{name}_high": 100 * bounds[1]}


def measure(predictions: pd.DataFrame, emotions: list[str]) -> list[dict]:
    """Compute accuracy, UAR and recalls of every result, with 95 % intervals over speakers.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    emotions

    Returns
    -------
    list of dict
        One row per result and metric: `predictions.KEYS`, metric (accuracy, uar, recall_{emotion}), value, low, high,
        clips (distinct ones), speakers, seeds.
    """
    names = ["accuracy", "uar", *(f"recall_{emotion}" for emotion in emotions)]
    rows = []
    for keys, answers in results(predictions):
        speakers = sorted(answers["speaker"].unique())
        right, total = count(answers, speakers, emotions)
        drawn = intervals.draw(len(speakers))
        values = metrics.scores(right.sum(axis=0), total.sum(axis=0))
        samples = metrics.scores(drawn @ right, drawn @ total).T
        clips = count(answers.drop_duplicates("clip_id"), speakers, emotions)[1].sum(axis=0)
        # clips that each metric is a share of; UAR is a mean of shares
        sizes = [clips.sum(), None, *clips]
        counts = {"clips": answers["clip_id"].nunique(), "speakers": len(speakers), "seeds": answers["seed"].nunique()}
        for name, value, sample, size in zip(names, values, samples, sizes, strict=True):
            if size is None:
                low, high = intervals.interval(sample, len(speakers))
            else:
                low, high = intervals.share_interval(value, sample, len(speakers), size)
            rows.append(keys | {"metric": name, "value": float(value), "low": low, "high": high} | counts)
    return rows


def confusion(predictions: pd.DataFrame, emotions: list[str]) -> list[dict]:
    """Count how often each emotion was predicted as each emotion.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    emotions

    Returns
    -------
    list of dict
        One row per result, true and predicted emotion: `predictions.KEYS`, true, predicted, count, share (of the clips
        of the true emotion; NaN where there are none).
    """
    index = pd.MultiIndex.from_product([emotions, emotions], names=["true", "predicted"])
    rows = []
    for keys, answers in results(predictions):
        counts = answers.groupby(["true", "predicted"]).size().reindex(index, fill_value=0)
        totals = counts.groupby("true").sum()
        rows += [
            keys
            | {"true": true, "predicted": predicted, "count": int(n)}
            | {"share": float(n / totals[true]) if totals[true] else float("nan")}
            for (true, predicted), n in counts.items()
        ]
    return rows
