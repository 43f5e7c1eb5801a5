"""Masks: spans of ten frames that start where chance has it."""

from __future__ import annotations

import numpy as np
import pytest

from speechsong.pretraining import masks


def runs(row: np.ndarray) -> list[int]:
    """List the lengths of the runs of masked frames that end before the row does."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [int(end - start) for start, end in zip(edges[::2], edges[1::2], strict=True) if end < len(row)]


def test_spans_are_ten_frames_or_longer_where_they_overlap():
    masked = masks.spans(200, 60, np.random.default_rng(0))
    lengths = [length for row in masked for length in runs(row)]
    assert min(lengths) == masks.LENGTH
    assert max(lengths) > masks.LENGTH


def test_the_share_of_masked_frames_is_that_of_independent_starts():
    # far from the beginning, a frame is seen if none of the ten frames up to it starts a span
    masked = masks.spans(200, 4000, np.random.default_rng(0))
    assert masked[:, 20:].mean() == pytest.approx(1 - (1 - masks.STARTS) ** masks.LENGTH, abs=0.01)


@pytest.mark.parametrize("frames", [1, 5, 12])
def test_every_row_has_a_masked_frame(frames):
    masked = masks.spans(500, frames, np.random.default_rng(1))
    assert masked.shape == (500, frames)
    assert masked.any(axis=1).all()


def test_the_same_seed_draws_the_same():
    one, other = (masks.spans(8, 49, np.random.default_rng([3, 1, 7])) for _ in range(2))
    assert (one == other).all()
    assert (one != masks.spans(8, 49, np.random.default_rng([3, 1, 8]))).any()
