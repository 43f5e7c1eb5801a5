"""The paper's claims: a checklist of the claims of Sun et al. (2024), each tested on this run.

Each claim is stated as a number and a bound. It holds if the 95 % interval of the number is entirely on the claimed
side of the bound, does not hold if it is entirely on the other side, and is undecided if the interval contains the
bound.

A claim about an order of emotions holds if the order is right in at least 97.5 % of the resampled FADs. A low share is
no evidence against the claim, because there are many possible orders. The claim does not hold if one of its pairs (an
emotion that should be nearer than another) is in the right order in at most 2.5 % of them, divided by the number of
pairs (Bonferroni). The run must have all the emotions that the claim names.

Conventions
-----------
Accuracies are those of the random split, as in the paper. Differences are in percentage points. Verdicts are not
adjusted for multiple testing. A claim that this run cannot answer has the verdict `MISSING`. The column in_paper says
whether the paper makes the claim; if not, this run tests it on another encoder or on other domains.

References
----------
[1] Sun et al., 2024, arXiv:2409.17899.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from speechsong.distances import ranking
from speechsong.evaluation.comparisons import accuracies
from speechsong.evaluation.predictions import results

SPEECH_ENCODERS, MUSIC_ENCODER = ("w2v2", "hubert"), "mert"
ENCODERS = (*SPEECH_ENCODERS, MUSIC_ENCODER)
# encoders whose FAD rises with depth, according to the paper
RISING = ("hubert", MUSIC_ENCODER)
# what counts as a fall from the middle layers to the last, in points: 10 clips of the paper's 203
FALL = 5.0
# with fewer there are no middle and last layers to compare
LEAST_LAYERS = 3
CLOSEST, THEN = ("angry", "fearful"), ("happy", "sad", "neutral", "calm")
MISSING = "not in this run"
NOTHING = (float("nan"),) * 3


def check(
    predictions: pd.DataFrame,
    fads: pd.DataFrame,
    left_out: pd.DataFrame,
    comparisons: pd.DataFrame,
    domains: list[str],
    paper: list[str] | None,
) -> pd.DataFrame:
    """Judge all claims.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    fads, left_out
        Rows of the FAD CSVs and of the left_out.csv of all models.
    comparisons
        From `comparisons.compare`.
    domains
    paper
        Names of the domains that are RAVDESS speech and song; None if the run has other corpora or emotions, about
        which the paper claims nothing.

    Returns
    -------
    DataFrame
        One row per claim: claim, encoder, in_paper (yes or no), verdict, number with its interval, meaning (of the
        number).
    """
    rows = [*falls(predictions, domains), *specialists(predictions, paper)]
    for model, of_model in fads.groupby("model", sort=False):
        rows += closeness(of_model, left_out[left_out["model"] == model])
    table = pd.DataFrame(rows + helps(comparisons))
    return table if paper else table.assign(in_paper="no")


def judge(low: float, high: float, bound: float, side: str) -> str:
    """Judge the claim that a number is `above` or `below` a bound, by the number's interval."""
    above, below = low > bound, high < bound
    if not (above or below):
        return "undecided"
    return "holds" if above == (side == "above") else "does not hold"


