"""Converged probes are scikit-learn's logistic regression on standardised features, with the penalty that validates."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from made_clips import clouds, cut
from speechsong import metrics
from speechsong.errors import UserError
from speechsong.probes import converged


def by_sklearn(features, labels, split, penalty: float) -> np.ndarray:
    """Probabilities (n, C) of all clips, by scikit-learn."""
    features = features.astype(float)
    scaled = (features - features[split.train].mean(axis=0)) / features[split.train].std(axis=0)
    # its C weighs the sum over clips, ours the mean
    model = LogisticRegression(C=1 / (penalty * len(split.train)), tol=1e-8, max_iter=5000)
    return model.fit(scaled[split.train], labels[split.train]).predict_proba(scaled)


def probabilities(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [3, 6])
def test_the_solution_is_that_of_scikit_learn_at_the_best_penalty(classes):
    features, labels = clouds(240, 30, classes, 0, 0.3)
    # channels of very different scale and place, as hidden states have
    features = features * np.geomspace(1e-3, 1e3, 30, dtype=np.float32) + 5
    split = cut(240, (140, 50, 50), 1)
    (found,) = converged.train(features, labels, classes, [split])
    np.testing.assert_allclose(
        probabilities(found.logits(features)), by_sklearn(features, labels, split, found.penalty), atol=2e-3
    )
    accuracies = [
        metrics.accuracy(labels[split.validation], by_sklearn(features, labels, split, p)[split.validation].argmax(1))
        for p in converged.PENALTIES
    ]
    assert found.validation == max(accuracies)
    # the largest of equally good penalties
    assert found.penalty == converged.PENALTIES[int(np.argmax(accuracies))]
    assert found.best_epoch is None


def test_the_scale_of_a_layer_does_not_matter():
    features, labels = clouds(150, 12, 3, 2, 0.5)
    split = cut(150, (90, 30, 30), 0)
    (one,) = converged.train(features, labels, 3, [split])
    (other,) = converged.train(64 * features - 32, labels, 3, [split])
    assert one.penalty == other.penalty
    np.testing.assert_allclose(one.logits(features), other.logits(64 * features - 32), atol=1e-3)


def test_a_channel_that_never_changes_changes_nothing():
    features, labels = clouds(150, 12, 3, 2, 0.5)
    split = cut(150, (90, 30, 30), 0)
    (one,) = converged.train(features, labels, 3, [split])
    constant = np.hstack([features, np.full((150, 1), 7, np.float32)])
    (other,) = converged.train(constant, labels, 3, [split])
    np.testing.assert_allclose(one.logits(features), other.logits(constant), atol=1e-6)


def test_the_test_part_plays_no_part_in_training():
    features, labels = clouds(120, 8, 3, 4, 0.8)
    split = cut(120, (60, 30, 30), 0)
    (before,) = converged.train(features, labels, 3, [split])
    spoilt, moved = labels.copy(), features.copy()
    spoilt[split.test] = (spoilt[split.test] + 1) % 3
    moved[split.test] += 100
    (after,) = converged.train(moved, spoilt, 3, [split])
    np.testing.assert_array_equal(after.weights, before.weights)


def test_features_that_are_no_numbers_are_refused():
    features, labels = clouds(60, 5, 3, 3, 0.6)
    features[7, 2] = np.nan
    with pytest.raises(UserError, match="not finite"):
        converged.train(features, labels, 3, [cut(60, (30, 15, 15), 0)])
