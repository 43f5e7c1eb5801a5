"""Made-up predictions and scores, as the workflow writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from speechsong import files
from speechsong.evaluation.predictions import results

EMOTIONS = ["calm", "happy", "none"]  # an emotion may have a name that pandas takes for a missing value
DOMAINS = ["speech", "music"]


def write_predictions(here: Path) -> None:
    """Write predictions of the probes and stages of two models, for 6 speakers of 12 clips per domain."""
    rng = np.random.default_rng(0)
    clips = {d: [(f"{d}-{i:02d}", f"0{i % 6}", EMOTIONS[(i // 6) % 3]) for i in range(72)] for d in DOMAINS}
    for domain, some in clips.items():
        rows = [{"clip_id": clip, "path": "x", "emotion": e, "speaker": s} for clip, s, e in some]
        files.write_rows(here / f"{domain}.csv", rows)

    splits = [("random", seed) for seed in range(3)] + [("speaker", seed) for seed in range(6)]
    # the same test clips for every result of a split
    tested = {
        (domain, protocol, seed): [
            clip for clip, speaker, _ in some if (rng.random() < 0.4 if protocol == "random" else speaker == f"0{seed}")
        ]
        for domain, some in clips.items()
        for protocol, seed in splits
    }

    def rows(domain, protocol, seed, skill):
        truth = {clip: emotion for clip, _, emotion in clips[domain]}
        for clip in tested[domain, protocol, seed]:
            right = rng.random() < skill
            predicted = truth[clip] if right else EMOTIONS[rng.integers(3)]
            yield {"clip_id": clip, "true": truth[clip], "predicted": predicted, "logit_calm": 0.5}

    for m, model in enumerate(("a", "b")):
        probes = []
        for domain in DOMAINS:
            for layer in range(3):
                skill = 0.3 + 0.2 * layer + 0.1 * m
                table = []
                for protocol, seed in splits:
                    for fit, better in (("paper", 0), ("converged", 0.1)):
                        labels = {"model": model, "domain": domain, "layer": layer, "fit": fit}
                        labels |= {"protocol": protocol, "seed": seed}
                        validation = round(rng.random(), 1)
                        for tested_on in DOMAINS:
                            lost = 0 if tested_on == domain else 0.3
                            some = rows(tested_on, protocol, seed, max(skill + better - lost, 0))
                            table += [labels | {"test_domain": tested_on} | row for row in some]
                            probes.append(labels | {"test_domain": tested_on, "validation": validation})
                files.write_rows(here / f"{model}-{domain}-{layer}.csv", table)
        files.write_rows(here / f"{model}-probe.csv", probes)
        stages = [("speech", None), ("music", None), *((s, t) for s in DOMAINS for t in DOMAINS)]
        stages.append(("speech+music", None))
        table = []
        for approach, skill in (("baseline", 0.6), ("ws", 0.7)):
            for protocol, seed in splits:
                for source, target in stages:
                    labels = {"model": model, "approach": approach, "protocol": protocol, "seed": seed}
                    labels |= {"source": source, "target": target or "", "stage": 2 if target else 1}
                    trained = (target or source).split("+")
                    for tested_on in dict.fromkeys([*trained, *([source] if target else DOMAINS)]):
                        forgot = 0 if tested_on in trained else 0.3
                        for row in rows(tested_on, protocol, seed, skill - forgot + 0.1 * m):
                            table.append(labels | {"test_domain": tested_on} | row)
        files.write_rows(here / f"{model}-adapt.csv", table)


def pick(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Pick rows by the values of columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def result(predictions: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """Pick the answers of the one result that has these keys.

    Unless the keys say otherwise, probes have the fit `paper`, and the test domain is the one that was trained on last.
    """
    (answers,) = (
        answers
        for found, answers in results(predictions)
        if keys.items() <= found.items()
        and ("fit" in keys or found["fit"] != "converged")
        and ({"source", "test_domain"} <= keys.keys() or found["test_domain"] == (found["target"] or found["source"]))
    )
    return answers


def map_of_clips(*models: str) -> pd.DataFrame:
    """Make rows of `clip_map.clip_map`."""
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "layer": 3, "domain": domain, "clip_id": f"{i}", "emotion": emotion}
        | {"x": rng.normal(), "y": rng.normal(), "x_share": 0.314, "y_share": 0.126}
        for model in models
        for domain in ("speech", "music")
        for emotion in ("calm", "happy", "sad")
        for i in range(8)
    ]
    return pd.DataFrame(rows)


def metrics(accuracies: dict[tuple, float]) -> pd.DataFrame:
    """Make rows of `scores.measure` on probes: accuracies as in `BY_HAND`, UAR 10 points below."""
    rows = []
    for (model, domain, protocol, over), accuracy in accuracies.items():
        layer = {"over": over, "layer": None} if isinstance(over, str) else {"over": "layer", "layer": over}
        for metric, value in (("accuracy", accuracy), ("uar", accuracy - 0.1)):
            rows.append(
                {"model": model, "fit": "paper", "source": domain, "target": "", "test_domain": domain}
                | {"protocol": protocol}
                | layer
                | {"metric": metric, "value": value, "low": value - 0.05, "high": value + 0.02}
                | {"clips": 697, "speakers": 23, "seeds": 5}
            )
    return pd.DataFrame(rows).astype({"layer": "Int64"})


# by model, domain, protocol, and layer or `over`
BY_HAND = {
    # layer 0 is the best, but does not count
    ("w2v2", "speech", "random", 0): 0.99,
    ("w2v2", "speech", "random", 1): 0.52,
    ("w2v2", "speech", "random", 2): 0.65,  # best
    ("w2v2", "speech", "random", 3): 0.60,
    ("w2v2", "speech", "random", 10): 0.42,  # worst
    ("w2v2", "speech", "random", "mean"): 0.55,
    ("w2v2", "speech", "random", "selected"): 0.64,
    ("mert", "speech", "random", 1): 0.25,
    ("mert", "speech", "random", 2): 0.75,
    ("mert", "speech", "random", "mean"): 0.5,
    ("mert", "speech", "random", "selected"): 0.75,
    # log-mel has one state
    ("logmel", "music", "speaker", 0): 0.2,
    ("logmel", "music", "speaker", "mean"): 0.2,
    ("logmel", "music", "speaker", "selected"): 0.2,
}
