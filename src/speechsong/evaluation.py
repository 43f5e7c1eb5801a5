"""Evaluation: what the stored predictions say, with intervals over speakers, and which differences hold.

A result is one thing that can be tested: the probes of one layer, or one stage of adaptation on one domain. It has
predictions for the test clips of every seed. They are pooled: with the `speaker` protocol and seeds 0 to 4 everybody is
tested once, and with `random` about every clip once. Intervals come from resampling speakers (`inference`); they say
how the number would move with other people, not how it would move with other training.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from speechsong import inference, metrics

# what names a result; `layer` is a number, `mean` over the blocks, or `selected`; empty in adaptation
KEYS = ["model", "approach", "protocol", "source", "target", "stage", "test_domain", "layer"]


def read(predictions: list[str], clips: dict[str, str], probes: list[str]) -> pd.DataFrame:
    """Read predictions of probes and of adaptation as one table.

    Two more results stand for all layers of a probed encoder. `mean` holds the answers of all layers, so that its
    accuracy is the mean of theirs. `selected` holds, for every split, those of the layer with the best accuracy on the
    validation part (the first of equals): a choice that the test part had no say in. Layer 0, the input of the first
    block, is left out of both unless there is no other.

    Parameters
    ----------
    predictions
        Prediction CSVs.
    clips
        The clips CSV of each domain.
    probes
        Probe CSVs of the encoders whose probes are among the predictions.

    Returns
    -------
    DataFrame
        `KEYS`, seed, clip_id, true, predicted, speaker: a row a result, seed and test clip; all strings.
    """
    parts = []
    for path in predictions:
        # an emotion may be called "none"
        part = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=lambda c: not c.startswith("logit_"))
        if "domain" in part:
            part = part.rename(columns={"domain": "test_domain"})
            part = part.assign(approach="probe", source=part["test_domain"], target="", stage="1")
        else:
            part = part.assign(layer="")
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    people = [
        pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["clip_id", "speaker"]).assign(test_domain=domain)
        for domain, path in clips.items()
    ]
    table = table.merge(pd.concat(people), on=["test_domain", "clip_id"], how="left", validate="many_to_one")
    table = table[[*KEYS, "seed", "clip_id", "true", "predicted", "speaker"]]
    return pd.concat([table, *(_summarised(table, path) for path in probes)], ignore_index=True)


def _summarised(table: pd.DataFrame, path: str) -> pd.DataFrame:
    probes = pd.read_csv(path, dtype=str, keep_default_na=False)
    probes = probes.astype({"layer": int, "validation": float}).rename(columns={"domain": "test_domain"})
    if probes["layer"].max() > 0:
        probes = probes[probes["layer"] > 0]
    split = ["model", "test_domain", "protocol", "seed"]
    best = probes.sort_values("layer").groupby(split)["validation"].idxmax()
    probes["layer"] = probes["layer"].map("{:02d}".format)
    of_probes = table[table["approach"] == "probe"]
    return pd.concat(
        of_probes.merge(some[[*split, "layer"]], on=[*split, "layer"]).assign(layer=name)
        for name, some in (("mean", probes), ("selected", probes.loc[best]))
    )


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
        drawn = inference.draw(len(people))
        values = metrics.scores(right.sum(axis=0), total.sum(axis=0))
        samples = metrics.scores(drawn @ right, drawn @ total)
        clips = tally(some.drop_duplicates("clip_id"), people, emotions)[1].sum(axis=0)
        of = {"accuracy": clips.sum(), "uar": None} | {f"recall_{e}": n for e, n in zip(emotions, clips, strict=True)}
        for i, (metric, count) in enumerate(of.items()):
            if count is None:
                low, high = inference.interval(samples[:, i], len(people))
            else:
                low, high = inference.share_interval(values[i], samples[:, i], len(people), count)
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
    drawn = inference.draw(len(people))
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
    return (float(of_a - of_b), *inference.interval(samples_a - samples_b, min(people_a, people_b)))


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
            row |= _percent(name, value, inference.share_interval(value, *about))
        (random, of_random, *_), (speaker, of_speaker, *_) = found["random"], found["speaker"]
        fewest = min(people for _, _, people, _ in found.values())
        row |= _percent("difference", random - speaker, inference.interval(of_random - of_speaker, fewest))
        rows.append(row | {"speakers": fewest})
    return rows


def _percent(name: str, value: float, bounds: tuple[float, float]) -> dict:
    return {name: 100 * float(value), f"{name}_low": 100 * bounds[0], f"{name}_high": 100 * bounds[1]}


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
    difference = _percent("difference", both["difference"].mean(), bounds)
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
    drawn = inference.draw(len(people))
    samples = (drawn @ people["sum"].to_numpy()) / (drawn @ people["count"].to_numpy())
    bounds = inference.interval(samples, len(people))
    p = inference.sign_flip(people["sum"].to_numpy())
    return _tested("sign-flip", "all", both, bounds, _counts(both), p)


def _by_clip(both: pd.DataFrame, seed: str) -> dict:
    counts = _counts(both)
    bounds = inference.paired_interval(counts["only_a"], counts["only_b"], counts["answers"])
    p = inference.mcnemar(counts["only_a"], counts["only_b"])
    return _tested("mcnemar", seed, both, bounds, counts, p)


def _adjusted(rows: list[dict]) -> list[dict]:
    family: dict[tuple, list[dict]] = {}
    for row in rows:
        family.setdefault(tuple(row[key] for key in ("family", "protocol", "test", "seed")), []).append(row)
    for some in family.values():
        for row, p in zip(some, inference.holm(np.array([row["p"] for row in some])), strict=True):
            row["p_adjusted"] = float(p)
    return rows
