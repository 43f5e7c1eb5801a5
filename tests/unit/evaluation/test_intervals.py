"""Intervals cover, tests agree with scipy and statsmodels, and p-values are what their definitions say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from speechsong.evaluation import intervals


def test_samples_draw_as_many_speakers_as_there_are_and_repeat():
    drawn = intervals.draw(23, 500)
    assert drawn.shape == (500, 23)
    assert (drawn.sum(axis=1) == 23).all()
    assert drawn.mean() == 1
    assert np.array_equal(drawn, intervals.draw.__wrapped__(23, 500))
    assert not np.array_equal(drawn, intervals.draw(23, 500, seed=1))


@pytest.mark.parametrize(
    ("level", "spread", "clips"),
    [(0.85, 0.05, 44), (0.6, 0.15, 44), (0.3, 0.1, 9)],
)
def test_intervals_over_23_speakers_cover_what_they_claim(level, spread, clips):
    """Speakers differ in how well they are recognised; the truth is the mean over all people."""
    rng = np.random.default_rng(1)
    size = level * (1 - level) / spread**2 - 1
    inside, runs = 0, 1000
    drawn = intervals.draw(23, 1000)
    for _ in range(runs):
        right = rng.binomial(clips, rng.beta(level * size, (1 - level) * size, 23))
        low, high = intervals.interval(drawn @ right / (drawn.sum(axis=1) * clips), 23)
        inside += low <= level <= high
    assert 0.92 <= inside / runs <= 0.98


def test_intervals_over_unequal_speakers_cover():
    """As in a random split: some people have three clips in the test part, some fifteen."""
    rng = np.random.default_rng(2)
    inside, runs = 0, 1000
    drawn = intervals.draw(23, 1000)
    for _ in range(runs):
        clips = rng.integers(3, 16, 23)
        right = rng.binomial(clips, rng.beta(14, 6, 23))
        low, high = intervals.interval((drawn @ right) / (drawn @ clips), 23)
        inside += low <= 0.7 <= high
    assert 0.92 <= inside / runs <= 0.98


@pytest.mark.parametrize(
    ("level", "spread", "clips"),
    [
        *[(0.85, 0.05, 44), (0.6, 0.15, 44), (0.3, 0.1, 9), (0.97, 0.05, 8), (0.95, 0.05, 8), (0.95, 0.08, 2)],
        *[(0.9, 0.1, 8), (0.99, 0.02, 40), (0.7, 0.0, 8)],
    ],
)
def test_intervals_of_shares_cover_what_they_claim_near_the_end_of_the_scale_too(level, spread, clips):
    """Accuracies and, with few clips, recalls, which may be right nearly always."""
    rng = np.random.default_rng(3)
    inside, runs, speakers = 0, 1000, 23
    drawn = intervals.draw(speakers, 1000)
    for _ in range(runs):
        ability = np.full(speakers, level)
        if spread:
            size = level * (1 - level) / spread**2 - 1
            ability = rng.beta(level * size, (1 - level) * size, speakers)
        right = rng.binomial(clips, ability)
        samples = drawn @ right / (speakers * clips)
        low, high = intervals.share_interval(right.sum() / (speakers * clips), samples, speakers, speakers * clips)
        inside += low <= level <= high
    assert 0.92 <= inside / runs <= 0.985


def test_the_interval_of_a_share_is_wilsons_where_clips_are_independent():
    rng = np.random.default_rng(4)
    # as many speakers as clips: drawing speakers is drawing clips
    samples = rng.binomial(2000, 0.9, 10_000) / 2000
    found = intervals.share_interval(0.9, samples, 2000, 2000)
    assert found == pytest.approx(proportion_confint(1800, 2000, method="wilson"), abs=5e-4)
    # nobody was ever wrong: as many clips as there are, and Student's t
    low, high = intervals.share_interval(1.0, np.ones(50), 23, 184)
    t = stats.t.ppf(0.975, 22)
    assert (low, high) == (pytest.approx(184 / (184 + t**2)), 1.0)
    assert np.isnan(intervals.share_interval(0.5, np.array([0.5]), 1, 9)).all()


def test_intervals_of_uar_and_of_paired_differences_cover():
    rng = np.random.default_rng(5)
    drawn = intervals.draw(23, 1000)
    levels = np.array([0.95, 0.8, 0.6, 0.9])
    held = {"uar": 0, "difference": 0}
    runs = 600
    for _ in range(runs):
        person = rng.normal(size=(23, 1)) * 0.04
        right = rng.binomial(8, np.clip(levels + person, 0, 1))
        uars = (drawn @ right / (drawn.sum(axis=1, keepdims=True) * 8)).mean(axis=1)
        low, high = intervals.interval(uars, 23)
        held["uar"] += low <= 0.8125 - 0.0017 <= high  # clipping at 1 costs the first a little
        better = rng.binomial(32, np.clip(0.75 + 0.05 + person[:, 0] * 2, 0, 1)) - rng.binomial(
            32, np.clip(0.75 + person[:, 0] * 2, 0, 1)
        )
        low, high = intervals.interval(drawn @ better / (23 * 32), 23)
        held["difference"] += low <= 0.05 <= high
    assert all(0.92 <= count / runs <= 0.98 for count in held.values()), held


def test_plain_percentiles_would_be_narrower():
    drawn = intervals.draw(23) @ np.arange(23) / 23
    low, high = intervals.interval(drawn, 23)
    plain = np.quantile(drawn, [0.025, 0.975])
    assert low < plain[0] < plain[1] < high
    # the ratio of widths is that of the quantiles, times sqrt(n / (n - 1))
    expected = stats.t.ppf(0.975, 22) / stats.norm.ppf(0.975) * np.sqrt(23 / 22)
    assert (high - low) / (plain[1] - plain[0]) == pytest.approx(expected, rel=0.03)


def test_one_speaker_has_no_interval_and_samples_without_a_value_are_left_out():
    assert np.isnan(intervals.interval(np.ones(10), 1)).all()
    assert np.isnan(intervals.interval(np.full(10, np.nan), 5)).all()
    values = np.arange(1000.0)
    assert intervals.interval(np.append(values, np.nan), 5) == intervals.interval(values, 5)


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9))
def test_sign_flips_by_enumeration(differences):
    differences = np.array(differences)
    sums = [abs(int(np.dot(signs, differences))) for signs in product((-1, 1), repeat=len(differences))]
    expected = np.mean([total >= abs(differences.sum()) for total in sums])
    assert intervals.sign_flip(differences) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_agree_with_scipy():
    differences = np.array([3, 1, -2, 5, 0, 4, 2, -1, 3, 6, 2, 1])
    found = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert intervals.sign_flip(differences) == pytest.approx(found.pvalue, abs=1e-12)


def test_sign_flips_of_23_speakers_are_exact():
    """All speakers prefer A by one clip: two patterns of 2^23 are as far out."""
    assert intervals.sign_flip(np.ones(23, dtype=int)) == pytest.approx(2 / 2**23, rel=1e-9)
    assert intervals.sign_flip(np.zeros(23, dtype=int)) == 1


def test_sign_flips_reject_no_more_than_they_may():
    rng = np.random.default_rng(3)
    found = np.array([intervals.sign_flip(rng.integers(-4, 5, 23)) for _ in range(1000)])
    for level in (0.01, 0.05, 0.2):
        assert (found <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 1000)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(only_a, only_b):
    expected = mcnemar([[50, only_a], [only_b, 20]], exact=True).pvalue
    assert intervals.mcnemar(only_a, only_b) == pytest.approx(expected, abs=1e-12)


def test_paired_intervals_cover():
    rng = np.random.default_rng(4)
    cells = np.array([0.70, 0.12, 0.06, 0.12])  # both right, only A, only B, neither
    drawn = rng.multinomial(203, cells, 4000)
    bounds = np.array([intervals.paired_interval(a, b, 203) for _, a, b, _ in drawn])
    inside = (bounds[:, 0] <= 0.06) & (bounds[:, 1] >= 0.06)
    assert 0.93 <= inside.mean() <= 0.97
    assert intervals.paired_interval(0, 203, 203)[0] >= -1


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p):
    expected = multipletests(p, method="holm")[1]
    assert intervals.holm(np.array(p)) == pytest.approx(expected)
