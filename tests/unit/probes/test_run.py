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
from speechsong.probes.run import run as run_probes

EMOTIONS = ["calm", "sad", "angry"]
LABELS = {"model": "tiny", "domain": "music", "layer": 2}


@pytest.fixture
def embeddings(tmp_path):
    """Embedding files of three emotions, and the features, labels and names of all clips."""
    features, labels = clouds(90, 8, 3, 9, 0.7)
    clips = np.array([f"clip{i:02d}" for i in range(90)])
    paths = []
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
        paths.append(write_embeddings(tmp_path, whole, "tiny", "music", emotion, layer=2))
    return paths, features, labels, clips


@pytest.fixture
def run(tmp_path, embeddings):
    """Two splits with both domains in them, and what `probes.run` makes of these."""
    paths, features, labels, clips = embeddings
    parts = {}
    for name, seed, sizes in (("random-3", 0, (54, 18, 18)), ("speaker-12", 1, (40, 25, 25))):
        split = cut(90, sizes, seed)
        parts[name] = {part: clips[getattr(split, part)].tolist() for part in ("train", "validation", "test")}
        rows = [{"clip_id": c, "domain": "music", "part": p} for p, members in parts[name].items() for c in members]
        # the other domain's clips may have the same names
        rows += [{"clip_id": c, "domain": "speech", "part": "train"} for c in clips]
        files.write_rows(tmp_path / f"{name}.csv", rows)
    splits = [str(tmp_path / f"{name}.csv") for name in parts]
    # the order of the files does not matter
    table, predictions = run_probes(paths[::-1], splits, SETTINGS, **LABELS, emotions=EMOTIONS)
    truth = {c: EMOTIONS[label] for c, label in zip(clips.tolist(), labels, strict=True)}
    return table, predictions, parts, truth, (features, labels, clips)


def test_columns_and_sizes(run):
    table, predictions, parts, _, _ = run
    assert list(table[0]) == [
        *("model", "domain", "layer", "protocol", "seed", "accuracy", "uar", "best_epoch"),
        *("n_train", "n_validation", "n_test", "recall_calm", "recall_sad", "recall_angry", "validation"),
    ]
    assert list(predictions[0]) == [
        *("model", "domain", "layer", "protocol", "seed", "clip_id", "true", "predicted"),
        *("logit_calm", "logit_sad", "logit_angry"),
    ]
    assert [(r["protocol"], str(r["seed"])) for r in table] == [("random", "3"), ("speaker", "12")]
    for row, part in zip(table, parts.values(), strict=True):
        assert {k: row[k] for k in LABELS} == LABELS
        assert [row[f"n_{p}"] for p in part] == [len(members) for members in part.values()]
        assert 1 <= row["best_epoch"] <= SETTINGS.epochs


def test_every_clip_of_the_test_part_is_answered_once(run):
    _, predictions, parts, truth, _ = run
    for name, part in parts.items():
        rows = [r for r in predictions if f"{r['protocol']}-{r['seed']}" == name]
        assert sorted(r["clip_id"] for r in rows) == sorted(part["test"])
        assert all(r["true"] == truth[r["clip_id"]] for r in rows)


def test_the_answer_is_the_largest_logit(run):
    for row in run[1]:
        logits = {e: row[f"logit_{e}"] for e in EMOTIONS}
        assert row["predicted"] == max(logits, key=logits.get)


def test_the_table_is_what_the_answers_say(run):
    table, predictions, *_ = run
    for row in table:
        rows = [r for r in predictions if (r["protocol"], r["seed"]) == (row["protocol"], row["seed"])]
        right = [r["true"] == r["predicted"] for r in rows]
        assert row["accuracy"] == pytest.approx(np.mean(right))
        recalls = [np.mean([ok for r, ok in zip(rows, right, strict=True) if r["true"] == e]) for e in EMOTIONS]
        assert [row[f"recall_{e}"] for e in EMOTIONS] == pytest.approx(recalls)
        assert row["uar"] == pytest.approx(np.mean(recalls))


def test_logits_are_those_of_torch_on_the_same_clips(run):
    _, predictions, parts, _, (features, labels, clips) = run
    # rows as `run` puts them: one emotion after the other; its splits' seeds are those in the names of their files
    order = np.argsort(labels, kind="stable")
    row_of = {clip: i for i, clip in enumerate(clips[order].tolist())}
    for name, part in parts.items():
        split = Split(*(np.array(sorted(row_of[c] for c in part[p])) for p in part), int(name.split("-")[1]))
        logits, _ = by_torch(features[order], labels[order], 3, split, SETTINGS)
        rows = [r for r in predictions if f"{r['protocol']}-{r['seed']}" == name]
        found = {r["clip_id"]: [r[f"logit_{e}"] for e in EMOTIONS] for r in rows}
        wanted = {clips[order][i]: values for i, values in zip(split.test, logits, strict=True)}
        for clip, values in wanted.items():
            assert found[clip] == pytest.approx(values.tolist(), abs=2e-4)


def test_swapped_files_are_refused(embeddings):
    one, two, _ = map(Path, embeddings[0])
    bytes_of_two = two.read_bytes()
    two.write_bytes(one.read_bytes())
    one.write_bytes(bytes_of_two)
    with pytest.raises(UserError) as caught:
        run_probes(embeddings[0], [], SETTINGS, **LABELS, emotions=EMOTIONS)
    assert str(caught.value) == (
        f"{one}: says that it is tiny/music/layer02/sad.h5, not tiny/music/layer02/calm.h5; delete the file and run "
        "again"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, "is of tiny/music, not of other/music"),
        ({"domain": "speech"}, "is of tiny/music, not of tiny/speech"),
        ({"layer": 1}, "is tiny/music/layer02/calm.h5, not one of layers 1"),
    ],
)
def test_files_of_another_probe_are_refused(embeddings, changes, message):
    with pytest.raises(UserError, match=message):
        run_probes(embeddings[0], [], SETTINGS, **LABELS | changes, emotions=EMOTIONS)
