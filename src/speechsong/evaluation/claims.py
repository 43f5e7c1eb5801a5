"""The claims of Sun et al. (2024) as a checklist, each computed from this run.

A claim is put as a number and a bound. It holds where the number's 95 % interval lies wholly on the claimed side of
the bound, does not hold where it lies wholly on the other side, and is undecided where the interval contains the bound.
A claim about an order of emotions holds where it is true in 97.5 % of the resampled FADs. That it is true in few is no
evidence against it, for there are many orders: it does not hold where one of its pairs, an emotion that should be
nearer than another, is so in at most 2.5 % of them, divided by the number of pairs (Bonferroni). It needs all the
emotions that it names. Verdicts are not adjusted for their number. Accuracies are those of the random split, as in the
paper, in %.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from speechsong.distances import ranking
from speechsong.evaluation import scores

SPEECH_ENCODERS, MUSIC_ENCODER = ("w2v2", "hubert"), "mert"
# what counts as a fall from the middle layers to the last, in points: 10 files of the paper's 203
FALL = 5.0
# fewer have no middle and no end
LEAST_LAYERS = 3
CLOSEST, THEN = ("angry", "fearful"), ("happy", "sad", "neutral", "calm")
MISSING = "not in this run"


def judge(low: float, high: float, bound: float, side: str) -> str:
    """Judge a claim that a number is `above` or `below` a bound by the number's interval."""
    above, below = low > bound, high < bound
    if not (above or below):
        return "undecided"
    return "holds" if above == (side == "above") else "does not hold"


def judge_order(distances: dict[str, np.ndarray], order: tuple[tuple[str, ...], ...]) -> tuple[float, str]:
    """Judge an order by draws of the distances.

    Parameters
    ----------
    distances
        Draws (draws,) of each emotion's distance.
    order
        Groups of emotions, the nearest first; within a group there is no order.

    Returns
    -------
    share : float
        Of the draws in which the order is true; NaN where a distance has no draws.
    verdict : str
    """
    if not np.isfinite(list(distances.values())).all():
        return float("nan"), "undecided"
    pairs = [(e, f) for nearer, farther in combinations(order, 2) for e in nearer for f in farther]
    right = np.array([distances[e] < distances[f] for e, f in pairs])
    share = float(right.all(axis=0).mean())
    if share >= 0.975:
        return share, "holds"
    return share, "does not hold" if right.mean(axis=1).min() <= 0.025 / len(pairs) else "undecided"


def _row(claim: str, encoder: str, number: tuple[float, float, float], verdict: str, meaning: str) -> dict:
    value, low, high = number
    rising = claim.startswith("FAD rises")
    made = encoder in (("hubert", MUSIC_ENCODER) if rising else (*SPEECH_ENCODERS, MUSIC_ENCODER))
    return {
        "claim": claim,
        "encoder": encoder,
        "in_paper": "yes" if made else "no",
        "verdict": verdict,
        "number": value,
        "number_low": low,
        "number_high": high,
        "meaning": meaning,
    }


_NOTHING = (float("nan"),) * 3


