"""`speechsong.load` gives what is in the files, and says what there is instead of what there is not."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import speechsong
from common import ROOT
from speechsong import files
from speechsong.embeddings import store
from speechsong.errors import UserError

EMOTIONS = ["sad", "happy"]
COLUMNS = ("path", "gender", "statement", "take", "intensity")


@pytest.fixture
def results(tmp_path):
    """The results of a run: two encoders, two domains with clips of the same names, layers 0 to 6 of 4 numbers."""
    rng = np.random.default_rng(0)
    for domain in ("speech", "music"):
        rows = []
        for emotion in EMOTIONS:
            clips = [f"{emotion}{i}" for i in range(3)]
            rows += [
                {"clip_id": clip, "domain": domain, "emotion": emotion, "speaker": f"0{i}"} | dict.fromkeys(COLUMNS, "")
                for i, clip in enumerate(clips)
            ]
            pooled = rng.standard_normal((7, 3, 4)).astype(np.float32)
            blocks = {"count": np.full(3, 5), "mean": np.zeros((7, 3, 4)), "scatter": np.zeros((7, 3, 10), np.float32)}
            made = store.Embeddings(clips, np.full(3, 5), pooled, **blocks)
            for model in ("hubert", "mert"):
                for layer in range(7):
                    path = tmp_path / f"results/embeddings/{model}/{domain}/layer{layer:02d}/{emotion}.h5"
                    store.write(path, made, layer, {"model": model, "domain": domain, "emotion": emotion})
        # in another order than that of the files
        files.write_rows(tmp_path / f"results/clips/{domain}.csv", rows[::-1])
    return tmp_path / "results"


def test_means_and_labels_are_those_of_the_files(results):
    table = speechsong.load(results, model="mert", layer=3)
    assert table.shape == (12, 4)
    assert table.to_numpy().dtype == np.float32
    assert table.index.names[:4] == ["clip_id", "domain", "emotion", "speaker"]
    for domain in ("speech", "music"):
        for emotion in EMOTIONS:
            clips, pooled = store.read_pooled(results / f"embeddings/mert/{domain}/layer03/{emotion}.h5")
            for i, (clip, mean) in enumerate(zip(clips, pooled, strict=True)):
                row = table.xs((clip, domain, emotion, f"0{i}"), level=[0, 1, 2, 3])
                np.testing.assert_array_equal(row.to_numpy(), mean[None])
    one = speechsong.load(str(results), model="mert", layer=3, domain="music")
    np.testing.assert_array_equal(one.to_numpy(), table.xs("music", level="domain").to_numpy())


def test_the_example_of_the_documentation(results, monkeypatch):
    text = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import speechsong\n.*?)```", text, re.DOTALL)
    monkeypatch.chdir(results.parent)
    found: dict = {}
    exec(example, found)
    assert found["features"].shape == (6, 4)
    assert list(found["emotions"]).count("sad") == 3
    assert len(found["happy"]) == 6
    assert found["centres"].shape == (4, 4)
    assert found["centres"].loc[("speech", "sad")].to_numpy() == pytest.approx(
        found["features"][found["emotions"] == "sad"].mean(axis=0), rel=1e-5
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "bert"}, "model cannot be 'bert'; {}/embeddings has hubert, mert"),
        ({"layer": 7}, "layer cannot be 7; {}/embeddings/hubert/music has 0, 1, 2, 3, 4, 5, 6"),
        ({"layer": "06"}, "layer cannot be '06'; {}/embeddings/hubert/music has 0, 1, 2, 3, 4, 5, 6"),
        ({"domain": "song"}, "domain cannot be 'song'; {}/embeddings/hubert has music, speech"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(results, asked, said):
    with pytest.raises(UserError) as error:
        speechsong.load(results, **{"model": "hubert", "layer": 6} | asked)
    assert str(error.value) == said.format(results)


def test_a_folder_without_results(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="holds no embeddings; name the `results` of a run"):
            speechsong.load(place, model="hubert", layer=6)


def test_results_that_are_not_complete(results):
    (results / "embeddings/hubert/music/layer06/sad.h5").unlink()
    with pytest.raises(UserError, match=r"music/layer06/sad.h5: missing; make it with `snakemake"):
        speechsong.load(results, model="hubert", layer=6)
    (results / "clips/speech.csv").unlink()
    with pytest.raises(UserError, match=r"clips/speech.csv: missing; make it with `snakemake"):
        speechsong.load(results, model="hubert", layer=6, domain="speech")


def test_clips_of_another_run(results):
    index = results / "clips/speech.csv"
    rows = [row | {"clip_id": row["clip_id"].replace("sad1", "sad9")} for row in files.read_rows(index)]
    files.write_rows(index, rows)
    with pytest.raises(UserError, match="clip `sad1` is not of this emotion in "):
        speechsong.load(results, model="hubert", layer=6, domain="speech")


def test_emotions_that_the_run_no_longer_has_are_left_out(results):
    index = results / "clips/speech.csv"
    files.write_rows(index, [row for row in files.read_rows(index) if row["emotion"] == "sad"])
    table = speechsong.load(results, model="hubert", layer=6, domain="speech")
    assert set(table.index.get_level_values("emotion")) == {"sad"}


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, speechsong; print([m for m in ('pandas', 'numpy', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
