"""Corpora as lists of recordings: RAVDESS's names and tables; and what is said where something is wrong."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from common import one_line, touch
from speechsong.corpora.readers import parse_ravdess, read_table, scan, used
from speechsong.corpora.recordings import Recording
from speechsong.errors import UserError

# --- RAVDESS names


@pytest.mark.parametrize(
    ("name", "channel", "fields"),
    [
        ("03-01-01-01-01-01-01.wav", "speech", ("neutral", "01", "male", "01", "01", "normal")),
        ("03-01-02-02-02-01-24.wav", "speech", ("calm", "24", "female", "02", "01", "strong")),
        ("03-02-03-01-01-02-17.flac", "song", ("happy", "17", "male", "01", "02", "normal")),
        ("03-02-04-02-02-02-10.WAV", "song", ("sad", "10", "female", "02", "02", "strong")),
        ("03-01-05-01-02-01-09.wav", "speech", ("angry", "09", "male", "02", "01", "normal")),
        ("03-01-06-01-02-01-12.wav", "speech", ("fearful", "12", "female", "02", "01", "normal")),
        ("03-01-07-01-02-01-12.wav", "speech", ("disgust", "12", "female", "02", "01", "normal")),
        ("03-01-08-01-02-01-12.wav", "speech", ("surprised", "12", "female", "02", "01", "normal")),
    ],
)
def test_names(name, channel, fields):
    path = f"some where/Actor_01/{name}"
    found, r = parse_ravdess(path)
    assert found == channel
    assert (r.emotion, r.speaker, r.gender, r.statement, r.take, r.intensity) == fields
    assert (r.clip_id, r.path) == (Path(name).stem, path)


@pytest.mark.parametrize(
    "stem",
    [
        "03-01-06-01-02-01",
        "03-01-06-01-02-01-12-01",
        "3-1-6-1-2-1-12",
        "01-01-06-01-02-01-12",  # video and audio
        "02-01-06-01-02-01-12",  # video only
        "03-03-06-01-02-01-12",
        "03-01-09-01-02-01-12",
        "03-01-00-01-02-01-12",
        "03-01-06-03-02-01-12",
        "03-01-06-01-03-01-12",
        "03-01-06-01-02-03-12",
        "03-01-06-01-02-01-25",
        "03-01-06-01-02-01-00",
        "03-01-06-01-02-01-12 (1)",
        "song",
        "",
    ],
)
def test_other_names_are_refused(stem):
    with pytest.raises(UserError) as caught:
        parse_ravdess(f"below/{stem}.wav")
    text = one_line(caught)
    assert text.startswith(f"below/{stem}.wav: not the name of an audio-only RAVDESS recording")
    assert "reader: table" in text


# --- scans


def test_scan_keeps_one_channel_sorted(tmp_path):
    touch(tmp_path, "b/03-01-02-01-01-01-02.wav", "c/03-01-02-01-01-01-01.wav", "a/03-02-02-01-01-01-01.wav")
    found = scan("speech", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    assert [r.clip_id for r in found] == ["03-01-02-01-01-01-01", "03-01-02-01-01-01-02"]
    found = scan("music", {"reader": "ravdess", "root": str(tmp_path), "channel": "song"})
    assert [r.path for r in found] == [str(tmp_path / "a/03-02-02-01-01-01-01.wav")]


@pytest.mark.parametrize("other", ["b/03-01-02-01-01-01-01.wav", "a/03-01-02-01-01-01-01.flac"])
def test_a_clip_that_is_there_twice_is_named(tmp_path, other):
    touch(tmp_path, "a/03-01-02-01-01-01-01.wav", other)
    with pytest.raises(UserError) as caught:
        scan("talk", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    text = one_line(caught)
    for part in ("corpus `talk`", "there twice", str(tmp_path / other), str(tmp_path / "a/03-01-02-01-01-01-01.wav")):
        assert part in text


def test_one_stray_name_stops_the_scan(tmp_path):
    touch(tmp_path, "a/03-01-02-01-01-01-01.wav", "a/mix.wav")
    with pytest.raises(UserError, match=r"a/mix\.wav: not the name"):
        scan("speech", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})


def test_a_run_uses_the_chosen_emotions_of_people_in_both_domains(tmp_path):
    touch(tmp_path, *(f"03-01-{e}-01-01-01-0{i}.wav" for e in ("02", "03") for i in range(1, 6)))
    touch(tmp_path, *(f"03-02-{e}-01-01-01-0{i}.wav" for e in ("02", "03") for i in (2, 4)))
    entries = {
        d: {"reader": "ravdess", "root": str(tmp_path), "channel": c} for d, c in (("a", "speech"), ("b", "song"))
    }
    config = {"domains": ["a", "b"], "corpora": entries, "emotions": ["happy"], "speakers": "paired"}
    found = used(config)
    assert {d: [r.clip_id for r in some] for d, some in found.items()} == {
        d: [f"03-{c}-03-01-01-01-0{i}" for i in (2, 4)] for d, c in (("a", "01"), ("b", "02"))
    }
    assert len(used(config | {"speakers": "independent"})["a"]) == 5


# --- tables


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "corpus.csv").write_text(text, encoding=encoding)
    return str(folder / "corpus.csv")


def test_a_table_with_three_columns(tmp_path):
    touch(tmp_path, "x/1.wav", "x/2.flac")
    found = read_table(table(tmp_path, "path,emotion,speaker\nx/1.wav,sad,ann\nx/2.flac,calm,ben\n"), None)
    assert found == [
        Recording("x/1", str(tmp_path / "x/1.wav"), "sad", "ann"),
        Recording("x/2", str(tmp_path / "x/2.flac"), "calm", "ben"),
    ]


def test_a_table_with_every_column_in_another_order(tmp_path):
    touch(tmp_path, "1.wav")
    header = "note,speaker,gender,take,clip_id,intensity,emotion,statement,path"
    found = read_table(table(tmp_path, f"{header}\nhm,ann,female,02,first,strong,sad,kids,1.wav\n"), None)
    assert found == [
        Recording("first", str(tmp_path / "1.wav"), "sad", "ann", "female", "kids", "02", "strong"),
    ]


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path):
    touch(tmp_path, "1.wav")
    text = "path,emotion,speaker\r\n1.wav,sad,ann\r\n"
    assert len(read_table(table(tmp_path, text, "utf-8-sig"), None)) == 1


@pytest.mark.parametrize(
    "name", ["two words.wav", "comma, and.wav", 'a "quote".wav', "Jürgen/лето/夏.wav", "a.b.c.wav", " lead.wav"]
)
def test_names_of_any_kind(tmp_path, name):
    touch(tmp_path, name)
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "emotion", "speaker"], [name, "sad", "Zoë, the 1st"]])
    (found,) = read_table(str(tmp_path / "t.csv"), None)
    assert (found.path, found.speaker) == (str(tmp_path / name), "Zoë, the 1st")
    assert found.clip_id == name.removesuffix(".wav")


def test_paths_start_from_the_table_from_root_or_nowhere(tmp_path):
    touch(tmp_path, "lists/1.wav", "audio/1.wav", "far/1.wav")
    (tmp_path / "lists/t.csv").write_text("path,emotion,speaker\n1.wav,sad,ann\n")
    listed, rooted = (
        read_table(str(tmp_path / "lists/t.csv"), root)[0].path for root in (None, str(tmp_path / "audio"))
    )
    assert (listed, rooted) == (str(tmp_path / "lists/1.wav"), str(tmp_path / "audio/1.wav"))
    (tmp_path / "lists/t.csv").write_text(f"path,emotion,speaker\n{tmp_path}/far/1.wav,sad,ann\n")
    for root in (None, str(tmp_path / "audio")):
        assert read_table(str(tmp_path / "lists/t.csv"), root)[0].path == str(tmp_path / "far/1.wav")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,emotion\n1.wav,sad\n", ["column speaker is missing"]),
        ("file,label\n1.wav,sad\n", ["column emotion, path, speaker is missing"]),
        ("path;emotion;speaker\n1.wav;sad;ann\n", ["column emotion, path, speaker is missing"]),
        ("", ["column emotion, path, speaker is missing"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n1.wav,,ann\n", ["line 3", "column emotion is empty"]),
        ("path,emotion,speaker\n1.wav,sad,  \n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n1.wav,sad\n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n,sad,ann\n", ["line 2", "column path is empty"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n2.wav,sad,ann\n", ["line 3", "there is no file", "2.wav"]),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, parts):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_table(path, None)
    found = one_line(caught)
    for part in (path, *parts):
        assert part in found


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: there is no such table.*`corpora\.\*\.table`") as caught:
        read_table(str(tmp_path / "none.csv"), None)
    one_line(caught)


def test_a_table_that_is_not_utf8_is_named(tmp_path):
    # as spreadsheets still save it
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,Zoë\n", "latin-1")
    with pytest.raises(UserError) as caught:
        read_table(path, None)
    assert path in one_line(caught)


def test_a_clip_twice_in_a_table(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")
    path = table(tmp_path, "path,emotion,speaker,clip_id\n1.wav,sad,ann,a\n2.wav,sad,ann,a\n")
    with pytest.raises(UserError, match=r"corpus `talk`: clip a is there twice"):
        scan("talk", {"reader": "table", "table": path})


def test_a_table_is_scanned_sorted_by_clip(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "3.wav")
    path = table(tmp_path, "path,emotion,speaker\n3.wav,sad,ann\n1.wav,calm,ben\n2.wav,calm,ben\n")
    assert [r.clip_id for r in scan("talk", {"reader": "table", "table": path})] == ["1", "2", "3"]


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "03-01-06-01-02-01-12.wav").touch()
    with pytest.raises(UserError) as caught:
        scan("talk", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    text = str(caught.value)
    # it can be printed
    assert text.encode().isascii()
    assert text.startswith("corpus `talk`: ")
    assert "caf\\udce9" in text
    assert text.endswith("not UTF-8; rename it")
