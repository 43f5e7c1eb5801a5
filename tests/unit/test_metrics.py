"""Accuracy, recall and their mean, by hand and by counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong import metrics


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
