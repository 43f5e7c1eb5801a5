"""Moments are those of NumPy on the frames themselves, however the frames are cut up and merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong.embeddings.moments import Blocks, Moments, join, of_frames, pack, unpack

PARTITIONS = st.tuples(
    st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 7, 30]), min_size=1, max_size=8).filter(any),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, -1e4, 1e4, 1e6]),
    st.integers(0, 2**32 - 1),
)


def draw(sizes: list[int], width: int, offset: float, seed: int) -> list[np.ndarray]:
    """Frames of each block; the blocks' means differ as much as the frames within one do."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((width, width))
    return [(rng.standard_normal((n, width)) + rng.standard_normal(width)) @ mix + offset for n in sizes]


def blocks_of(parts: list[np.ndarray]) -> Blocks:
    """Blocks by definition, not by `of_frames`; an empty one is all zeros, as `extract` leaves it."""
    width = parts[0].shape[1]
    means = [p.mean(axis=0) if len(p) else np.zeros(width) for p in parts]
    scatters = [(p - m).T @ (p - m) for p, m in zip(parts, means, strict=True)]
    return Blocks(np.array([len(p) for p in parts]), np.stack(means), np.stack(scatters))


def assert_like(found: Moments, frames: np.ndarray) -> None:
    """Compare with NumPy on the frames, to round-off of the frames' own size."""
    assert found.count == len(frames)
    size = np.abs(frames).max()
    np.testing.assert_allclose(found.mean, np.mean(frames, axis=0), rtol=0, atol=1e-13 * size)
    centred = frames - frames[0]
    wanted = np.atleast_2d(np.cov(centred, rowvar=False, bias=True)) * len(frames)
    spread = np.abs(centred).max()
    # means are rounded at the size of the frames; sums of squares about zero would miss by that size squared
    rounding = 1e-15 * size
    tolerance = len(frames) * (1e-12 * spread**2 + rounding * spread + rounding**2)
    np.testing.assert_allclose(found.scatter, wanted, rtol=0, atol=tolerance)


def test_frames_against_numpy():
    frames = np.random.default_rng(0).gamma(2.0, size=(200, 7)) @ np.random.default_rng(1).standard_normal((7, 7))
    found = of_frames(frames)
    assert found.count == 200
    np.testing.assert_allclose(found.mean, frames.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(frames, rowvar=False), rtol=1e-12)


def test_float32_frames_are_summed_in_float64():
    frames = (1e3 + np.random.default_rng(0).standard_normal((5000, 3))).astype(np.float32)
    found = of_frames(frames)
    assert found.mean.dtype == found.scatter.dtype == np.float64
    np.testing.assert_allclose(found.covariance, np.cov(frames.astype(np.float64), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
def test_nothing_cancels_far_from_zero(offset):
    # values whose distance from the offset is exact in float64, so the covariance is that without the offset
    near = np.random.default_rng(0).integers(-512, 513, size=(400, 5)) / 64
    far = near + offset
    wanted = np.cov(near, rowvar=False)
    np.testing.assert_allclose(of_frames(far).covariance, wanted, rtol=1e-10, atol=1e-10)
    merged = blocks_of(np.array_split(far, 7)).merge()
    np.testing.assert_allclose(merged.covariance, wanted, rtol=1e-7, atol=1e-7)


def test_a_shift_of_one_block_by_hand():
    # one frame at 0 and one at 2: mean 1, scatter 1 + 1
    blocks = Blocks(np.array([1, 1]), np.array([[0.0], [2.0]]), np.zeros((2, 1, 1)))
    merged = blocks.merge()
    assert (merged.count, merged.mean[0], merged.scatter[0, 0], merged.covariance[0, 0]) == (2, 1, 2, 2)


@settings(max_examples=100, deadline=None)
@given(PARTITIONS)
def test_merged_blocks_are_the_whole(partition):
    parts = draw(*partition)
    assert_like(blocks_of(parts).merge(), np.concatenate(parts))


@settings(max_examples=100, deadline=None)
@given(PARTITIONS, st.data())
def test_kept_blocks_are_what_is_left(partition, data):
    parts = draw(*partition)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts))))
    found = blocks_of(parts).merge(keep)
    rest = np.concatenate([p for p, k in zip(parts, keep, strict=True) if k] or [np.empty((0, parts[0].shape[1]))])
    if len(rest):
        assert_like(found, rest)
    else:
        assert found.count == 0
        assert not found.scatter.any()


def test_merging_leaves_the_blocks_alone():
    blocks = blocks_of(draw([3, 0, 4], 3, 1e4, 0))
    before = [x.copy() for x in (blocks.count, blocks.mean, blocks.scatter)]
    blocks.merge(np.array([True, True, False]))
    join([blocks, blocks])
    for now, then in zip((blocks.count, blocks.mean, blocks.scatter), before, strict=True):
        np.testing.assert_array_equal(now, then)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda b: st.lists(st.lists(st.sampled_from([0, 1, 2, 9]), min_size=b, max_size=b), min_size=1, max_size=5)
    ),
    st.sampled_from([0.0, 1e4]),
    st.integers(0, 2**32 - 1),
)
def test_joined_sets_keep_their_blocks_apart(sizes, offset, seed):
    sets = [draw(s, 3, offset, seed + i) for i, s in enumerate(sizes)]
    joined = join([blocks_of(parts) for parts in sets])
    assert joined.count.tolist() == np.sum(sizes, axis=0).tolist()
    for b in range(len(sizes[0])):
        frames = np.concatenate([parts[b] for parts in sets])
        if len(frames):
            assert_like(Moments(int(joined.count[b]), joined.mean[b], joined.scatter[b]), frames)
        else:
            assert not joined.mean[b].any()
            assert not joined.scatter[b].any()


def test_joining_then_leaving_out_is_leaving_out_of_each():
    sets = [draw([4, 6, 5], 3, 10, seed) for seed in (0, 1)]
    keep = np.array([True, False, True])
    found = join([blocks_of(parts) for parts in sets]).merge(keep)
    assert_like(found, np.concatenate([sets[0][0], sets[1][0], sets[0][2], sets[1][2]]))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_packed_scatter_comes_back_to_float32(width):
    rng = np.random.default_rng(width)
    full = rng.standard_normal((3, 4, width, width))
    full = full + full.swapaxes(-1, -2)
    packed = pack(full)
    assert packed.shape == (3, 4, width * (width + 1) // 2)
    assert packed.dtype == np.float32
    back = unpack(packed, width)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, full.astype(np.float32))
    np.testing.assert_array_equal(back, back.swapaxes(-1, -2))


def test_packing_goes_row_by_row():
    full = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    assert pack(full).tolist() == [1, 2, 3, 4, 5, 6]
    assert unpack(np.arange(1, 7, dtype=np.float32), 3).tolist() == full.tolist()


def test_packing_reads_the_upper_triangle_only():
    upper = np.triu(np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(pack(upper), pack(upper + np.tril(np.full((3, 3), 99.0), -1)))
