"""Probes trained side by side are PyTorch's, one at a time; metrics and tables are what the answers say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong import embeddings, files, metrics, probe
from speechsong.files import UserError
from speechsong.probe import Settings, Split

SETTINGS = Settings(epochs=40, learning_rate=1e-2, weight_decay=0.01, batch_size=32)


def clouds(n: int, d: int, classes: int, seed: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Clips of each class around a centre of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    centres = apart * rng.standard_normal((classes, d))
    return (centres[labels] + rng.standard_normal((n, d))).astype(np.float32), labels


def cut(n: int, sizes: tuple[int, int, int], seed: int) -> Split:
    rows = np.random.default_rng(1000 + seed).permutation(n)[: sum(sizes)]
    return Split(*(np.sort(part) for part in np.split(rows, np.cumsum(sizes)[:2])), seed)


def by_torch(features, labels, classes, split, chosen) -> tuple[np.ndarray, int]:
    """One probe by torch.nn.Linear and torch.optim.AdamW, with the chance that the split's seed gives."""
    rng = np.random.default_rng(split.seed)
    layer = torch.nn.Linear(features.shape[1], classes)
    bound = 1 / np.sqrt(features.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.uniform(-bound, bound, (features.shape[1], classes)).T))
        layer.bias.copy_(torch.from_numpy(rng.uniform(-bound, bound, classes)))
    optimiser = torch.optim.AdamW(layer.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    best, kept, epoch_of_best = -1.0, None, 0
    for epoch in range(1, chosen.epochs + 1):
        rows = split.train[rng.permutation(len(split.train))]
        for start in range(0, len(rows), chosen.batch_size):
            batch = rows[start : start + chosen.batch_size]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            accuracy = (layer(x[split.validation]).argmax(1) == y[split.validation]).float().mean().item()
            if accuracy > best:
                best, kept, epoch_of_best = accuracy, layer(x[split.test]).numpy(), epoch
    return kept, epoch_of_best


@pytest.mark.parametrize(
    "chosen",
    [
        SETTINGS,
        Settings(epochs=25, learning_rate=1e-3, weight_decay=0.0, batch_size=7),
        Settings(epochs=25, learning_rate=3e-2, weight_decay=0.5, batch_size=1000),
        Settings(epochs=1, learning_rate=1e-1, weight_decay=0.01, batch_size=1),
    ],
    ids=["usual", "small batches", "one batch", "one clip at a time"],
)
def test_side_by_side_is_one_at_a_time_in_torch(chosen):
    features, labels = clouds(260, 20, 4, 0, 0.5)
    # training parts of different lengths, in no order, so that some probes have steps left when others have none
    sizes = [(100, 40, 60), (160, 30, 50), (64, 64, 64), (161, 20, 79), (33, 100, 20), (100, 41, 59)]
    splits = [cut(260, size, seed) for seed, size in enumerate(sizes)]
    results = probe.train(features, labels, 4, splits, chosen)
    for split, result in zip(splits, results, strict=True):
        logits, epoch = by_torch(features, labels, 4, split, chosen)
        assert result.best_epoch == epoch
        np.testing.assert_allclose(result.logits, logits, atol=2e-4)
        assert (result.logits.argmax(1) == logits.argmax(1)).all()
        assert result.logits.dtype == np.float32


def test_features_are_not_scaled():
    # as hidden states come: some channels are a thousand times the others, and far from zero
    features, labels = clouds(120, 10, 3, 1, 1.0)
    features = features * np.geomspace(0.01, 10, 10, dtype=np.float32) + 3
    split = cut(120, (60, 30, 30), 7)
    (result,) = probe.train(features, labels, 3, [split], SETTINGS)
    logits, epoch = by_torch(features, labels, 3, split, SETTINGS)
    assert result.best_epoch == epoch
    np.testing.assert_allclose(result.logits, logits, atol=2e-4)


def test_a_probe_does_not_depend_on_its_company():
    features, labels = clouds(200, 12, 3, 2, 0.6)
    splits = [cut(200, (90 + 10 * seed, 40, 30), seed) for seed in range(4)]
    together = probe.train(features, labels, 3, splits, SETTINGS)
    for split, found in zip(splits, together, strict=True):
        (alone,) = probe.train(features, labels, 3, [split], SETTINGS)
        assert alone.best_epoch == found.best_epoch
        np.testing.assert_allclose(alone.logits, found.logits, atol=1e-5)


def test_bits_repeat():
    features, labels = clouds(150, 12, 3, 3, 0.6)
    splits = [cut(150, (90, 30, 30), seed) for seed in range(3)]
    one, other = (probe.train(features, labels, 3, splits, SETTINGS) for _ in range(2))
    assert [r.logits.tobytes() for r in one] == [r.logits.tobytes() for r in other]
    assert [r.best_epoch for r in one] == [r.best_epoch for r in other]


def test_inputs_are_left_alone():
    features, labels = clouds(60, 5, 3, 3, 0.6)
    split = cut(60, (30, 15, 15), 0)
    before = [x.copy() for x in (features, labels, split.train, split.validation, split.test)]
    probe.train(features, labels, 3, [split], SETTINGS)
    for now, then in zip((features, labels, split.train, split.validation, split.test), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_seeds_start_and_shuffle_differently():
    features, labels = clouds(60, 5, 3, 3, 0.6)
    one = cut(60, (30, 15, 15), 0)
    other = Split(one.train, one.validation, one.test, 1)
    a, b = probe.train(features, labels, 3, [one, other], SETTINGS)
    assert np.abs(a.logits - b.logits).max() > 1e-3


def test_the_test_part_plays_no_part_in_training():
    features, labels = clouds(120, 8, 3, 4, 0.8)
    split = cut(120, (60, 30, 30), 0)
    (before,) = probe.train(features, labels, 3, [split], SETTINGS)
    spoilt = labels.copy()
    spoilt[split.test] = (spoilt[split.test] + 1) % 3
    (after,) = probe.train(features, spoilt, 3, [split], SETTINGS)
    np.testing.assert_array_equal(after.logits, before.logits)


def test_the_first_of_the_best_epochs_is_kept():
    # far apart: every epoch from an early one on is perfect
    features, labels = clouds(120, 8, 3, 5, 20.0)
    split = cut(120, (60, 30, 30), 0)
    (long,) = probe.train(features, labels, 3, [split], SETTINGS)
    assert long.best_epoch < SETTINGS.epochs
    (short,) = probe.train(features, labels, 3, [split], Settings(long.best_epoch, 1e-2, 0.01, 32))
    np.testing.assert_array_equal(short.logits, long.logits)


@pytest.mark.parametrize("classes", [2, 6])
def test_separable_classes_are_all_right(classes):
    features, labels = clouds(60 * classes, 24, classes, 6, 3.0)
    split = cut(len(labels), (36 * classes, 12 * classes, 12 * classes), 0)
    (found,) = probe.train(features, labels, classes, [split], SETTINGS)
    assert metrics.accuracy(labels[split.test], found.logits.argmax(1)) == 1


def test_shuffled_labels_leave_chance():
    features, labels = clouds(800, 10, 4, 7, 3.0)
    labels = np.random.default_rng(0).permutation(labels)
    splits = [cut(800, (300, 100, 400), seed) for seed in range(4)]
    results = probe.train(features, labels, 4, splits, SETTINGS)
    found = np.mean(
        [metrics.accuracy(labels[s.test], r.logits.argmax(1)) for s, r in zip(splits, results, strict=True)]
    )
    # five standard errors of a quarter in 800 clips
    assert found == pytest.approx(0.25, abs=0.077)


def test_starts_are_those_of_torch():
    weight, bias = probe.start(400, 6, np.random.default_rng(0))
    layer = torch.nn.Linear(400, 6)
    assert (weight.shape, bias.shape) == (tuple(layer.weight.T.shape), tuple(layer.bias.shape))
    assert weight.dtype == bias.dtype == np.float32
    bound = layer.weight.detach().abs().max().item()
    assert np.abs(weight).max() == pytest.approx(bound, rel=0.01)
    assert weight.std() == pytest.approx(0.05 / np.sqrt(3), rel=0.05)
    assert abs(weight.mean()) < 0.003
    assert np.abs(bias).max() <= 0.05


# --- what cannot be trained


def message(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("rate", [1e10, 1e30])
def test_a_huge_learning_rate_is_named(rate):
    features, labels = clouds(60, 5, 3, 3, 0.6)
    with pytest.raises(UserError) as caught:
        probe.train(features, labels, 3, [cut(60, (30, 15, 15), 0)], Settings(40, rate, 0.01, 8))
    assert "`probe.learning_rate`" in message(caught)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_features_that_are_no_numbers_are_refused(part, value):
    # no answer may come from them: argmax of NaN is the first emotion
    features, labels = clouds(60, 5, 3, 3, 0.6)
    split = cut(60, (30, 15, 15), 0)
    features[getattr(split, part)[2], 1] = value
    with pytest.raises(UserError) as caught:
        probe.train(features, labels, 3, [split], SETTINGS)
    assert "finite" in message(caught)


# --- metrics


def test_metrics_by_hand():
    true = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    predicted = np.array([0, 0, 1, 1, 0, 2, 2, 2, 0, 1])
    assert metrics.accuracy(true, predicted) == pytest.approx(6 / 10)
    np.testing.assert_allclose(metrics.recalls(true, predicted, 3), [2 / 3, 1 / 2, 3 / 5])
    assert metrics.uar(true, predicted, 3) == pytest.approx((2 / 3 + 1 / 2 + 3 / 5) / 3)


def test_a_class_that_does_not_occur_has_no_recall():
    true, predicted = np.array([0, 0, 2, 2]), np.array([0, 1, 2, 3])
    found = metrics.recalls(true, predicted, 4)
    np.testing.assert_array_equal(found, [0.5, np.nan, 0.5, np.nan])
    assert metrics.uar(true, predicted, 4) == 0.5
    assert metrics.accuracy(true, predicted) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_metrics_by_counting(pairs):
    true, predicted = np.array(pairs).T
    counts, right = Counter(true.tolist()), Counter(t for t, p in pairs if t == p)
    wanted = [right[c] / counts[c] if counts[c] else np.nan for c in range(5)]
    np.testing.assert_allclose(metrics.recalls(true, predicted, 5), wanted)
    assert metrics.uar(true, predicted, 5) == pytest.approx(np.nanmean(wanted))
    assert metrics.accuracy(true, predicted) == pytest.approx(sum(right.values()) / len(pairs))


def test_equal_classes_make_uar_accuracy():
    true = np.repeat(np.arange(6), 5)
    predicted = np.random.default_rng(0).integers(0, 6, 30)
    assert metrics.uar(true, predicted, 6) == pytest.approx(metrics.accuracy(true, predicted))


# --- files


EMOTIONS = ["calm", "sad", "angry"]
LABELS = {"model": "tiny", "domain": "music", "layer": "02"}


@pytest.fixture
def run(tmp_path):
    """Embeddings of three emotions, two splits with both domains in them, and what `probe.run` makes of these."""
    features, labels = clouds(90, 8, 3, 9, 0.7)
    clips = np.array([f"clip{i:02d}" for i in range(90)])
    of_emotion = {}
    for c, emotion in enumerate(EMOTIONS):
        of_emotion[emotion] = str(tmp_path / f"{emotion}.h5")
        rows = labels == c
        n = int(rows.sum())
        whole = embeddings.Embeddings(
            clips[rows].tolist(),
            np.ones(n, int),
            features[None, rows],
            np.array([n]),
            np.zeros((1, 1, 8)),
            np.zeros((1, 1, 36), np.float32),
        )
        embeddings.write(of_emotion[emotion], whole, 0, {})
    parts = {}
    for name, seed, sizes in (("random-3", 0, (54, 18, 18)), ("speaker-12", 1, (40, 25, 25))):
        split = cut(90, sizes, seed)
        parts[name] = {part: clips[getattr(split, part)].tolist() for part in ("train", "validation", "test")}
        rows = [{"clip_id": c, "domain": "music", "part": p} for p, members in parts[name].items() for c in members]
        # the other domain's clips may have the same names
        rows += [{"clip_id": c, "domain": "speech", "part": "train"} for c in clips]
        files.write_rows(tmp_path / f"{name}.csv", rows)
    paths = [str(tmp_path / f"{name}.csv") for name in parts]
    table, predictions = probe.run(of_emotion, paths, SETTINGS, LABELS)
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
