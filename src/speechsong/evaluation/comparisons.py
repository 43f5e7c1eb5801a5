"""Comparisons: which differences between results would hold with other speakers.

`compare` asks whether one result is better than another on the same test clips. Each pair belongs to a family:

two-stage against direct : does training on the other domain first help? (The claim of Sun et al. 2024.)
two-stage against equal budget : does it help more than training twice on the target?
joint against direct : does training on both domains together help?
joint against equal budget : does the other domain help more than as many further steps on the same one?
joint against two-stage : is it better to mix the domains than to train on one after the other?
source after against before : what does stage two forget of the source?
approach against approach : at the same stage.
encoder against encoder : with the same approach at the same stage.
converged against paper : probes on the same features, trained in the two ways.

`leakage` compares the random split, which shares speakers between training and test, with the speaker split. Their test
clips differ, but the speakers are the same.

Conventions
-----------
All differences are A minus B. Those in tables are in percentage points. Speakers are drawn together for A and B, so
that the variation between speakers, which both share, cancels.

References
----------
The tests and intervals are those of `evaluation.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from speechsong.evaluation import intervals
from speechsong.evaluation.predictions import KEYS, approach, results
from speechsong.evaluation.scores import accuracy, count, percent

SHARED = ("model", "approach", "fit", "protocol", "test_domain")


def pairs(keys: list[dict]) -> Iterator[tuple[str, dict, dict]]:
    """List the pairs of results to compare.

    Parameters
    ----------
    keys
        `KEYS` of each result, in the order of the config.

    Yields
    ------
    family : str
    a, b : dict
        `KEYS` of two results on the same test clips. Result B may not exist.
    """
    for a in keys:
        if a["stage"] == 2 and a["source"] != a["target"]:
            if a["test_domain"] == a["target"]:
                yield "two-stage against direct", a, a | {"source": a["target"], "target": "", "stage": 1}
                yield "two-stage against equal budget", a, a | {"source": a["target"]}
            else:
                yield "source after against before", a, a | {"target": "", "stage": 1}
        if "+" in a["source"]:
            tested = a["test_domain"]
            (other,) = (domain for domain in a["source"].split("+") if domain != tested)
            yield "joint against direct", a, a | {"source": tested}
            yield "joint against equal budget", a, a | {"source": tested, "target": tested, "stage": 2}
            yield "joint against two-stage", a, a | {"source": other, "target": tested, "stage": 2}
        if a["fit"] == "converged" and a["test_domain"] == a["source"]:
            yield "converged against paper", a, a | {"fit": "paper"}
    # results on the domain that was trained on last; A is what comes later in the config, as in ws against baseline
    own = [a for a in keys if a["test_domain"] == (a["target"] or a["source"])]
    for b, a in combinations(own, 2):
        for key, family in (("approach", "approach against approach"), ("model", "encoder against encoder")):
            if [k for k in KEYS if a[k] != b[k]] == [key]:
                yield family, a, b


def name(keys: dict) -> str:
    """Name a result in words: model, approach, how a probe was trained, and on what."""
    trained = " then ".join(filter(None, (keys["source"], keys["target"])))
    return f"{keys['model']} {approach(keys)} ({trained})"


def compare(predictions: pd.DataFrame) -> list[dict]:
    """Compare results on the same test clips: those of adaptation, and those of the selected layers of probes.

    There are two tests: one by speaker over all seeds (sign-flip permutation), and one by clip within each seed (exact
    McNemar). P-values are adjusted by Holm's method over all tests of a family, protocol, test and seed.

    Parameters
    ----------
    predictions
        From `predictions.read`.

    Returns
    -------
    list of dict
        One row per comparison and test: family; model, approach and fit, each empty where A and B differ; protocol,
        test_domain, a, b, test, seed, accuracy_a, accuracy_b and difference (in %), difference_low, difference_high,
        only_a, only_b, answers (test clips, summed over the row's seeds), speakers, p, p_adjusted. Intervals of
        `sign-flip` are over speakers; those of `mcnemar` are over clips, which it treats as independent.
    """
    answers = {}
    for keys, table in results(predictions):
        if keys["over"] in ("", "selected"):
            right = (table["true"] == table["predicted"]).astype(int)
            table = table.assign(right=right).set_index(["seed", "clip_id"]).sort_index()
            answers[tuple(keys.values())] = table[["speaker", "right"]]
    rows = []
    for family, a, b in pairs([dict(zip(KEYS, values, strict=True)) for values in answers]):
        of_a, of_b = answers[tuple(a.values())], answers.get(tuple(b.values()))
        if of_b is None:
            continue
        # the seeds that both have
        both = of_a.rename(columns={"right": "a"}).join(of_b["right"].rename("b"), how="inner")
        if both.empty:
            continue
        same = {key: a[key] if a[key] == b[key] else "" for key in SHARED}
        labels = {"family": family} | same | {"a": name(a), "b": name(b)}
        rows.append(labels | _by_speaker(both))
        rows += [labels | _by_clip(part, seed) for seed, part in both.groupby(level="seed")]
    return _adjusted(rows)


def _by_speaker(both: pd.DataFrame) -> dict:
    counts = both.assign(clips=1).groupby("speaker")[["a", "b", "clips"]].sum()
    differences, clips = (counts["a"] - counts["b"]).to_numpy(), counts["clips"].to_numpy()
    drawn = intervals.draw(len(counts))
    bounds = intervals.interval(accuracy(drawn @ differences, drawn @ clips), len(counts))
    return _row("sign-flip", "all", both, bounds) | {"p": intervals.sign_flip(differences)}


def _by_clip(both: pd.DataFrame, seed: int) -> dict:
    only = int((both["a"] > both["b"]).sum()), int((both["a"] < both["b"]).sum())
    bounds = intervals.paired_interval(*only, len(both))
    return _row("mcnemar", seed, both, bounds) | {"p": intervals.mcnemar(*only)}


def _row(test: str, seed: int | str, both: pd.DataFrame, bounds: tuple[float, float]) -> dict:
    a, b, clips = both["a"].sum(), both["b"].sum(), len(both)
    return (
        {"test": test, "seed": seed}
        | {"accuracy_a": 100 * float(accuracy(a, clips)), "accuracy_b": 100 * float(accuracy(b, clips))}
        | percent("difference", accuracy(a - b, clips), bounds)
        | {"only_a": int((both["a"] > both["b"]).sum()), "only_b": int((both["a"] < both["b"]).sum())}
        | {"answers": clips, "speakers": both["speaker"].nunique()}
    )


def _adjusted(rows: list[dict]) -> list[dict]:
    families: dict[tuple, list[dict]] = {}
    for row in rows:
        families.setdefault(tuple(row[key] for key in ("family", "protocol", "test", "seed")), []).append(row)
    for family in families.values():
        for row, p in zip(family, intervals.holm(np.array([row["p"] for row in family])), strict=True):
            row["p_adjusted"] = float(p)
    return rows


@dataclass(frozen=True)
class Accuracy:
    """An accuracy, its bootstrap samples (draws,), and the numbers of speakers and distinct clips behind it."""

    value: float
    samples: np.ndarray
    speakers: int
    clips: int

    def interval(self) -> tuple[float, float]:
        """Find the 95 % interval over speakers."""
        return intervals.share_interval(self.value, self.samples, self.speakers, self.clips)

    def minus(self, other: Accuracy) -> tuple[float, tuple[float, float]]:
        """Subtract another accuracy, and find the 95 % interval of the difference over speakers."""
        fewest = min(self.speakers, other.speakers)
        return float(self.value - other.value), intervals.interval(self.samples - other.samples, fewest)


def accuracies(*parts: pd.DataFrame) -> list[Accuracy]:
    """Compute the accuracy of each of several sets of answers, with speakers drawn together.

    Parameters
    ----------
    parts
        Rows of `predictions.read`; their clips and speakers may differ.

    Returns
    -------
    list of Accuracy
        In the order of the parts.
    """
    together = pd.concat(parts)
    speakers, emotions = (sorted(together[column].unique()) for column in ("speaker", "true"))
    drawn = intervals.draw(len(speakers))
    counted = []
    for part in parts:
        right, total = (counts.sum(axis=1) for counts in count(part, speakers, emotions))
        samples = accuracy(drawn @ right, drawn @ total)
        value = accuracy(right.sum(), total.sum())
        counted.append(Accuracy(float(value), samples, int((total > 0).sum()), part["clip_id"].nunique()))
    return counted


def leakage(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare the random split with the speaker split: how much does it help to have trained on the test speakers?

    Parameters
    ----------
    predictions
        From `predictions.read`.

    Returns
    -------
    DataFrame
        One row per result that both protocols have: `KEYS` without the protocol; then, in %, the accuracy with the
        random split, with the speaker split, and random minus speaker (difference), each with its interval over
        speakers; and speakers, the smaller of the two numbers.
    """
    protocols: dict[tuple, dict[str, pd.DataFrame]] = {}
    keys = [key for key in KEYS if key != "protocol"]
    for result, answers in results(predictions):
        protocols.setdefault(tuple(result[key] for key in keys), {})[result["protocol"]] = answers
    rows = []
    for values, answers in protocols.items():
        if not {"random", "speaker"} <= set(answers):
            continue
        random, speaker = accuracies(answers["random"], answers["speaker"])
        rows.append(
            dict(zip(keys, values, strict=True))
            | percent("random", random.value, random.interval())
            | percent("speaker", speaker.value, speaker.interval())
            | percent("difference", *random.minus(speaker))
            | {"speakers": min(random.speakers, speaker.speakers)}
        )
    table = pd.DataFrame(rows, columns=None if rows else keys)
    return table.astype({"layer": "Int64"})
