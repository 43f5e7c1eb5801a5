"""The paper's claims about accuracy by layer: section V-A I to III, and its settings.

A is accuracy averaged over layers, and the gap G is A(speech) - A(music), both in points of %. All are of the random
split, as in the paper. Layer 0, the input of the first block, is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from speechsong.evaluation.claims_rows import (
    LEAST_LAYERS,
    Claim,
    Encoder,
    both_claimed,
    depths,
    everyone,
    of_family,
    of_role,
)
from speechsong.evaluation.estimates import (
    Estimate,
    Number,
    Tallies,
    complete,
    difference,
    number,
    rank_correlation,
    smallest,
    tally,
)
from speechsong.evaluation.predictions import own

# what counts as a fall, or as a gap, in points: 10 clips of the paper's 203
LARGE = 5.0
_DRAWS = 10_000


@dataclass(frozen=True)
class Probes:
    """Accuracies of the probes of one fit; those that the run lacks are None.

    Attributes
    ----------
    fit : str
    tallies : Tallies
        By model, test domain and layer.
    sides : tuple of str or None
        Which domain is speech, and which is music.
    """

    fit: str
    tallies: Tallies
    sides: tuple[str, str] | None

    def layers(self, model: str, part: str) -> tuple[int, ...]:
        """List the layers of a part of `Depths`, none if there are too few; all are layer 0 if there is no other."""
        known = {layer for name, _, layer in self.tallies.counts if name == model}
        if part == "every":
            return tuple(sorted(known - {0} or known))
        blocks = max(known, default=0)
        return getattr(depths(blocks), part) if blocks >= LEAST_LAYERS else ()

    def accuracy(self, model: str, domain: str, part: str, emotion: str | None = None) -> Estimate | None:
        """Average accuracy, or the recall of an emotion, over a part of the layers."""
        return self.tallies.accuracy([(model, domain, layer) for layer in self.layers(model, part)], emotion)

    def change(self, model: str, domain: str, emotion: str | None = None) -> Estimate | None:
        """Subtract the accuracy of the middle layers from that of the deep ones."""
        return difference(*(self.accuracy(model, domain, part, emotion) for part in ("deep", "middle")))

    def gap(self, model: str, part: str) -> Estimate | None:
        """Subtract the accuracy on music from that on speech."""
        return difference(*(self.accuracy(model, side, part) for side in self.sides)) if self.sides else None

    def on(self, side: int) -> str:
        """Name the domain that is speech (0) or music (1)."""
        return (self.sides or ("speech", "music"))[side]


def probes(predictions: pd.DataFrame, sides: list[str] | None) -> list[Probes]:
    """Count the answers of the probes, apart by fit.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    sides
        Our names of speech and music; None if it is unknown which is which.

    Returns
    -------
    list of Probes
        One with the fit `paper` if there are no probes.
    """
    kept = (predictions["approach"] == "probe") & (predictions["protocol"] == "random")
    answers = own(predictions[kept & predictions["layer"].notna()])
    both = (sides[0], sides[1]) if sides else None
    return [
        Probes(fit, tally(answers[answers["fit"] == fit], ["model", "test_domain", "layer"]), both)
        for fit in answers["fit"].unique()
    ] or [Probes("paper", Tallies({}, []), both)]


def judge_layers(of: Probes, encoders: list[Encoder], domains: list[str]) -> Iterator[dict]:
    """Judge what the paper says of accuracy by layer.

    Parameters
    ----------
    of
    encoders
        Those of the run.
    domains

    Yields
    ------
    dict
        Rows as from `Claim.row`.
    """
    encoders = everyone(encoders)
    for domain in domains:
        yield from _depth(of, encoders, domain)
    meaning = "rank correlation (Spearman) of the accuracies on both domains over the layers"
    alike = Claim("the layers rank alike on both domains", "V-A I", meaning, 0, "above")
    for encoder in encoders:
        yield alike.row(encoder.name, _agreement(of, encoder.name, domains), fit=of.fit)
    yield from _specialists(of, encoders)
    yield from _gaps(of, encoders)


def _depth(of: Probes, encoders: list[Encoder], domain: str) -> Iterator[dict]:
    meaning = "accuracy of the last quarter of the layers minus that of the middle quarter, in points"
    falls = Claim(f"accuracy falls in the deep layers ({domain})", "V-A I", meaning, -LARGE, "below")
    stays = Claim(f"accuracy does not fall in the deep layers ({domain})", "V-A I", meaning, -LARGE, "above")
    for claim, families in ((falls, ("wav2vec2",)), (stays, ("hubert", "mert_model"))):
        for encoder in of_family(encoders, *families):
            yield claim.row(encoder.name, number(of.change(encoder.name, domain)), fit=of.fit)
    meaning = "accuracy of the last quarter of the layers minus that of the first, in points"
    better = Claim(f"the deep layers are better than the shallow ones ({domain})", "V-A I", meaning, 0, "above")
    for encoder in of_family(encoders, "hubert"):
        found = difference(*(of.accuracy(encoder.name, domain, part) for part in ("deep", "shallow")))
        yield better.row(encoder.name, number(found), fit=of.fit)
    meaning = "difference in accuracy of the last quarter of the layers, in points"
    for encoder in of_family(encoders, "mert_model"):
        for other in of_family(encoders, "wav2vec2"):
            text = f"better than {other.name} in the deep layers ({domain})"
            claim = Claim(text, "V-A I", meaning, 0, "above", both_claimed(encoder, other))
            found = difference(*(of.accuracy(e.name, domain, "deep") for e in (encoder, other)))
            yield claim.row(encoder.name, number(found), fit=of.fit)


def _agreement(of: Probes, model: str, domains: list[str]) -> Number | None:
    layers = of.layers(model, "every")
    if len(layers) < LEAST_LAYERS:
        return None
    one, other = (complete([of.tallies.accuracy([(model, d, layer)]) for layer in layers]) for d in domains)
    return rank_correlation(list(zip(one, other, strict=True))).number() if one and other else None


def _specialists(of: Probes, encoders: list[Encoder]) -> Iterator[dict]:
    meaning = "difference in accuracy averaged over the layers, in points"
    speech, music = of_role(encoders, "speech"), of_role(encoders, "music")
    for side, better, worse in ((0, speech, music), (1, music, speech)):
        for encoder in better:
            for other in worse:
                text = f"better at {of.on(side)} than {other.name}"
                claim = Claim(text, "V-A I", meaning, 0, "above", both_claimed(encoder, other))
                found = _on(of, encoder, side)
                yield claim.row(encoder.name, number(difference(found, _on(of, other, side))), fit=of.fit)
    meaning = f"accuracy on {of.on(0)} minus accuracy on {of.on(1)}, averaged over the layers, in points"
    at_speech = Claim(f"better at {of.on(0)} than at {of.on(1)}", "V-A I", meaning, 0, "above")
    at_music = Claim(f"better at {of.on(1)} than at {of.on(0)}", "V-A I", meaning, 0, "below")
    for claim, some in ((at_speech, speech), (at_music, music)):
        for encoder in some:
            yield claim.row(encoder.name, number(of.gap(encoder.name, "every")), fit=of.fit)


def _on(of: Probes, encoder: Encoder, side: int) -> Estimate | None:
    return of.accuracy(encoder.name, of.on(side), "every") if of.sides else None


def _gaps(of: Probes, encoders: list[Encoder]) -> Iterator[dict]:
    """Yield rows on the gap between speech and music: in the upper half (V-A II), in the shallow layers (V-A III)."""
    speech, music = of_role(encoders, "speech"), of_role(encoders, "music")
    gap = f"accuracy on {of.on(0)} minus accuracy on {of.on(1)}"
    upper = f"{gap}, over the upper half of the layers, in points"
    for encoder in of_family(encoders, "hubert"):
        for other in of_family(encoders, "wav2vec2"):
            text = f"the gap is larger than that of {other.name} in the upper half"
            meaning = f"gap minus that of {other.name}; a gap is {upper}"
            claim = Claim(text, "V-A II", meaning, 0, "above", both_claimed(encoder, other))
            found = difference(*(of.gap(e.name, "upper") for e in (encoder, other)))
            yield claim.row(encoder.name, number(found), fit=of.fit)
    for encoder in of_family(encoders, "wav2vec2"):
        ahead = number(of.gap(encoder.name, "upper"))
        yield Claim("the gap is small in the upper half", "V-A II", upper, LARGE, "below").row(
            encoder.name, ahead, fit=of.fit
        )
        text = f"better at {of.on(0)} than at {of.on(1)} in the upper half"
        yield Claim(text, "V-A II", upper, 0, "above").row(encoder.name, ahead, fit=of.fit)
    shallow = f"{gap}, in the first quarter of the layers, in points"
    leads = Claim(f"{of.on(1)} is ahead in the shallow layers", "V-A III", shallow, -LARGE, "below")
    alike = Claim("the domains are alike in the shallow layers", "V-A III", shallow, LARGE, "within")
    for claim, some in ((leads, music), (alike, speech)):
        for encoder in some:
            yield claim.row(encoder.name, number(of.gap(encoder.name, "shallow")), fit=of.fit)
    chance = 100 / len(of.tallies.emotions) if of.tallies.emotions else float("nan")
    meaning = f"accuracy on {of.on(0)} averaged over the layers, in %; the bound is chance"
    able = Claim(f"recognises emotions in {of.on(0)} as well", "V-A III", meaning, chance, "above")
    meaning = "accuracy of the last quarter of the layers minus that of the middle quarter, in points"
    for encoder in music:
        yield able.row(encoder.name, number(_on(of, encoder, 0)), fit=of.fit)
        for side, text, where in ((0, "falls", "below"), (1, "does not fall", "above")):
            claim = Claim(f"{of.on(side)} {text} in the deep layers", "V-A III", meaning, -LARGE, where)
            found = of.change(encoder.name, of.on(side)) if of.sides else None
            yield claim.row(encoder.name, number(found), fit=of.fit)


def judge_epochs(epochs: pd.DataFrame, encoders: list[Encoder]) -> Iterator[dict]:
    """Judge: the layer before the last, 11 of 12, needs the most epochs.

    Parameters
    ----------
    epochs
        Rows of the probe CSVs, with best_epoch.
    encoders
        Those of the run.

    Yields
    ------
    dict
        Rows as from `Claim.row`. Intervals are over the splits of both domains, which are drawn.
    """
    meaning = "median best epoch of the layer before the last minus the largest of the other layers; samples are splits"
    claim = Claim("the layer before the last needs the most epochs", "V-A settings", meaning, 0, "above")
    kept = (epochs["protocol"] == "random") & (epochs["layer"] > 0)
    if "fit" in epochs:
        kept &= epochs["fit"] == "paper"
    if "test_domain" in epochs:
        kept &= epochs["test_domain"] == epochs["domain"]
    for encoder in everyone(encoders):
        mine = epochs[kept & (epochs["model"] == encoder.name)].drop_duplicates(["domain", "seed", "layer"])
        # one row per split, one column per layer
        grid = mine.pivot(index=["domain", "seed"], columns="layer", values="best_epoch").to_numpy(float)
        splits, blocks = grid.shape
        if blocks < LEAST_LAYERS:
            yield claim.row(encoder.name, None, fit="paper")
            continue
        drawn = np.random.default_rng(0).integers(0, splits, (_DRAWS, splits))
        value, samples = np.median(grid, axis=0), np.median(grid[drawn], axis=1)
        late = blocks - 2
        others = [
            Estimate(float(value[late] - value[i]), samples[:, late] - samples[:, i], splits)
            for i in range(blocks)
            if i != late
        ]
        rank = 1 + int((np.delete(value, late) > value[late]).sum())
        note = f"; it has rank {rank} of {blocks}"
        yield claim.row(encoder.name, smallest(others), fit="paper", note=note)
