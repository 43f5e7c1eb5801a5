"""Embedding files: what is written is read, always the same bytes, and a file that breaks off is named."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from speechsong.embeddings import moments, store
from speechsong.errors import UserError


def test_what_is_written_is_read(tmp_path, extracted):
    for state in range(4):
        path = tmp_path / "new folder" / f"{state}.h5"
        store.write(path, extracted, state, {})
        clips, pooled = store.read_pooled(path)
        assert clips == extracted.clips
        np.testing.assert_array_equal(pooled, extracted.pooled[state])
        assert pooled.dtype == np.float32
        blocks, count = store.read_blocks(path)
        assert count == len(extracted.clips)
        np.testing.assert_array_equal(blocks.count, extracted.count)
        np.testing.assert_array_equal(blocks.mean, extracted.mean[state])
        np.testing.assert_array_equal(blocks.scatter, moments.unpack(extracted.scatter[state], 48))


def test_clip_names_of_any_kind(tmp_path, extracted):
    named = copy.copy(extracted)
    named.clips = [f"Jürgen/лето, {i} 夏" for i in range(len(extracted.clips))]
    store.write(tmp_path / "a.h5", named, 0, {})
    assert store.read_pooled(tmp_path / "a.h5")[0] == named.clips


def test_the_layout_of_a_file(tmp_path, extracted):
    # other programs read these names
    store.write(tmp_path / "a.h5", extracted, 2, {})
    with h5py.File(tmp_path / "a.h5") as h5:
        shapes = {k: (h5[k].shape, h5[k].dtype) for k in ("pooled", "frames", "blocks/mean", "blocks/scatter")}
        assert shapes == {
            "pooled": ((8, 48), np.float32),
            "frames": ((8,), np.int64),
            "blocks/mean": ((4, 48), np.float64),
            "blocks/scatter": ((4, 48 * 49 // 2), np.float32),
        }
        assert h5["frames"][()].sum() == h5["blocks/count"][()].sum()
        assert h5.attrs["layer"] == 2


def test_the_same_bytes_twice(tmp_path, extracted):
    for name in ("a.h5", "b.h5"):
        store.write(tmp_path / name, extracted, 1, {"encoder": "x", "sample_rate": 24000})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("reader", [store.read_pooled, store.read_blocks, store.read_maker])
@pytest.mark.parametrize("keep", [0, 7, 2000, -1])
def test_a_file_that_breaks_off_is_named(tmp_path, extracted, reader, keep):
    path = tmp_path / "a.h5"
    store.write(path, extracted, 0, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError) as caught:
        reader(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: cannot be read")
    assert "delete the file and run again" in text
