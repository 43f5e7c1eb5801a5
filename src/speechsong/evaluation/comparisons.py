"""Comparisons: which differences between results on the same clips hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from speechsong.evaluation import intervals
from speechsong.evaluation.predictions import KEYS
from speechsong.evaluation.scores import percent


def pairs(results: list[dict]) -> Iterator[tuple[str, dict, dict]]:
    """List what is compared with what.

    Parameters
    ----------
    results
        `KEYS` of the results, in the order of the config.

    Yields
    ------
    family : str
    a, b : dict
        Keys of two results on the same test clips (b need not be there); the question is whether A is better than B.
    """
    for a in results:
        if a["stage"] == "2" and a["source"] != a["target"]:
            if a["test_domain"] == a["target"]:
                yield "two-stage against direct", a, a | {"source": a["target"], "target": "", "stage": "1"}
                yield "two-stage against equal budget", a, a | {"source": a["target"]}
            else:
                yield "source after against before", a, a | {"target": "", "stage": "1"}
    # results on the domain that was trained on last; what comes later in the config is A: ws against baseline
    own = [a for a in results if a["test_domain"] == (a["target"] or a["source"])]
    for b, a in combinations(own, 2):
        for key, family in (("approach", "approach against approach"), ("model", "encoder against encoder")):
            if [k for k in KEYS if a[k] != b[k]] == [key]:
                yield family, a, b


def name(result: dict) -> str:
    """Name a result in words: model, approach and what it was trained on."""
    trained = " then ".join(filter(None, (result["source"], result["target"])))
    return f"{result['model']} {result['approach']} ({trained})"


def compare(predictions: pd.DataFrame) -> list[dict]:
    """Compare results on the same clips.

    By speaker over all seeds (sign-flip permutation), and by clip within each seed (exact McNemar). P-values are
    adjusted over all tests of a family, protocol, test and seed by Holm's method.

    Parameters
    ----------
    predictions
        Of adaptation, and of probes where `layer` is selected.

    Returns
    -------
    list of dict
        A row a comparison and test: family, model and approach (empty where they are compared), protocol, test_domain,
        a, b, test, seed, accuracy_a, accuracy_b and difference (in %), difference_low, difference_high, only_a,
        only_b, answers (clips of every seed), speakers, p, p_adjusted. Intervals are over speakers for `sign-flip`; for
        `mcnemar` over clips, taken for independent.
    """
    predictions = predictions.assign(right=(predictions["true"] == predictions["predicted"]).astype(int))
    answers = {
        keys: some.set_index(["seed", "clip_id"]).sort_index()[["speaker", "right"]]
        for keys, some in predictions.groupby(KEYS, sort=False)
    }
    rows = []
    for family, a, b in pairs([dict(zip(KEYS, keys, strict=True)) for keys in answers]):
        of_a, of_b = answers[tuple(a.values())], answers.get(tuple(b.values()))
        if of_b is None:
            continue
        both = of_a.assign(difference=of_a["right"] - of_b["right"], right_b=of_b["right"])
        same = {key: a[key] if a[key] == b[key] else "" for key in ("model", "approach", "protocol", "test_domain")}
        labels = {"family": family} | same
        labels |= {"a": name(a), "b": name(b)}
        rows.append(labels | _by_speaker(both))
        rows += [labels | _by_clip(some, seed) for seed, some in both.groupby(level="seed")]
    return _adjusted(rows)


def _tested(test: str, seed: str, both: pd.DataFrame, bounds: tuple[float, float], counts: dict, p: float) -> dict:
    accuracies = {f"accuracy_{side}": 100 * float(both[c].mean()) for side, c in (("a", "right"), ("b", "right_b"))}
    difference = percent("difference", both["difference"].mean(), bounds)
    return {"test": test, "seed": seed} | accuracies | difference | counts | {"p": p}


def _counts(both: pd.DataFrame) -> dict:
    return {
        "only_a": int((both["difference"] > 0).sum()),
        "only_b": int((both["difference"] < 0).sum()),
        "answers": len(both),
        "speakers": both["speaker"].nunique(),
    }


def _by_speaker(both: pd.DataFrame) -> dict:
    people = both.groupby("speaker")["difference"].agg(["sum", "count"])
    drawn = intervals.draw(len(people))
    samples = (drawn @ people["sum"].to_numpy()) / (drawn @ people["count"].to_numpy())
    bounds = intervals.interval(samples, len(people))
    p = intervals.sign_flip(people["sum"].to_numpy())
    return _tested("sign-flip", "all", both, bounds, _counts(both), p)


def _by_clip(both: pd.DataFrame, seed: str) -> dict:
    counts = _counts(both)
    bounds = intervals.paired_interval(counts["only_a"], counts["only_b"], counts["answers"])
    p = intervals.mcnemar(counts["only_a"], counts["only_b"])
    return _tested("mcnemar", seed, both, bounds, counts, p)


def _adjusted(rows: list[dict]) -> list[dict]:
    family: dict[tuple, list[dict]] = {}
    for row in rows:
        family.setdefault(tuple(row[key] for key in ("family", "protocol", "test", "seed")), []).append(row)
    for some in family.values():
        for row, p in zip(some, intervals.holm(np.array([row["p"] for row in some])), strict=True):
            row["p_adjusted"] = float(p)
    return rows
