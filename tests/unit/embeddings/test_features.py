"""Features are the clip means of the files, emotion after emotion, and splits are rows of them."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest

from made_files import write_embeddings
from mutations import flipped, outcomes
from speechsong import files
from speechsong.corpora.splits import PARTS
from speechsong.embeddings import features
from speechsong.errors import UserError


@pytest.fixture
def paths(tmp_path, extracted) -> dict[str, str]:
    """Files of two emotions, which share the clips of one."""
    parts = {"sad": slice(0, 5), "calm": slice(5, 8)}
    return {
        emotion: write_embeddings(
            tmp_path,
            dataclasses.replace(
                extracted,
                clips=extracted.clips[rows],
                frames=extracted.frames[rows],
                pooled=extracted.pooled[:, rows],
            ),
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
    assert str(caught.value) == (
        f"{paths['calm']}: `pooled` holds values that are not finite; delete the file and run again"
    )


def test_a_split_is_rows_of_one_domain(tmp_path):
    clips = [("a", "speech", "test"), ("b", "music", "train"), ("c", "speech", "train"), ("b", "speech", "train")]
    rows = [{"clip_id": c, "domain": d, "part": p} for c, d, p in [*clips, ("d", "speech", "validation")]]
    files.write_rows(tmp_path / "random-0.csv", rows)
    split = features.read_split(str(tmp_path / "random-0.csv"), "speech", {"c": 3, "b": 1, "a": 0, "d": 2}, 7)
    assert [part.tolist() for part in (split.train, split.validation, split.test)] == [[1, 3], [2], [0]]
    assert split.seed == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "does not have every clip of `speech` once"),
        (lambda rows: [*rows, rows[0]], "does not have every clip of `speech` once"),
        (lambda rows: [*rows, rows[0] | {"clip_id": "z"}], "clip `z` of `speech`, part `train`, is not of this run"),
        (lambda rows: [rows[0] | {"part": "dev"}, *rows[1:]], "clip `a` of `speech`, part `dev`, is not of this run"),
        (lambda rows: [rows[0] | {"part": "test"}, *rows[1:]], "speaker `ann` of `speech` is in two parts"),
        (lambda rows: [{"clip": "a"}], "does not have every clip of `speech` once"),
    ],
)
def test_a_split_that_was_changed_is_refused(tmp_path, change, message):
    parts = [("a", "ann", "train"), ("b", "ann", "train"), ("c", "bea", "validation"), ("d", "cid", "test")]
    rows = [{"clip_id": c, "domain": "speech", "speaker": s, "part": p} for c, s, p in parts]
    path = tmp_path / "speaker-0.csv"
    row_of = {c: i for i, (c, *_) in enumerate(parts)}
    files.write_rows(path, rows)
    features.read_split(str(path), "speech", row_of, 0)
    files.write_rows(path, change(rows))
    with pytest.raises(UserError) as caught:
        features.read_split(str(path), "speech", row_of, 0)
    assert str(caught.value) == f"{path}: {message}; delete the file and run again"


def test_no_flipped_bit_gives_another_split(tmp_path):
    parts = [(f"clip-{i:02d}", f"{i // 5:02d}", PARTS[min(i // 10, 2)]) for i in range(30)]
    path = tmp_path / "speaker-0.csv"
    rows = [{"clip_id": c, "domain": d, "speaker": s, "part": p} for d in ("speech", "song") for c, s, p in parts]
    files.write_rows(path, rows)
    row_of = {clip: i for i, (clip, *_) in enumerate(parts)}

    def read() -> list:
        splits = [features.read_split(str(path), domain, row_of, 0) for domain in ("speech", "song")]
        return [[part.tolist() for part in (s.train, s.validation, s.test)] for s in splits]

    found = outcomes(path, flipped(path.read_bytes(), 200), read)
    assert (found["silent"], found["traceback"]) == (0, 0), found
    assert found["one line"] > 150
