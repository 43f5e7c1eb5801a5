"""The paper's claims about FAD: section V-C I to III.

Each is judged twice: by the plain FAD, as the paper computes it (does it replicate?), and by the corrected FAD, which
has less of the bias of a small sample (is it so?). Samples are those of `ranking.resample`; for the plain FAD they are
moved so that they scatter about it.

The layers are 1 to the last, as in the paper. Layer 0, the input of the first block, is left out wherever a claim does
not name it, unless there is no other. Emotions are compared by their relative FAD: a layer's FAD divided by the mean of
the emotions there, averaged over the layers. Changes with depth are of the FAD of all emotions together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from speechsong.distances import ranking
from speechsong.evaluation.claims_rows import LEAST_LAYERS, NAMES, Claim, Encoder, depths, everyone, of_family, of_role
from speechsong.evaluation.estimates import Estimate, Number, chance, concordance, smallest

CLOSEST, THEN = ("angry", "fearful"), ("happy", "sad", "neutral", "calm")
# what does and what does not rise in layer 11 of w2v2, as the paper says
RISE, STAY = ("calm", "neutral", "sad"), ("angry", "happy", "fearful")
# slope of log FAD that counts as stable: 5 % a layer
STABLE = 0.05


@dataclass(frozen=True)
class Distances:
    """FADs of one encoder, and samples of them.

    Attributes
    ----------
    kind : str
        `plain` or `corrected`.
    emotions : list of str
        With `all`.
    layers : list of int
    values : ndarray (L, E), float64
    samples : ndarray (draws, L, E), float64
    """

    kind: str
    emotions: list[str]
    layers: list[int]
    values: np.ndarray
    samples: np.ndarray

    def estimate(self, statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """Estimate a statistic, which takes FADs (..., L, E) to numbers (...)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return Estimate(float(statistic(self.values)), statistic(self.samples), 0)

    def deep(self, values: np.ndarray) -> np.ndarray:
        """Leave out layer 0 of FADs (..., L, E), unless there is no other."""
        return values[..., 1 if self.layers[0] == 0 and len(self.layers) > 1 else 0 :, :]

    @property
    def blocks(self) -> int:
        """Number of layers without layer 0; 0 if one of them is missing."""
        return self.layers[-1] if self.layers == list(range(self.layers[-1] + 1)) else 0


def distances(fads: pd.DataFrame, left_out: pd.DataFrame) -> list[Distances]:
    """Take the plain and the corrected FADs of one encoder, with samples.

    Parameters
    ----------
    fads, left_out
        Rows of the FAD CSV and of the left_out.csv of the encoder.
    """
    emotions, layers = list(fads["emotion"].unique()), sorted(fads["layer"].unique())
    plain, corrected = (
        fads.pivot(index="layer", columns="emotion", values=name).loc[layers, emotions].to_numpy(float)
        for name in ("fad", "fad_corrected")
    )
    samples = ranking.resample(fads, left_out)
    return [
        Distances(kind, emotions, [int(layer) for layer in layers], values, samples + (values - corrected))
        for kind, values in (("plain", plain), ("corrected", corrected))
    ]


def judge_distances(found: dict[str, list[Distances]], encoders: list[Encoder]) -> Iterator[dict]:
    """Judge what the paper says of FAD.

    Parameters
    ----------
    found
        From `distances`, by encoder.
    encoders
        Those of the run.

    Yields
    ------
    dict
        Rows as from `Claim.row`.
    """
    encoders = everyone(encoders)
    for i, kind in enumerate(("plain", "corrected")):
        of = {model: both[i] for model, both in found.items()}
        for encoder in encoders:
            yield from _order(of.get(encoder.name), encoder.name, kind)
        yield from _agreement(of, encoders, kind)
        yield from _rise(of, encoders, kind)
        yield from _wav2vec2(of, encoders, kind)


def _logs(values: np.ndarray) -> np.ndarray:
    """Logarithms; NaN where a value is not above zero."""
    return np.log(np.where(values > 0, values, np.nan))


