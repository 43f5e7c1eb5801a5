"""What a stage cannot learn from is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

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
    shutil.copytree(corpus[0] / "tiny", tmp_path / "tiny")
    paths = embedded(tmp_path, "speech", [1, 2])
    with h5py.File(paths[4], "a") as h5:
        h5["pooled"][0, 0] = np.nan
    with pytest.raises(
        UserError, match=r"/layer02/happy\.h5: `pooled` holds values that are not finite; delete the file and run again"
    ):
        pooled_domains(stage(corpus, "ws", "speech", layers=[1, 2]), {"speech": paths})


def test_embeddings_of_different_weights_are_refused(corpus, tmp_path):
    shutil.copytree(corpus[0] / "tiny", tmp_path / "tiny")
    paths = embedded(tmp_path, "speech", [1, 2])
    with h5py.File(paths[4], "a") as h5:
        h5.attrs["weights"] = "0123456789abcdef"
        del h5.attrs["digest"]
    with pytest.raises(UserError, match=r"/layer02/happy\.h5: was made with other weights than .*/layer01/calm\.h5"):
        pooled_domains(stage(corpus, "ws", "speech", layers=[1, 2]), {"speech": paths})


def test_swapped_files_are_refused(corpus, tmp_path):
    shutil.copytree(corpus[0] / "tiny", tmp_path / "tiny")
    paths = embedded(tmp_path, "speech", [1, 2, 3])
    (tmp_path / "x").write_bytes(Path(paths[0]).read_bytes())
    shutil.move(paths[3], paths[0])
    shutil.move(tmp_path / "x", paths[3])
    with pytest.raises(UserError, match=r"says that it is tiny/speech/layer0[12]/calm\.h5, not tiny/speech/layer0[12]"):
        pooled_domains(stage(corpus, "ws", "speech"), {"speech": paths})


def test_layers_come_in_any_order(corpus):
    paths = embedded(corpus[0], "speech", [1, 2, 3])
    for approach in ("baseline", "ws"):
        forth, back = (
            pooled_domains(stage(corpus, approach, "speech"), {"speech": some})["speech"]
            for some in (paths, paths[::-1])
        )
        assert forth.clips == back.clips
        assert np.array_equal(forth.inputs, back.inputs)
