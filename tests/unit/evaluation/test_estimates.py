"""Estimates: put together, they keep intervals that cover what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from speechsong.evaluation import estimates
from speechsong.evaluation.estimates import Estimate


def sampled(value: float, rng: np.random.Generator, error: float = 1.0, draws: int = 2000) -> Estimate:
    """Measure a true value, with samples about what was measured."""
    measured = value + error * rng.normal()
    return Estimate(measured, measured + error * rng.normal(size=draws), 0)


def test_differences_and_means_go_by_sample():
    a, b = Estimate(3, np.array([2.0, 4.0]), 20), Estimate(1, np.array([0.0, 1.0]), 10)
    apart = a.minus(b)
    assert (apart.value, apart.people, apart.samples.tolist()) == (2, 10, [2, 3])
    assert estimates.mean([a, b]).samples.tolist() == [1, 2.5]
    assert estimates.difference(a, None) is estimates.number(None) is None
    assert estimates.complete([a, None]) == []


def test_the_interval_of_the_smallest_covers_it():
    """True differences of 0 to 2 errors; the naive interval of the smallest of the samples would be too low."""
    rng = np.random.default_rng(0)
    truth, runs = np.array([0, 0.3, 0.5, 1, 2.0]), 400
    low = high = 0
    for _ in range(runs):
        found = estimates.smallest([sampled(value, rng) for value in truth])
        assert found.low <= found.value <= found.high
        low, high = low + (found.low > 0), high + (found.high < 0)
    assert max(low, high) / runs < 0.04


def test_the_largest_is_the_smallest_of_the_negative():
    found = estimates.largest([Estimate(v, v + np.linspace(-1, 1, 101), 0) for v in (1.0, 5.0)])
    assert found.value == 5
    assert found.low == pytest.approx(4, abs=0.06)
    assert found.high == pytest.approx(6, abs=0.06)


def test_samples_without_a_value_leave_no_interval_if_there_are_many():
    samples = np.ones(100)
    samples[:2] = np.nan
    assert Estimate(1, samples, 0).ends() == (1, 1)
    samples[:3] = np.nan
    assert np.isnan(Estimate(1, samples, 0).ends()).all()


def test_an_interval_always_holds_its_value():
    assert Estimate(1.0, np.linspace(0, 0.9, 100), 0).number().high == 1


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7)).round(1)
    pairs = [(Estimate(x, np.array([x, y]), 9), Estimate(y, np.array([y, y]), 8)) for x, y in zip(a, b, strict=True)]
    found = estimates.rank_correlation(pairs)
    assert found.value == pytest.approx(spearmanr(a, b).statistic)
    assert found.samples == pytest.approx([found.value, 1])
    assert found.people == 8


def test_concordance_is_kendalls_and_chance_is_what_random_orders_reach():
    orders = np.array([[1.0, 2, 3, 4], [1, 2, 4, 3], [2, 1, 3, 4]])
    # sums 4, 5, 10, 11 about 7.5
    assert estimates.concordance(orders) == pytest.approx(12 * 37 / (9 * 60))
    assert estimates.concordance(np.array([orders[0]] * 3)) == 1
    assert np.isnan(estimates.concordance(np.array([[1, np.nan], [1, 2]])))
    # two judges: W = (1 + rank correlation) / 2
    two = orders[:2]
    assert estimates.concordance(two) == pytest.approx((1 + spearmanr(*two).statistic) / 2)
    assert kendalltau(*two).statistic > 0
    random = np.random.default_rng(1).random((5000, 3, 6))
    assert (estimates.concordance(random) > estimates.chance(3, 6)).mean() == pytest.approx(0.05, abs=0.015)