def _relative(of: Distances, emotions: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """Make the statistic that takes FADs (..., L, E) to relative FADs (..., emotions), averaged over the layers."""
    columns = [of.emotions.index(emotion) for emotion in emotions]
    # the same scale for all samples
    typical = of.deep(of.values)[:, columns].mean(axis=1, keepdims=True)
    return lambda values: (of.deep(values)[..., columns] / typical).mean(axis=-2)


def _ordered(of: Distances, order: tuple[tuple[str, ...], ...]) -> tuple[Number, float]:
    """Give the smallest difference between pairs that have an order, and the share of samples with all in order."""
    pairs = [(e, f) for nearer, farther in combinations(order, 2) for e in nearer for f in farther]
    known = tuple(e for e in CLOSEST + THEN if e in of.emotions)
    relative = _relative(of, known)
    place = {emotion: i for i, emotion in enumerate(known)}
    values, samples = relative(of.values), relative(of.samples)
    margins = [
        Estimate(float(values[place[f]] - values[place[e]]), samples[:, place[f]] - samples[:, place[e]], 0)
        for e, f in pairs
    ]
    with np.errstate(invalid="ignore"):
        share = float(np.all([margin.samples > 0 for margin in margins], axis=0).mean())
    return smallest(margins), share


def _order(of: Distances | None, name: str, kind: str) -> Iterator[dict]:
    meaning = "smallest difference in relative FAD between emotions that have an order; 1 is the mean of the emotions"
    for text, order in (
        (f"{' and '.join(CLOSEST)} are the closest", (CLOSEST, THEN)),
        (f"then come {', '.join(THEN)}", tuple((emotion,) for emotion in THEN)),
        ("angry is closer than calm", (("angry",), ("calm",))),
    ):
        claim = Claim(text, "V-C I", meaning, 0, "above")
        if of is None or not {emotion for some in order for emotion in some} <= {*of.emotions}:
            yield claim.row(name, None, fad=kind)
            continue
        number, share = _ordered(of, order)
        note = f"; the order is true in {100 * share:.0f} % of the samples" if np.isfinite(number).all() else ""
        yield claim.row(name, number, fad=kind, note=note)


def _agreement(of: dict[str, Distances], encoders: list[Encoder], kind: str) -> Iterator[dict]:
    """Yield rows: the encoders order the emotions alike. The paper's three are asked, and all of the run."""
    meaning = "Kendall's W of the order of emotions by relative FAD; random orders exceed the bound in 5 % of cases"
    ours = tuple(encoder.name for encoder in of_role(encoders) if encoder.name in of)
    for some in dict.fromkeys([NAMES, ours]):
        if some != NAMES and (len(some) < 2 or {*some} == {*NAMES}):
            continue
        shared = [e for e in CLOSEST + THEN if all(m in of and e in of[m].emotions for m in some)]
        bound = chance(len(some), len(shared)) if len(shared) > 1 else 1.0
        who = ", ".join(some)
        claim = Claim("the encoders order the emotions alike", "V-C I", meaning, bound, "above", (", ".join(NAMES),))
        # random orders of very few are often equal
        if bound == 1:
            yield claim.row(who, None, fad=kind)
            continue
        relative = [(of[model], _relative(of[model], tuple(shared))) for model in some]
        values = concordance(np.stack([statistic(one.values) for one, statistic in relative]))
        samples = concordance(np.stack([statistic(one.samples) for one, statistic in relative], axis=1))
        yield claim.row(who, Estimate(float(values), samples, 0).number(), fad=kind)


def _rise(of: dict[str, Distances], encoders: list[Encoder], kind: str) -> Iterator[dict]:
    """Yield rows on how FAD changes with depth. All encoders are asked whether it rises."""
    rising = tuple(e.name for e in of_family(everyone([]), "hubert", "mert_model"))
    left_out = "of all emotions; layer 0 is left out"
    last = Claim(
        "FAD is larger in the last layer than in layer 1",
        "V-C II",
        f"FAD of the last layer divided by that of layer 1, {left_out}",
        1,
        "above",
        rising,
    )
    steps = Claim(
        "FAD rises from layer to layer, from layer 1 to the last",
        "V-C II",
        f"share of the steps from a layer to the next in which FAD rises, {left_out}",
        0.5,
        "above",
        rising,
    )
    with_0 = Claim(
        "FAD rises from layer to layer, from layer 0 to the last",
        "V-C II",
        "share of the steps from a layer to the next in which FAD rises, of all emotions",
        0.5,
        "above",
        (),  # the paper has no layer 0
    )
    sharp = Claim(
        "FAD rises sharply at the end",
        "V-C II",
        f"last step minus the median step, divided by the mean FAD of the layers, {left_out}",
        0,
        "above",
        rising,
    )
    for encoder in encoders:
        one = _deep_enough(of.get(encoder.name))
        everything = one.emotions.index("all") if one else 0

        def line(values: np.ndarray, start: int = 1, column: int = everything) -> np.ndarray:
            return values[..., start:, column]

        for claim, statistic in (
            (last, lambda values, line=line: np.exp(_logs(line(values)[..., -1]) - _logs(line(values)[..., 0]))),
            (steps, lambda values, line=line: _rising(line(values))),
            (with_0, lambda values, line=line: _rising(line(values, 0))),
            (sharp, lambda values, line=line: _last_step(line(values))),
        ):
            if claim is sharp and encoder.family not in ("hubert", "mert_model"):
                continue
            yield claim.row(encoder.name, one.estimate(statistic).number() if one else None, fad=kind)
    yield from _middle(of, encoders, kind)


def _deep_enough(of: Distances | None) -> Distances | None:
    return of if of and of.blocks >= LEAST_LAYERS and "all" in of.emotions else None


def _rising(line: np.ndarray) -> np.ndarray:
    """Share of rising steps (...) of FADs (..., layers); NaN where a FAD is."""
    steps = np.diff(line, axis=-1)
    return np.where(np.isnan(steps).any(axis=-1), np.nan, (steps > 0).mean(axis=-1))


def _last_step(line: np.ndarray) -> np.ndarray:
    steps = np.diff(line, axis=-1)
    return (steps[..., -1] - np.median(steps, axis=-1)) / line.mean(axis=-1)


def _middle(of: dict[str, Distances], encoders: list[Encoder], kind: str) -> Iterator[dict]:
    """Yield rows: in the middle layers FAD rises on in HuBERT, and is stable in MERT."""
    meaning = "slope of log FAD over the middle quarter of the layers, per layer, of all emotions"
    rises = Claim("FAD rises on in the middle layers", "V-C II", meaning, 0, "above")
    stable = Claim("FAD is stable in the middle layers", "V-C II", meaning, STABLE, "within")
    for claim, family in ((rises, "hubert"), (stable, "mert_model")):
        for encoder in of_family(encoders, family):
            one = _deep_enough(of.get(encoder.name))
            layers = np.array(depths(one.blocks).middle if one else ())
            if one is None or len(layers) < 2:
                yield claim.row(encoder.name, None, fad=kind)
                continue
            weights = (layers - layers.mean()) / ((layers - layers.mean()) ** 2).sum()
            column = one.emotions.index("all")

            def slope(
                v: np.ndarray, at: np.ndarray = layers, by: np.ndarray = weights, column: int = column
            ) -> np.ndarray:
                return _logs(v[..., at, column]) @ by

            yield claim.row(encoder.name, one.estimate(slope).number(), fad=kind)


def _wav2vec2(of: dict[str, Distances], encoders: list[Encoder], kind: str) -> Iterator[dict]:
    """Yield rows: FAD of wav2vec 2.0 falls after the middle, and the layer before the last tells emotions apart."""
    lower = Claim(
        "FAD is lower in the upper half than in the middle layer",
        "V-C III",
        "mean log FAD of the upper half of the layers minus log FAD of the layer before it (6 of 12), of all emotions",
        0,
        "below",
    )
    apart = Claim(
        f"{', '.join(RISE)} stand out in the layer before the last, and {', '.join(STAY)} do not",
        "V-C III",
        "log FAD of the layer before the last (11 of 12) minus the mean of its neighbours: "
        f"mean of {', '.join(RISE)} minus mean of {', '.join(STAY)}",
        0,
        "above",
    )
    for encoder in of_family(encoders, "wav2vec2"):
        one = _deep_enough(of.get(encoder.name))
        if one is None:
            yield lower.row(encoder.name, None, fad=kind)
            yield apart.row(encoder.name, None, fad=kind)
            continue
        upper, column = list(depths(one.blocks).upper), one.emotions.index("all")

        def falls(v: np.ndarray, upper: list[int] = upper, column: int = column) -> np.ndarray:
            return _logs(v[..., upper, column]).mean(axis=-1) - _logs(v[..., upper[0] - 1, column])

        yield lower.row(encoder.name, one.estimate(falls).number(), fad=kind)
        if not {*RISE, *STAY} <= {*one.emotions}:
            yield apart.row(encoder.name, None, fad=kind)
            continue
        groups = [[one.emotions.index(emotion) for emotion in group] for group in (RISE, STAY)]

        def excess(v: np.ndarray, groups: list[list[int]] = groups) -> np.ndarray:
            before, at, after = (_logs(v[..., layer, :]) for layer in (-3, -2, -1))
            rise, stay = ((at - (before + after) / 2)[..., group].mean(axis=-1) for group in groups)
            return rise - stay

        yield apart.row(encoder.name, one.estimate(excess).number(), fad=kind)