def judge_order(distances: dict[str, np.ndarray], order: tuple[tuple[str, ...], ...]) -> tuple[float, str]:
    """Judge an order of emotions by draws of their distances.

    Parameters
    ----------
    distances
        Draws (draws,) of each emotion's distance.
    order
        Groups of emotions, the nearest first. The order within a group does not matter.

    Returns
    -------
    share : float
        Share of the draws in which the order is right; NaN if a draw is not finite.
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


def _row(
    claim: str,
    encoder: str,
    meaning: str,
    verdict: str = MISSING,
    number: tuple[float, float, float] = NOTHING,
    claimed: tuple[str, ...] = ENCODERS,
) -> dict:
    """Make the row of a claim, which the paper makes about the encoders `claimed`."""
    return {
        "claim": claim,
        "encoder": encoder,
        "in_paper": "yes" if encoder in claimed else "no",
        "verdict": verdict,
        "number": number[0],
        "number_low": number[1],
        "number_high": number[2],
        "meaning": meaning,
    }


def _difference(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, float, float]:
    """Accuracy of answers A minus that of answers B, and the ends of its interval, in percentage points."""
    of_a, of_b = accuracies(a, b)
    value, (low, high) = of_a.minus(of_b)
    return 100 * value, 100 * low, 100 * high


def falls(predictions: pd.DataFrame, domains: list[str]) -> list[dict]:
    """Judge the claim that accuracy falls in the last layers of wav2vec 2.0, but not in those of HuBERT.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    domains

    Returns
    -------
    list of dict
        One row per encoder and domain. The number is the accuracy of the last quarter of the layers minus that of the
        middle quarter.
    """
    meaning = (
        "accuracy of the last quarter of the layers minus that of the middle quarter, in points; "
        f"a fall is more than {FALL:g} points"
    )
    rows = []
    for encoder, does in zip(SPEECH_ENCODERS, (True, False), strict=True):
        name = f"{encoder} {'falls' if does else 'does not fall'} in its last layers"
        probed = predictions[(predictions["model"] == encoder) & (predictions["protocol"] == "random")]
        probed = probed[probed["layer"].notna()]
        blocks = 0 if probed.empty else int(probed["layer"].max())
        quarter = max(1, blocks // 4)
        start = (blocks - quarter) // 2
        for domain in domains:
            claim = f"{name} ({domain})"
            if blocks < LEAST_LAYERS:
                rows.append(_row(claim, encoder, meaning))
                continue
            answers = probed[probed["test_domain"] == domain]
            last = answers[answers["layer"] > blocks - quarter]
            middle = answers[(answers["layer"] > start) & (answers["layer"] <= start + quarter)]
            number = _difference(last, middle)
            verdict = judge(*number[1:], -FALL, "below" if does else "above")
            rows.append(_row(claim, encoder, meaning, verdict, number))
    return rows


def specialists(predictions: pd.DataFrame, domains: list[str] | None) -> list[dict]:
    """Judge the claim that the speech encoders are better at speech, and the music encoder at music.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    domains
        Names of the domains that are RAVDESS speech and song; None as in `check`.

    Returns
    -------
    list of dict
        One row per speech encoder and domain. The number is the difference in accuracy averaged over the layers.
    """
    meaning = "difference in accuracy averaged over the layers, in points"
    means = {
        (keys["model"], keys["test_domain"]): answers
        for keys, answers in results(predictions)
        if keys["over"] == "mean" and keys["protocol"] == "random"
    }
    rows = []
    for domain, music in zip(domains or ("speech", "music"), (False, True), strict=True):
        for encoder in SPEECH_ENCODERS:
            better, worse = (MUSIC_ENCODER, encoder) if music else (encoder, MUSIC_ENCODER)
            claim = f"{better} is better at {domain} than {worse}"
            if domains is None or not {(better, domain), (worse, domain)} <= set(means):
                rows.append(_row(claim, better, meaning))
                continue
            number = _difference(means[better, domain], means[worse, domain])
            rows.append(_row(claim, better, meaning, judge(*number[1:], 0, "above"), number))
    return rows


def closeness(fads: pd.DataFrame, left_out: pd.DataFrame) -> list[dict]:
    """Judge for one encoder: angry and fearful are closest, then happy, sad, neutral and calm; FAD rises with depth.

    Parameters
    ----------
    fads, left_out
        Rows of the FAD CSV and of the left_out.csv of one model.

    Returns
    -------
    list of dict
        One row per claim. For an order, the number is the share of the resampled FADs (`ranking.resample`) in which it
        is right; emotions are ordered by their FAD relative to the other emotions, averaged over the layers. For the
        rise, the number is Kendall's tau between layer and FAD of all frames. Layer 0, the input of the first block, is
        left out unless there is no other.
    """
    model = fads["model"].iloc[0]
    emotions = list(fads["emotion"].unique())
    layers = sorted(fads["layer"].unique())
    corrected = fads.pivot(index="layer", columns="emotion", values="fad_corrected").loc[layers, emotions].to_numpy()
    blocks = slice(1 if len(layers) > 1 else 0, None)
    drawn = ranking.resample(fads, left_out)[:, blocks]
    relative = {}
    if set(CLOSEST + THEN) <= set(emotions):
        named = drawn[:, :, [emotions.index(e) for e in CLOSEST + THEN]]
        typical = named.mean(axis=(0, 2))
        relative = dict(zip(CLOSEST + THEN, (named / typical[:, None]).mean(axis=1).T, strict=True))
    rows = []
    meaning = (
        "share of the resampled FADs in which the order is true (FAD relative to the other emotions, averaged over the "
        "layers)"
    )
    for claim, order in (
        (f"{' and '.join(CLOSEST)} are the closest in {model}", (CLOSEST, THEN)),
        (f"then come {', '.join(THEN)} in {model}", tuple((e,) for e in THEN)),
    ):
        if not relative:
            rows.append(_row(claim, model, meaning))
            continue
        share, verdict = judge_order(relative, order)
        rows.append(_row(claim, model, meaning, verdict, (share, *NOTHING[1:])))
    claim, meaning = f"FAD rises with depth in {model}", "Kendall's tau between layer and FAD of all emotions together"
    if len(layers) <= LEAST_LAYERS:
        return [*rows, _row(claim, model, meaning, claimed=RISING)]
    earlier, later = np.triu_indices(len(layers[blocks]), 1)

    def tau(values: np.ndarray) -> np.ndarray:
        return np.sign(values[..., later] - values[..., earlier]).mean(axis=-1)

    everything = emotions.index("all")
    value = float(tau(corrected[blocks, everything]))
    low, high = (float(edge) for edge in np.quantile(tau(drawn[:, :, everything]), [0.025, 0.975]))
    # draws have more noise than the value, so they may all lie on one side of it; the interval always has it inside
    number = (value, min(low, value), max(high, value))
    return [*rows, _row(claim, model, meaning, judge(*number[1:], 0, "above"), number, claimed=RISING)]


def helps(comparisons: pd.DataFrame) -> list[dict]:
    """Judge the claim that adapting to the other domain first always helps the speech encoders.

    Parameters
    ----------
    comparisons
        From `comparisons.compare`.

    Returns
    -------
    list of dict
        Two rows per encoder, first for the paper's speech encoders, then for the others that were adapted: against
        direct training, as in the paper, and against the equal budget. The number is the smallest difference over
        approaches and directions. A difference whose whole interval is below 0 and whose adjusted p is below 0.05
        refutes the claim, and is then the number. The claim holds if the whole intervals of all differences are above
        0.
    """
    tests = comparisons[(comparisons["test"] == "sign-flip") & (comparisons["protocol"] == "random")]
    rows = []
    others = [m for m in tests["model"].unique() if m and m not in ENCODERS]
    for encoder in (*SPEECH_ENCODERS, *others):
        for against, family in (("direct training", "direct"), ("the equal budget", "equal budget")):
            claim = f"the other domain first always helps {encoder}, against {against}"
            differences = tests[tests["family"] == f"two-stage against {family}"]
            differences = differences[differences["model"] == encoder]
            if differences.empty:
                rows.append(_row(claim, encoder, "smallest difference in accuracy, in points"))
                continue
            least = differences.loc[differences["difference"].idxmin()]
            harmful = differences[(differences["difference_high"] < 0) & (differences["p_adjusted"] < 0.05)]
            verdict = "undecided"
            if (differences["difference_low"] > 0).all():
                verdict = "holds"
            elif not harmful.empty:
                verdict, least = "does not hold", harmful.loc[harmful["difference"].idxmin()]
            number = (float(least["difference"]), float(least["difference_low"]), float(least["difference_high"]))
            above = int((differences["difference"] > 0).sum())
            meaning = (
                f"{'smallest' if harmful.empty else 'refuting'} difference in accuracy, in points; "
                f"{above} of {len(differences)} are above 0"
            )
            rows.append(_row(claim, encoder, meaning, verdict, number))
    return rows
