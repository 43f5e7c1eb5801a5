"""What a stage cannot learn from is refused in one line."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from made_stages import CODE, embedded, prepare, stage
from speechsong import files
from speechsong.adaptation import stages
from speechsong.adaptation.domains import pooled_domains
from speechsong.errors import UserError


def test_a_class_without_validation_clips(corpus, tmp_path):
    base, _ = corpus
    rows = files.read_rows(base / "random-0.csv")
    for row in rows:
        if row["part"] == "validation" and row["domain"] == "music" and row["clip_id"].split("-")[2] == CODE["sad"]:
            row["part"] = "train"
    files.write_rows(tmp_path / "random-0.csv", rows)
    what = stages.Stage(**{**vars(stage(corpus, "ws", "music")), "split": str(tmp_path / "random-0.csv")})
    with pytest.raises(UserError, match=r"random-0\.csv: domain `music` has no clip of `sad` in its validation part"):
        prepare(corpus, what)


def test_features_that_are_not_finite_are_refused(corpus, tmp_path):
    paths = [shutil.copy(p, tmp_path / f"{i}.h5") for i, p in enumerate(embedded(corpus[0], "speech", [1, 2]))]
    with h5py.File(paths[4], "a") as h5:
        h5["pooled"][0, 0] = np.nan
    with pytest.raises(UserError, match=r"/4\.h5: holds features that are not finite; delete the file and run again"):
        pooled_domains(stage(corpus, "ws", "speech"), {"speech": paths})


def test_embeddings_of_different_weights_are_refused(corpus, tmp_path):
    paths = [shutil.copy(p, tmp_path / f"{i}.h5") for i, p in enumerate(embedded(corpus[0], "speech", [1, 2]))]
    with h5py.File(paths[4], "a") as h5:
        h5.attrs["weights"] = "0123456789abcdef"
    with pytest.raises(UserError, match=r"/4\.h5: was made with other weights than .*/0\.h5"):
        pooled_domains(stage(corpus, "ws", "speech"), {"speech": paths})
