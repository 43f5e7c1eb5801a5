"""`speechsong compare`: the config that two folders stand for, and what is wrong with folders."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile
import yaml

from common import ROOT
from speechsong import cli
from speechsong.errors import UserError
from speechsong.planning.folders import Comparison, prepare
from tiny_encoders import write_encoder


def record(*paths: Path) -> None:
    """Write a recording of half a second of noise to each path, all of them different."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(crc32(bytes(path))).standard_normal(8000)
        soundfile.write(path, noise, 16000)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with an encoder, in which the command is typed."""
    write_encoder(tmp_path / "tiny", "hubert")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(a: str, b: str, encoder: str = "tiny", out: str | None = None):
    return prepare([a, b], encoder, out, ROOT)


def test_two_plain_folders_have_one_label_and_no_speakers(here):
    record(*(here / side / f"{i}.wav" for side in ("talks", "songs") for i in range(3)))
    found = compare("talks", "songs")
    assert found.domains == ["talks", "songs"]
    written = yaml.safe_load(found.config.read_text())
    assert written["emotions"] == ["recordings"]
    assert written["encoders"]["tiny"] == {"checkpoint": str(here / "tiny"), "layers": 2, "window_seconds": 30}
    assert found.config == Path("compare-talks-songs-tiny/config.yaml")
    assert "Who speaks in talks and songs is unknown, which costs: no intervals over people" in found.notes[-1]


def test_subfolders_are_labels_and_those_within_are_speakers(here):
    for side in ("talks", "songs"):
        record(*(here / side / label / who / "1.wav" for label in ("Happy", "angry!") for who in ("Ann", "Bo")))
    record(here / "songs/tired/Ann/1.wav")
    found = compare("talks", "songs", out="mine")
    written = yaml.safe_load(Path("mine/config.yaml").read_text())
    assert written["emotions"] == ["angry", "happy"]
    assert written["speakers"] == "paired"
    assert any(line.startswith("Left out of songs") and line.endswith("tired") for line in found.notes)
    table = Path(written["corpora"]["talks"]["table"]).read_text().splitlines()
    assert table[0] == "path,emotion,speaker"
    assert set(table[1:]) == {
        f"{x}/{who}/1.wav,{y},{who}" for x, y in (("Happy", "happy"), ("angry!", "angry")) for who in ("Ann", "Bo")
    }


def test_the_same_command_again_changes_nothing_and_another_one_is_refused(here):
    record(*(here / side / f"{i}.wav" for side in ("talks", "songs", "others") for i in range(3)))
    compare("talks", "songs", out="mine")
    before = Path("mine/config.yaml").stat().st_mtime_ns
    compare("talks", "songs", out="mine")
    assert Path("mine/config.yaml").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"config\.yaml: is of another comparison .* choose another folder with --out"):
        compare("talks", "others", out="mine")


@pytest.mark.parametrize(
    ("a", "b", "encoder", "said"),
    [
        ("talks", "nowhere", "tiny", "there is no such folder or table; correct its name"),
        ("talks", "./talks", "tiny", "is given twice; give two folders"),
        ("talks", "talks/deep", "tiny", "would be on both sides"),
        ("talks", "empty", "tiny", "holds no recording"),
        ("talks", "labelled", "tiny", "no label in common"),
        ("labelled", "mixed", "tiny", "put all of them into subfolders, or none"),
        ("talks", "songs", "hubret", "neither in the catalogue"),
        ("talks", "songs", "empty", "config.json: there is no such file"),
        ("talks/0.wav", "songs", "tiny", "is a single recording; give a folder"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(here, a, b, encoder, said):
    record(*(here / side / f"{i}.wav" for side in ("talks", "songs", "mixed") for i in range(2)))
    record(here / "labelled/happy/1.wav", here / "mixed/happy/1.wav")
    (here / "empty").mkdir()
    (here / "talks/deep").mkdir()
    before = sorted(here.rglob("*"))
    with pytest.raises(UserError) as error:
        compare(a, b, encoder)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(here.rglob("*")) == before


def test_unknown_speakers_leave_the_plain_distances(here):
    """Where nobody says who speaks, the table of the workflow has nan in the place of what needs speakers."""
    row = "layer,{},a,1.6673,{},{},{}\nlayer,{},all,1.6673,{},{},{}\n"
    comparison = Comparison(here / "config.yaml", here, ["talk", "opera"], "tiny", [])
    header = "over,layer,emotion,fad,fad_corrected,fad_corrected_low,fad_corrected_high\n"
    for numbers, said in ((["nan"] * 3, "1.67"), (["1.5", "1.2", "1.8"], "1.5 [1.2, 1.8]")):
        (here / "fad.csv").write_text(header + row.format(0, *numbers, 0, *numbers))
        text = cli._fads(comparison, here / "fad.csv")
        assert text.splitlines()[-1].split(maxsplit=1) == ["0", said]
        assert ("without intervals" in text) == ("nan" in numbers)
