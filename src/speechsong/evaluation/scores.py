"""Scores: accuracy, UAR and recalls of every result, with intervals over speakers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechsong import metrics
from speechsong.evaluation import intervals
from speechsong.evaluation.predictions import KEYS


def tally(some: pd.DataFrame, people: list[str], emotions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count by speaker and true emotion, (S, C) each: the clips that were right, and all clips."""
    # codes are as small integers as hold them
    row, column = (
        pd.Categorical(some[c], labels).codes.astype(int) for c, labels in (("speaker", people), ("true", emotions))
    )
    cell = row * len(emotions) + column
    shape = (len(people), len(emotions))
    right = (some["true"] == some["predicted"]).to_numpy()
    return tuple(
        np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(float) for cells in (cell[right], cell)
    )


def measure(predictions: pd.DataFrame, emotions: list[str]) -> list[dict]:
    """Compute accuracy, UAR and recalls of every result, with 95 % intervals over speakers.

    Parameters
    ----------
    predictions
        From `read`.
    emotions

    Returns
    -------
    list of dict
        A row a result and metric: `KEYS`, metric, value, low, high, clips (distinct, over all seeds), speakers, seeds.
    """
    rows = []
    for keys, some in predictions.groupby(KEYS, sort=False):
        people = sorted(some["speaker"].unique())
        right, total = tally(some, people, emotions)
        drawn = intervals.draw(len(people))
        values = metrics.scores(right.sum(axis=0), total.sum(axis=0))
        samples = metrics.scores(drawn @ right, drawn @ total)
        clips = tally(some.drop_duplicates("clip_id"), people, emotions)[1].sum(axis=0)
        of = {"accuracy": clips.sum(), "uar": None} | {f"recall_{e}": n for e, n in zip(emotions, clips, strict=True)}
        for i, (metric, count) in enumerate(of.items()):
            if count is None:
                low, high = intervals.interval(samples[:, i], len(people))
            else:
                low, high = intervals.share_interval(values[i], samples[:, i], len(people), count)
            rows.append(
                dict(zip(KEYS, keys, strict=True))
                | {"metric": metric, "value": float(values[i]), "low": low, "high": high}
                | {"clips": some["clip_id"].nunique(), "speakers": len(people), "seeds": some["seed"].nunique()}
            )
    return rows


def confusion(predictions: pd.DataFrame, emotions: list[str]) -> list[dict]:
    """Count how often each emotion was taken for each, over all seeds: a row a result, true and predicted emotion."""
    index = pd.MultiIndex.from_product([emotions, emotions], names=["true", "predicted"])
    rows = []
    for keys, some in predictions.groupby(KEYS, sort=False):
        counts = some.groupby(["true", "predicted"]).size().reindex(index, fill_value=0)
        of_emotion = counts.groupby("true").sum()
        rows += [
            dict(zip(KEYS, keys, strict=True))
            | {"true": true, "predicted": predicted, "count": int(count)}
            | {"share": float(count / of_emotion[true]) if of_emotion[true] else float("nan")}
            for (true, predicted), count in counts.items()
        ]
    return rows


def accuracies(parts: dict[str, pd.DataFrame]) -> dict[str, tuple[float, np.ndarray, int, int]]:
    """Compute accuracies and their bootstrap samples, speakers drawn together, so that differences are paired.

    Parameters
    ----------
    parts
        Rows of `read` under names.

    Returns
    -------
    dict
        For each name the accuracy, its samples (draws,) and how many speakers and distinct clips it is of.
    """
    people = sorted(set().union(*(part["speaker"] for part in parts.values())))
    drawn = intervals.draw(len(people))
    found = {}
    for name, part in parts.items():
        row = pd.Categorical(part["speaker"], people).codes.astype(int)
        right = np.bincount(row, part["true"] == part["predicted"], len(people))
        total = np.bincount(row, minlength=len(people))
        with np.errstate(invalid="ignore"):
            samples = (drawn @ right) / (drawn @ total)
        found[name] = (right.sum() / total.sum(), samples, int((total > 0).sum()), part["clip_id"].nunique())
    return found


def difference(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, float, float]:
    """Compute accuracy A minus accuracy B of rows of `read`, and its 95 % interval over speakers."""
    found = accuracies({"a": a, "b": b})
    (of_a, samples_a, people_a, _), (of_b, samples_b, people_b, _) = found["a"], found["b"]
    return (float(of_a - of_b), *intervals.interval(samples_a - samples_b, min(people_a, people_b)))


def leakage(predictions: pd.DataFrame) -> list[dict]:
    """Set the random split beside the speaker split: what knowing the speakers is worth.

    Parameters
    ----------
    predictions
        From `read`.

    Returns
    -------
    list of dict
        A row a result that both protocols have: `KEYS` without the protocol, then in % accuracy with the random and
        with the speaker split and random minus speaker (difference), each with its interval over speakers; the fewest
        speakers of the two.
    """
    keys = [key for key in KEYS if key != "protocol"]
    rows = []
    for values, some in predictions.groupby(keys, sort=False):
        parts = {protocol: some[some["protocol"] == protocol] for protocol in ("random", "speaker")}
        if any(part.empty for part in parts.values()):
            continue
        found = accuracies(parts)
        row = dict(zip(keys, values, strict=True))
        for name, (value, *about) in found.items():
            row |= percent(name, value, intervals.share_interval(value, *about))
        (random, of_random, *_), (speaker, of_speaker, *_) = found["random"], found["speaker"]
        fewest = min(people for _, _, people, _ in found.values())
        row |= percent("difference", random - speaker, intervals.interval(of_random - of_speaker, fewest))
        rows.append(row | {"speakers": fewest})
    return rows


def percent(name: str, value: float, bounds: tuple[float, float]) -> dict:
    return {name: 100 * float(value), f"{name}_low": 100 * bounds[0], f"{name}_high": 100 * bounds[1]}
