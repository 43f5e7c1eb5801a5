"""Tables and predictions of probes are what the answers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_clips import SETTINGS, by_torch, clouds, cut
from made_files import write_embeddings
from speechsong import files
from speechsong.embeddings import store
from speechsong.embeddings.features import Split
from speechsong.errors import UserError
from speechsong.probes.converged import PENALTIES
from speechsong.probes.converged import train as converge
from speechsong.probes.run import run as run_probes

EMOTIONS = ["calm", "sad", "angry"]
FITS = ["paper", "converged"]
LABELS = {"model": "tiny", "domain": "music", "layer": 2}


@pytest.fixture
def embeddings(tmp_path):
    """Embedding files of three emotions in two domains, and the features, labels and names of all clips of each."""
    paths, made = {}, {}
    # clips of both domains have the same names
    clips = np.array([f"clip{i:02d}" for i in range(90)])
    for k, domain in enumerate(("music", "speech")):
        features, labels = clouds(90, 8, 3, 9 + k, 0.7)
        paths[domain], made[domain] = [], (features, labels, clips)
        for label, emotion in enumerate(EMOTIONS):
            rows = labels == label
            n = int(rows.sum())
            whole = store.Embeddings(
                clips[rows].tolist(),
                np.ones(n, int),
                features[None, rows],
                np.array([n]),
                np.zeros((1, 1, 8)),
                np.zeros((1, 1, 36), np.float32),
            )
            paths[domain].append(write_embeddings(tmp_path, whole, "tiny", domain, emotion, layer=2))
    return paths, made


@pytest.fixture
def run(tmp_path, embeddings):
    """Two splits of both domains, and what `probes.run` makes of these."""
    paths, made = embeddings
    clips = made["music"][2]
    parts = {"music": {}, "speech": {}}
    for name, seed, sizes in (("random-3", 0, (54, 18, 18)), ("speaker-12", 1, (40, 25, 25))):
        rows = []
        for k, domain in enumerate(parts):
            split = cut(90, sizes, seed + 10 * k)
            parts[domain][name] = {p: clips[getattr(split, p)].tolist() for p in ("train", "validation", "test")}
            rows += [
                {"clip_id": c, "domain": domain, "part": p}
                for p, members in parts[domain][name].items()
                for c in members
            ]
        files.write_rows(tmp_path / f"{name}.csv", rows)
    splits = [str(tmp_path / f"{name}.csv") for name in parts["music"]]
    # the order of the files does not matter
    shuffled = {domain: some[::-1] for domain, some in paths.items()}
    table, predictions = run_probes(shuffled, splits, SETTINGS, FITS, **LABELS, emotions=EMOTIONS)
    truth = {
        domain: {c: EMOTIONS[label] for c, label in zip(clips.tolist(), labels, strict=True)}
        for domain, (_, labels, _) in made.items()
    }
    return table, predictions, parts, truth, made


def test_columns_and_sizes(run):
    table, predictions, parts, _, _ = run
    keys = ["model", "domain", "layer", "fit", "protocol", "seed", "test_domain"]
    assert list(table[0]) == [
        *keys,
        *("accuracy", "uar", "best_epoch", "n_train", "n_validation", "n_test"),
        *("recall_calm", "recall_sad", "recall_angry", "validation", "penalty"),
    ]
    assert list(predictions[0]) == [*keys, "clip_id", "true", "predicted", "logit_calm", "logit_sad", "logit_angry"]
    assert [(r["fit"], r["protocol"], str(r["seed"]), r["test_domain"]) for r in table] == [
        (fit, *name.split("-"), domain)
        for fit in FITS
        for name in ("random-3", "speaker-12")
        for domain in ("music", "speech")
    ]
    for row in table:
        name = f"{row['protocol']}-{row['seed']}"
        assert {k: row[k] for k in LABELS} == LABELS
        learnt = parts["music"][name]
        assert (row["n_train"], row["n_validation"]) == (len(learnt["train"]), len(learnt["validation"]))
        assert row["n_test"] == len(parts[row["test_domain"]][name]["test"])
        if row["fit"] == "paper":
            assert 1 <= row["best_epoch"] <= SETTINGS.epochs
            assert row["penalty"] is None
        else:
            assert (row["best_epoch"], row["penalty"] in PENALTIES) == (None, True)


def test_every_clip_of_each_test_part_is_answered_once(run):
    _, predictions, parts, truth, _ = run
    for domain, splits in parts.items():
        for name, part in splits.items():
            for fit in FITS:
                rows = [
                    r
                    for r in predictions
                    if (f"{r['protocol']}-{r['seed']}", r["test_domain"], r["fit"]) == (name, domain, fit)
                ]
                assert sorted(r["clip_id"] for r in rows) == sorted(part["test"])
                assert all(r["true"] == truth[domain][r["clip_id"]] for r in rows)


def test_the_answer_is_the_largest_logit(run):
    for row in run[1]:
        logits = {e: row[f"logit_{e}"] for e in EMOTIONS}
        assert row["predicted"] == max(logits, key=logits.get)


def test_the_table_is_what_the_answers_say(run):
    table, predictions, *_ = run
    for row in table:
        keys = ("fit", "protocol", "seed", "test_domain")
        rows = [r for r in predictions if all(r[key] == row[key] for key in keys)]
        right = [r["true"] == r["predicted"] for r in rows]
        assert row["accuracy"] == pytest.approx(np.mean(right))
        recalls = [np.mean([ok for r, ok in zip(rows, right, strict=True) if r["true"] == e]) for e in EMOTIONS]
        assert [row[f"recall_{e}"] for e in EMOTIONS] == pytest.approx(recalls)
        assert row["uar"] == pytest.approx(np.mean(recalls))


def test_logits_are_those_of_the_probe_on_the_same_clips(run):
    _, predictions, parts, _, made = run
    features, labels, clips = made["music"]
    # rows as `run` puts them: one emotion after the other; its splits' seeds are those in the names of their files
    order = np.argsort(labels, kind="stable")
    row_of = {clip: i for i, clip in enumerate(clips[order].tolist())}
    for name, part in parts["music"].items():
        split = Split(*(np.array(sorted(row_of[c] for c in part[p])) for p in part), int(name.split("-")[1]))
        by_fit = {"paper": by_torch(features[order], labels[order], 3, split, SETTINGS)[0]}
        (probe,) = converge(features[order], labels[order], 3, [split])
        by_fit["converged"] = probe.logits(features[order][split.test])
        for fit, logits in by_fit.items():
            found = logits_of(predictions, name, fit, "music")
            for clip, values in zip(clips[order][split.test], logits, strict=True):
                assert found[clip] == pytest.approx(values.tolist(), abs=2e-4)
        # the same probe, on the other domain's own test part
        others, _, names = made["speech"]
        rows = np.flatnonzero(np.isin(names, parts["speech"][name]["test"]))
        found = logits_of(predictions, name, "converged", "speech")
        for clip, values in zip(names[rows], probe.logits(others[rows]), strict=True):
            assert found[clip] == pytest.approx(values.tolist(), abs=1e-6)


def logits_of(predictions: list[dict], split: str, fit: str, domain: str) -> dict[str, list[float]]:
    return {
        r["clip_id"]: [r[f"logit_{e}"] for e in EMOTIONS]
        for r in predictions
        if (f"{r['protocol']}-{r['seed']}", r["fit"], r["test_domain"]) == (split, fit, domain)
    }


def test_swapped_files_are_refused(embeddings):
    one, two, _ = map(Path, embeddings[0]["music"])
    bytes_of_two = two.read_bytes()
    two.write_bytes(one.read_bytes())
    one.write_bytes(bytes_of_two)
    with pytest.raises(UserError) as caught:
        run_probes(embeddings[0], [], SETTINGS, FITS, **LABELS, emotions=EMOTIONS)
    assert str(caught.value) == (
        f"{one}: says that it is tiny/music/layer02/sad.h5, not tiny/music/layer02/calm.h5; delete the file and run "
        "again"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, "is of tiny/music, not of other/music"),
        ({"layer": 1}, "is tiny/music/layer02/calm.h5, not one of layers 1"),
    ],
)
def test_files_of_another_probe_are_refused(embeddings, changes, message):
    with pytest.raises(UserError, match=message):
        run_probes(embeddings[0], [], SETTINGS, FITS, **LABELS | changes, emotions=EMOTIONS)
