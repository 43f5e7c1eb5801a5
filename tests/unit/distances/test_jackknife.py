"""The jackknife, against brute force and a pencil."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong.distances.jackknife import jackknife


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_mean_of_unequal_blocks_by_hand():
    # blocks (1), (3, 5), (6, 6, 9): n 6, mean 5; without a block 29/5, 22/4, 9/3; h = 6, 3, 2
    corrected, variance = jackknife(5.0, np.array([29 / 5, 22 / 4, 9 / 3]), np.array([1, 2, 3]))
    # the mean has no bias; pseudo-values are the blocks' means 1, 4, 7
    assert corrected == pytest.approx(3 * 5 - (5 / 6 * 29 / 5 + 2 / 3 * 22 / 4 + 1 / 2 * 3))
    assert corrected == pytest.approx(5)
    assert variance == pytest.approx(((1 - 5) ** 2 / 5 + (4 - 5) ** 2 / 2 + (7 - 5) ** 2 / 1) / 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.integers(0, 2**32 - 1))
def test_the_mean_of_any_blocks(sizes, seed):
    blocks = [random(seed + i).standard_normal(m) for i, m in enumerate(sizes)]
    n, value = sum(sizes), np.concatenate(blocks).mean()
    left_out = np.array([np.concatenate(blocks[:j] + blocks[j + 1 :]).mean() for j in range(len(sizes))])
    corrected, variance = jackknife(value, left_out, np.array(sizes))
    assert corrected == pytest.approx(value)
    wanted = np.mean([m / (n - m) * (b.mean() - value) ** 2 for m, b in zip(sizes, blocks, strict=True)])
    assert variance == pytest.approx(wanted)


def test_equal_sizes_give_the_ordinary_jackknife():
    left_out = random(0).standard_normal(9)
    corrected, variance = jackknife(1.3, left_out, np.full(9, 4))
    assert corrected == pytest.approx(9 * 1.3 - 8 * left_out.mean())
    assert variance == pytest.approx(8 / 9 * ((left_out - left_out.mean()) ** 2).sum())


@pytest.mark.parametrize("sizes", [[1] * 10, [1, 4, 2, 3]])
def test_the_bias_of_the_variance_goes(sizes):
    # the plug-in variance is too small by (n - 1) / n. Single observations: the jackknife gives exactly ddof 1
    x = random(0).standard_normal(10)
    of = np.repeat(np.arange(len(sizes)), sizes)
    left_out = np.array([x[of != j].var() for j in range(len(sizes))])
    corrected, _ = jackknife(x.var(), left_out, np.array(sizes))
    if max(sizes) == 1:
        assert corrected == pytest.approx(x.var(ddof=1))
    else:
        # whatever the sizes, but in expectation only
        many = random(1).standard_normal((20_000, 10))
        left_out = np.array([many[:, of != j].var(axis=1) for j in range(len(sizes))])
        pairs = zip(many.var(axis=1), left_out.T, strict=True)
        corrected = [jackknife(value, without, np.array(sizes))[0] for value, without in pairs]
        assert many.var(axis=1).mean() == pytest.approx(0.9, abs=0.015)
        assert np.mean(corrected) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_blocks_tell_nothing(count):
    found = jackknife(2.0, np.ones(count), np.ones(count))
    assert np.isnan(found).all()
