"""Zero-shot transfer: what is learnt in one domain, tested in the other without any training there.

Both numbers are of the same test clips, those of the target domain: `across` is the accuracy of what was trained on the
source domain, `within` that of what was trained on the target itself. What transfer keeps is the part of `within` above
chance that `across` reaches: kept = (across - 1/C) / (within - 1/C), with C emotions. It is 1 if training elsewhere is
as good, 0 at the level of chance, and negative below it.

For a single emotion accuracy is its recall. A recall also rises if everything is taken for this emotion, so read the
recalls of all emotions together.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechsong.evaluation import intervals
from speechsong.evaluation.estimates import Estimate
from speechsong.evaluation.predictions import KEYS, results
from speechsong.evaluation.scores import accuracy, count, percent


def transfer(predictions: pd.DataFrame, emotions: list[str]) -> list[dict]:
    """Measure transfer between the domains, of every layer, of means and selected layers, and of stage one.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    emotions

    Returns
    -------
    list of dict
        One row per result and emotion, `all` first: model, approach, fit, protocol, source, target (the domain of the
        test clips), over, layer, emotion; within, across and difference (across minus within) in %, and kept, each with
        its 95 % interval over speakers; clips (distinct ones) and speakers. kept is NaN if `within` is not above
        chance.
    """
    found = {tuple(keys.values()): (keys, answers) for keys, answers in results(predictions)}
    rows = []
    for keys, answers in found.values():
        # joint training has been trained on every domain
        if keys["stage"] != 1 or keys["test_domain"] in keys["source"].split("+"):
            continue
        _, at_home = found.get(tuple((keys | {"source": keys["test_domain"]}).values()), (None, None))
        if at_home is None:
            continue
        labels = {key: keys[key] for key in KEYS if key not in ("stage", "target", "test_domain")}
        labels = {"model": keys["model"], **labels, "target": keys["test_domain"]}
        rows += _rows(labels, at_home, answers, emotions)
    return rows


def _rows(labels: dict, within: pd.DataFrame, across: pd.DataFrame, emotions: list[str]) -> list[dict]:
    speakers = sorted(across["speaker"].unique())
    drawn = intervals.draw(len(speakers))
    counts = [count(answers, speakers, emotions) for answers in (within, across)]
    rows = []
    for k, emotion in enumerate(["all", *emotions]):
        some = slice(None) if emotion == "all" else slice(k - 1, k)
        clips = across if emotion == "all" else across[across["true"] == emotion]
        (home, home_drawn), (away, away_drawn) = (
            (accuracy(right.sum(), total.sum()), accuracy(drawn @ right, drawn @ total))
            for right, total in ((right[:, some].sum(axis=1), total[:, some].sum(axis=1)) for right, total in counts)
        )
        n = clips["clip_id"].nunique()
        rows.append(
            labels
            | {"emotion": emotion}
            | percent("within", home, intervals.share_interval(home, home_drawn, len(speakers), n))
            | percent("across", away, intervals.share_interval(away, away_drawn, len(speakers), n))
            | percent("difference", away - home, intervals.interval(away_drawn - home_drawn, len(speakers)))
            | _kept(home, away, home_drawn, away_drawn, 1 / len(emotions), len(speakers))
            | {"clips": n, "speakers": len(speakers)}
        )
    return rows


def _kept(
    home: float, away: float, home_drawn: np.ndarray, away_drawn: np.ndarray, chance: float, speakers: int
) -> dict[str, float]:
    """What transfer keeps above chance, with its interval; NaN where there is nothing to keep."""

    def share(across: np.ndarray, within: np.ndarray) -> np.ndarray:
        return np.divide(across - chance, within - chance, out=np.full(np.shape(within), np.nan), where=within > chance)

    value = float(share(np.asarray(away), np.asarray(home)))
    low, high = (float("nan"),) * 2
    if np.isfinite(value):
        low, high = Estimate(value, share(away_drawn, home_drawn), speakers).ends()
    return {"kept": value, "kept_low": low, "kept_high": high}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what a paper would print: all emotions together, of means, selected layers and adaptation."""
    return table[(table["emotion"] == "all") & (table["over"] != "layer")].drop(columns=["layer", "emotion"])