def falls(predictions: pd.DataFrame, domains: list[str]) -> list[dict]:
    """Judge: wav2vec 2.0 falls in its last layers, HuBERT does not.

    Parameters
    ----------
    predictions
        Probes, from `evaluation.read`.
    domains

    Returns
    -------
    list of dict
        A row an encoder and domain. The number is the accuracy of the last quarter of the layers minus that of the
        quarter in the middle.
    """
    rows = []
    for encoder, does in zip(SPEECH_ENCODERS, (True, False), strict=True):
        claim = f"{encoder} {'falls' if does else 'does not fall'} in its last layers"
        some = predictions[(predictions["model"] == encoder) & (predictions["protocol"] == "random")]
        some = some[~some["layer"].isin(["mean", "selected"])]
        layer = some["layer"].astype(int)
        meaning = (
            f"last quarter of the layers minus the quarter in the middle, points; to fall is more than {FALL:g} down"
        )
        for domain in domains:
            if some.empty or layer.max() < LEAST_LAYERS:
                rows.append(_row(f"{claim} ({domain})", encoder, _NOTHING, MISSING, meaning))
                continue
            blocks = layer.max()
            quarter = max(1, blocks // 4)
            here = some["test_domain"] == domain
            start = (blocks - quarter) // 2
            last = some[here & (layer > blocks - quarter)]
            middle = some[here & (layer > start) & (layer <= start + quarter)]
            number = tuple(100 * v for v in scores.difference(last, middle))
            verdict = judge(*number[1:], -FALL, "below" if does else "above")
            rows.append(_row(f"{claim} ({domain})", encoder, number, verdict, meaning))
    return rows


def specialists(predictions: pd.DataFrame, domains: list[str] | None) -> list[dict]:
    """Judge: the speech encoders are better at speech, the music encoder at music.

    Parameters
    ----------
    predictions
        Probes, from `evaluation.read`.
    domains
        Our names of speech and of music; None where the corpora are no such two.

    Returns
    -------
    list of dict
        A row a speech encoder and domain. The number is the difference of accuracies averaged over the layers.
    """
    some = predictions[(predictions["layer"] == "mean") & (predictions["protocol"] == "random")]
    rows = []
    for domain, music in zip(domains or ("speech", "music"), (False, True), strict=True):
        for encoder in SPEECH_ENCODERS:
            better, worse = (MUSIC_ENCODER, encoder) if music else (encoder, MUSIC_ENCODER)
            claim = f"{better} is better at {domain} than {worse}"
            of = {m: some[(some["model"] == m) & (some["test_domain"] == domain)] for m in (better, worse)}
            meaning = "accuracy averaged over the layers, difference in points"
            if domains is None or any(part.empty for part in of.values()):
                rows.append(_row(claim, better, _NOTHING, MISSING, meaning))
                continue
            number = tuple(100 * v for v in scores.difference(of[better], of[worse]))
            rows.append(_row(claim, better, number, judge(*number[1:], 0, "above"), meaning))
    return rows


def closeness(fads: pd.DataFrame, left_out: pd.DataFrame) -> list[dict]:
    """Judge for one encoder: angry and fearful are closest, then happy, sad, neutral and calm; FAD rises with depth.

    Draws are of the bias-corrected FADs (`ranking.resample`).

    Parameters
    ----------
    fads, left_out
        Rows of the FAD CSV and of left_out.csv.

    Returns
    -------
    list of dict
        Of the order, the number is the share of resampled FADs in which it is true; emotions are ordered by their FAD
        relative to the other emotions, averaged over the layers. Of the rise, it is Kendall's tau of layer and FAD over
        all frames. Layer 0, the input of the first block, is left out unless there is no other.
    """
    model = fads["model"].iloc[0]
    emotions = list(fads["emotion"].unique())
    layers = sorted(fads["layer"].unique())
    corrected = fads.pivot(index="layer", columns="emotion", values="fad_corrected").loc[layers, emotions].to_numpy()
    deep = slice(1 if len(layers) > 1 else 0, None)
    drawn = ranking.resample(fads, left_out)[:, deep]
    rows = []
    relative = {}
    if set(CLOSEST + THEN) <= set(emotions):
        six = drawn[:, :, [emotions.index(e) for e in CLOSEST + THEN]]
        typical = six.mean(axis=(0, 2))
        relative = dict(zip(CLOSEST + THEN, (six / typical[:, None]).mean(axis=1).T, strict=True))
    meaning = "share of resampled FADs (relative to the other emotions, averaged over the layers) in which it is true"
    for claim, order in (
        (f"{' and '.join(CLOSEST)} are the closest in {model}", (CLOSEST, THEN)),
        (f"then come {', '.join(THEN)} in {model}", tuple((e,) for e in THEN)),
    ):
        if not relative:
            rows.append(_row(claim, model, _NOTHING, MISSING, meaning))
            continue
        # without an error, as with one block of speakers, nothing is known
        share, verdict = judge_order(relative, order)
        rows.append(_row(claim, model, (share, *_NOTHING[1:]), verdict, meaning))
    claim, meaning = f"FAD rises with depth in {model}", "Kendall's tau of layer and FAD of all emotions together"
    if len(layers) <= LEAST_LAYERS:
        return [*rows, _row(claim, model, _NOTHING, MISSING, meaning)]
    earlier, later = np.triu_indices(len(layers[deep]), 1)

    def tau(values: np.ndarray) -> np.ndarray:
        return np.sign(values[..., later] - values[..., earlier]).mean(axis=-1)

    everything = emotions.index("all")
    value = float(tau(corrected[deep, everything]))
    # draws, which are noisier than what they are of, may all lie on one side of it
    low, high = (float(edge) for edge in np.quantile(tau(drawn[:, :, everything]), [0.025, 0.975]))
    low, high = min(low, value), max(high, value)
    return [*rows, _row(claim, model, (value, low, high), judge(low, high, 0, "above"), meaning)]


def helps(comparisons: pd.DataFrame) -> list[dict]:
    """Judge: adaptation on the other domain first always helps the speech encoders.

    Parameters
    ----------
    comparisons
        From `evaluation.compare`.

    Returns
    -------
    list of dict
        Two rows an encoder, the paper's first and then the others that were adapted: against direct training as in the
        paper, and against the equal budget. The number is the smallest of the differences over approaches and
        directions. One that is negative beyond its interval, with an adjusted p below 0.05, refutes the claim and is
        the number; for it to hold all must be positive beyond theirs.
    """
    tests = comparisons[(comparisons["test"] == "sign-flip") & (comparisons["protocol"] == "random")]
    rows = []
    others = [m for m in tests["model"].unique() if m and m not in (*SPEECH_ENCODERS, MUSIC_ENCODER)]
    for encoder in (*SPEECH_ENCODERS, *others):
        for against, family in (("direct training", "direct"), ("the equal budget", "equal budget")):
            some = tests[tests["family"] == f"two-stage against {family}"]
            some = some[some["model"] == encoder]
            claim = f"the other domain first always helps {encoder}, against {against}"
            if some.empty:
                rows.append(_row(claim, encoder, _NOTHING, MISSING, "differences in points"))
                continue
            least = some.loc[some["difference"].idxmin()]
            harmful = some[(some["difference_high"] < 0) & (some["p_adjusted"] < 0.05)]
            verdict = "undecided"
            if (some["difference_low"] > 0).all():
                verdict = "holds"
            elif not harmful.empty:
                verdict, least = "does not hold", harmful.loc[harmful["difference"].idxmin()]
            number = tuple(float(least[c]) for c in ("difference", "difference_low", "difference_high"))
            better = int((some["difference"] > 0).sum())
            meaning = (
                f"of {len(some)} differences in points {better} are above 0; the least, or the one that refutes it"
            )
            rows.append(_row(claim, encoder, number, verdict, meaning))
    return rows
