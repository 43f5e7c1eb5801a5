"""Features are the clip means of the files, emotion after emotion, and splits are rows of them."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest

from made_files import write_embeddings
from speechsong import files
from speechsong.embeddings import features
from speechsong.errors import UserError


@pytest.fixture
def paths(tmp_path, extracted) -> dict[str, str]:
    """Files of two emotions, which share the clips of one."""
    parts = {"sad": slice(0, 5), "calm": slice(5, 8)}
    return {
        emotion: write_embeddings(
            tmp_path,
            dataclasses.replace(extracted, clips=extracted.clips[rows], pooled=extracted.pooled[:, rows]),
            *("tiny", "speech", emotion, 2),
        )
        for emotion, rows in parts.items()
    }


def test_means_and_labels_are_in_the_order_of_the_emotions(paths, extracted):
    read = features.read(paths)
    assert read.clips == extracted.clips
    assert read.labels.tolist() == [0] * 5 + [1] * 3
    np.testing.assert_array_equal(read.means, extracted.pooled[2])
    assert (read.means.dtype, read.labels.dtype) == (np.float32, np.int64)
    back = features.read(dict(reversed(paths.items())))
    assert back.clips == extracted.clips[5:] + extracted.clips[:5]
    assert back.labels.tolist() == [0] * 3 + [1] * 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_means_that_are_not_finite_are_refused(paths, value):
    with h5py.File(paths["calm"], "a") as h5:
        h5["pooled"][1, 4] = value
    with pytest.raises(UserError) as caught:
        features.read(paths)
    assert str(caught.value) == (f"{paths['calm']}: holds features that are not finite; delete the file and run again")


def test_a_split_is_rows_of_one_domain(tmp_path):
    clips = [("a", "speech", "test"), ("b", "music", "train"), ("c", "speech", "train"), ("b", "speech", "train")]
    rows = [{"clip_id": c, "domain": d, "part": p} for c, d, p in [*clips, ("d", "speech", "validation")]]
    files.write_rows(tmp_path / "random-0.csv", rows)
    split = features.read_split(str(tmp_path / "random-0.csv"), "speech", {"c": 3, "b": 1, "a": 0, "d": 2}, 7)
    assert [part.tolist() for part in (split.train, split.validation, split.test)] == [[1, 3], [2], [0]]
    assert split.seed == 7
