"""Probes trained side by side are PyTorch's, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from made_clips import SETTINGS, by_torch, clouds, cut
from speechsong import metrics
from speechsong.embeddings.features import Split
from speechsong.errors import UserError
from speechsong.probes.train import Settings, start, train


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
    results = train(features, labels, 4, splits, chosen)
    for split, result in zip(splits, results, strict=True):
        logits, epoch = by_torch(features, labels, 4, split, chosen)
        assert result.best_epoch == epoch
        np.testing.assert_allclose(result.logits(features[split.test]), logits, atol=2e-4)
        assert (result.logits(features[split.test]).argmax(1) == logits.argmax(1)).all()
        assert result.logits(features[split.test]).dtype == np.float32


def test_features_are_not_scaled():
    # as hidden states come: some channels are a thousand times the others, and far from zero
    features, labels = clouds(120, 10, 3, 1, 1.0)
    features = features * np.geomspace(0.01, 10, 10, dtype=np.float32) + 3
    split = cut(120, (60, 30, 30), 7)
    (result,) = train(features, labels, 3, [split], SETTINGS)
    logits, epoch = by_torch(features, labels, 3, split, SETTINGS)
    assert result.best_epoch == epoch
    np.testing.assert_allclose(result.logits(features[split.test]), logits, atol=2e-4)


def test_a_probe_does_not_depend_on_its_company():
    features, labels = clouds(200, 12, 3, 2, 0.6)
    splits = [cut(200, (90 + 10 * seed, 40, 30), seed) for seed in range(4)]
    together = train(features, labels, 3, splits, SETTINGS)
    for split, found in zip(splits, together, strict=True):
        (alone,) = train(features, labels, 3, [split], SETTINGS)
        assert alone.best_epoch == found.best_epoch
        np.testing.assert_allclose(alone.weights, found.weights, atol=1e-5)


def test_bits_repeat():
    features, labels = clouds(150, 12, 3, 3, 0.6)
    splits = [cut(150, (90, 30, 30), seed) for seed in range(3)]
    one, other = (train(features, labels, 3, splits, SETTINGS) for _ in range(2))
    assert [r.weights.tobytes() for r in one] == [r.weights.tobytes() for r in other]
    assert [r.best_epoch for r in one] == [r.best_epoch for r in other]


def test_inputs_are_left_alone():
    features, labels = clouds(60, 5, 3, 3, 0.6)
    split = cut(60, (30, 15, 15), 0)
    before = [x.copy() for x in (features, labels, split.train, split.validation, split.test)]
    train(features, labels, 3, [split], SETTINGS)
    for now, then in zip((features, labels, split.train, split.validation, split.test), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_seeds_start_and_shuffle_differently():
    features, labels = clouds(60, 5, 3, 3, 0.6)
    one = cut(60, (30, 15, 15), 0)
    other = Split(one.train, one.validation, one.test, 1)
    a, b = train(features, labels, 3, [one, other], SETTINGS)
    assert np.abs(a.weights - b.weights).max() > 1e-3


def test_the_test_part_plays_no_part_in_training():
    features, labels = clouds(120, 8, 3, 4, 0.8)
    split = cut(120, (60, 30, 30), 0)
    (before,) = train(features, labels, 3, [split], SETTINGS)
    spoilt = labels.copy()
    spoilt[split.test] = (spoilt[split.test] + 1) % 3
    (after,) = train(features, spoilt, 3, [split], SETTINGS)
    np.testing.assert_array_equal(after.weights, before.weights)


def test_the_first_of_the_best_epochs_is_kept():
    # far apart: every epoch from an early one on is perfect
    features, labels = clouds(120, 8, 3, 5, 20.0)
    split = cut(120, (60, 30, 30), 0)
    (long,) = train(features, labels, 3, [split], SETTINGS)
    assert long.best_epoch < SETTINGS.epochs
    (short,) = train(features, labels, 3, [split], Settings(long.best_epoch, 1e-2, 0.01, 32))
    np.testing.assert_array_equal(short.weights, long.weights)


@pytest.mark.parametrize("classes", [2, 6])
def test_separable_classes_are_all_right(classes):
    features, labels = clouds(60 * classes, 24, classes, 6, 3.0)
    split = cut(len(labels), (36 * classes, 12 * classes, 12 * classes), 0)
    (found,) = train(features, labels, classes, [split], SETTINGS)
    assert metrics.accuracy(labels[split.test], found.logits(features[split.test]).argmax(1)) == 1


def test_shuffled_labels_leave_chance():
    features, labels = clouds(800, 10, 4, 7, 3.0)
    labels = np.random.default_rng(0).permutation(labels)
    splits = [cut(800, (300, 100, 400), seed) for seed in range(4)]
    results = train(features, labels, 4, splits, SETTINGS)
    found = np.mean(
        [
            metrics.accuracy(labels[s.test], r.logits(features[s.test]).argmax(1))
            for s, r in zip(splits, results, strict=True)
        ]
    )
    # five standard errors of a quarter in 800 clips
    assert found == pytest.approx(0.25, abs=0.077)


def test_starts_are_those_of_torch():
    weight, bias = start(400, 6, np.random.default_rng(0))
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
        train(features, labels, 3, [cut(60, (30, 15, 15), 0)], Settings(40, rate, 0.01, 8))
    assert "`probe.learning_rate`" in message(caught)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_features_that_are_no_numbers_are_refused(part, value):
    # no answer may come from them: argmax of NaN is the first emotion
    features, labels = clouds(60, 5, 3, 3, 0.6)
    split = cut(60, (30, 15, 15), 0)
    features[getattr(split, part)[2], 1] = value
    with pytest.raises(UserError) as caught:
        train(features, labels, 3, [split], SETTINGS)
    assert "finite" in message(caught)
