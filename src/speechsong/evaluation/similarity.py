"""Similarity and transfer: where two domains are more alike, does more of what is learnt in one work in the other?

The ranks of distances (FAD and KAD) are correlated with those of outcomes (Spearman). A negative correlation says yes:
the smaller the distance, the better the outcome. There are two outcomes:

kept : the share of the accuracy above chance that zero-shot transfer keeps (`transfer`), of probes. Ranks are over
    layers and emotions, over emotions (each over all layers), or over layers (each with all emotions).
gain : the recall after two stages minus that after training on the target alone. Ranks are over emotions, because
    adaptation uses all layers.

Over emotions, distances are relative: that of a layer divided by the mean of the emotions there, averaged over the
layers. Layer 0 is left out unless there is no other.

Conventions
-----------
Arrays have the axes layers (L) and emotions (E, then `all`), and samples one more before them. Speakers are drawn by
the blocks of the distances, the same ones for distances and outcomes (`ranking.draw_blocks`), so an interval says how
the correlation would move with other speakers. Noise moves a correlation towards zero, and samples have more of it than
the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from speechsong import metrics
from speechsong.distances import ranking
from speechsong.evaluation.estimates import Estimate, correlate
from speechsong.evaluation.predictions import deep
from speechsong.evaluation.scores import count

OVER = ("layers and emotions", "emotions", "layers")
# fewer have no order worth the name
LEAST = 3


@dataclass(frozen=True)
class Values:
    """Numbers of any shape, and samples of them, with the draws as their first axis."""

    value: np.ndarray
    samples: np.ndarray

    def over(self, over: str) -> Values:
        """Arrange numbers (L, E + 1) as (n,): one for each thing that is ranked."""

        def arrange(x: np.ndarray) -> np.ndarray:
            if over == "layers":
                return x[..., -1]
            single = x[..., :-1]
            return single.mean(axis=-2) if over == "emotions" else single.reshape(*x.shape[:-2], -1)

        return Values(arrange(self.value), arrange(self.samples))


@dataclass(frozen=True)
class Speakers:
    """The speakers of a domain, how often each is drawn (draws, S), and by how much to widen samples for few blocks."""

    names: list[str]
    drawn: np.ndarray
    wider: float

    def scores(self, answers: pd.DataFrame, emotions: list[str]) -> Values:
        """Compute the recall of each emotion and, last, the accuracy: (E + 1,)."""
        right, total = count(answers, self.names, emotions)
        value, samples = (
            np.concatenate([scores[..., 2:], scores[..., :1]], axis=-1)
            for scores in (
                metrics.scores(right.sum(axis=0), total.sum(axis=0)),
                metrics.scores(self.drawn @ right, self.drawn @ total),
            )
        )
        return Values(value, value + self.wider * (samples - value))


def similarity(
    predictions: pd.DataFrame,
    distances: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
    blocks: dict[str, dict[str, int]],
    emotions: list[str],
) -> tuple[list[dict], list[dict]]:
    """Correlate the distances between the domains, for one encoder, with zero-shot transfer and two-stage gain.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    distances
        For `fad` and `kad`, the rows of the CSV and of its left_out.csv.
    blocks
        The block of each speaker, by domain.
    emotions

    Returns
    -------
    rows : list of dict
        One row per outcome, distance and what ranks are over: model, outcome, approach, fit, protocol, source, target,
        distance, over, correlation with its 95 % interval, and n, how many were ranked. What has no outcome in this
        run is left out. The correlation is NaN if fewer than three are ranked or all are equal. The interval is NaN if
        more than 2.5 % of the samples lack an outcome.
    points : list of dict
        One row per result of probes, layer and emotion: model, fit, protocol, source, target, layer, emotion, fad, kad,
        kept.
    """
    labels = {"model": str(predictions["model"].iloc[0])}
    found = {name: _distances(name, *tables, emotions) for name, tables in distances.items()}
    near = {(name, over): _relative(of, over).over(over) for name, of in found.items() for over in OVER}
    speakers = _speakers(distances["fad"][1], blocks)
    rows, points = [], []
    for keys, layers, within, across in _transfers(predictions, speakers, emotions):
        for over in OVER:
            kept = _kept(within.over(over), across.over(over), 1 / len(emotions))
            rows += [
                labels
                | {"outcome": "kept", "approach": "probe"}
                | keys
                | {"distance": name, "over": over}
                | _correlation(near[name, over], kept)
                for name in found
            ]
        cells = {name: of.over(OVER[0]).value for name, of in found.items()}
        cells["kept"] = _kept(within.over(OVER[0]), across.over(OVER[0]), 1 / len(emotions)).value
        names = [(layer, emotion) for layer in layers for emotion in emotions]
        points += [
            labels | keys | {"layer": layer, "emotion": emotion} | {name: float(of[i]) for name, of in cells.items()}
            for i, (layer, emotion) in enumerate(names)
        ]
    for keys, gain in _gains(predictions, speakers, emotions):
        rows += [
            labels
            | {"outcome": "gain"}
            | keys
            | {"distance": name, "over": "emotions"}
            | _correlation(near[name, "emotions"], gain)
            for name in found
        ]
    return rows, points


def _distances(name: str, table: pd.DataFrame, left_out: pd.DataFrame, emotions: list[str]) -> Values:
    """Distances (L, E + 1) of the layers that count: FAD corrected, KAD as it is, for it has no bias."""
    if name == "kad":
        table = table.rename(columns={"kad": "fad"})
        left_out = left_out.rename(columns={"clips": "frames", "kad_left_out": "fad_left_out"})
    order = [*emotions, "all"]
    samples = ranking.resample(table, left_out)
    columns = [list(table["emotion"].unique()).index(emotion) for emotion in order]
    layers = sorted(table["layer"].unique())
    kept = sorted(deep(table)["layer"].unique())
    corrected = ranking.estimates(table, left_out)
    corrected = corrected[corrected["over"] == "layer"].assign(layer=lambda rows: rows["layer"].astype(int))
    values = corrected.pivot(index="layer", columns="emotion", values="fad_corrected").loc[kept, order].to_numpy(float)
    return Values(values, samples[:, [layers.index(layer) for layer in kept]][:, :, columns])


def _relative(distances: Values, over: str) -> Values:
    if over != "emotions":
        return distances
    return Values(*(x / x[..., :-1].mean(axis=-1, keepdims=True) for x in (distances.value, distances.samples)))


def _speakers(left_out: pd.DataFrame, blocks: dict[str, dict[str, int]]) -> dict[str, Speakers]:
    """Draw the speakers of each domain by their blocks."""
    drawn = ranking.draw_blocks(left_out)
    found = {}
    for domain, block_of in blocks.items():
        side = "both" if "both" in drawn else domain
        of_side = sorted(left_out.loc[left_out["side"] == side, "block"].unique())
        names = sorted(block_of)
        counts = drawn[side][:, [of_side.index(block_of[name]) for name in names]].astype(float)
        size = len(of_side)
        # draws from so few blocks also scatter too little
        found[domain] = Speakers(names, counts, ranking.widening(size) * np.sqrt(size / max(size - 1, 1)))
    return found


def _transfers(
    predictions: pd.DataFrame, speakers: dict[str, Speakers], emotions: list[str]
) -> Iterator[tuple[dict, list[int], Values, Values]]:
    """For each fit, protocol and direction: its labels, its layers, and accuracies (L, E + 1) within and across."""
    probes = deep(predictions[predictions["approach"] == "probe"])
    for (fit, protocol, target), answers in probes.groupby(["fit", "protocol", "test_domain"], sort=False):
        layers = sorted(answers["layer"].unique())
        scored = {
            source: [speakers[target].scores(of[of["layer"] == layer], emotions) for layer in layers]
            for source, of in answers.groupby("source", sort=False)
        }
        stacked = {
            source: Values(np.stack([v.value for v in some]), np.stack([v.samples for v in some], axis=1))
            for source, some in scored.items()
        }
        for source in stacked:
            if source != target and target in stacked:
                keys = {"fit": fit, "protocol": protocol, "source": source, "target": target}
                yield keys, [int(layer) for layer in layers], stacked[target], stacked[source]


def _gains(
    predictions: pd.DataFrame, speakers: dict[str, Speakers], emotions: list[str]
) -> Iterator[tuple[dict, Values]]:
    """For each approach, protocol and direction: its labels, and what stage two gains in the recall of each emotion."""
    stages = predictions[predictions["approach"] != "probe"]
    keys = ["approach", "protocol", "source", "target", "test_domain"]
    found = dict(iter(stages.groupby(keys, sort=False)))
    for (approach, protocol, source, target, tested), answers in found.items():
        direct = found.get((approach, protocol, target, "", target))
        if target in ("", source) or tested != target or direct is None:
            continue
        after, before = (speakers[target].scores(part, emotions) for part in (answers, direct))
        gain = Values(after.value[:-1] - before.value[:-1], after.samples[:, :-1] - before.samples[:, :-1])
        labels = {"approach": approach, "fit": "", "protocol": protocol, "source": source, "target": target}
        yield labels, gain


def _kept(within: Values, across: Values, chance: float) -> Values:
    """What transfer keeps above chance; NaN where there is nothing to keep."""

    def share(home: np.ndarray, away: np.ndarray) -> np.ndarray:
        return np.divide(away - chance, home - chance, out=np.full(home.shape, np.nan), where=home > chance)

    return Values(share(within.value, across.value), share(within.samples, across.samples))


def _correlation(near: Values, outcome: Values) -> dict[str, float]:
    known = np.isfinite(near.value) & np.isfinite(outcome.value)
    number = [float("nan")] * 3
    if known.sum() >= LEAST:
        value = correlate(near.value[None, known], outcome.value[None, known])[0]
        samples = correlate(near.samples[:, known], outcome.samples[:, known])
        if np.isfinite(value):
            number = list(Estimate(float(value), samples, 0).number())
    names = ("correlation", "correlation_low", "correlation_high")
    return dict(zip(names, number, strict=True)) | {"n": int(known.sum())}
