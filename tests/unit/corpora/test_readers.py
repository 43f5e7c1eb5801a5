"""Corpora as lists of recordings: RAVDESS's names and tables; and what is said where something is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common import one_line, touch
from speechsong.corpora.readers import parse_ravdess, scan, survey, used
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


def test_the_sound_of_a_video_is_the_take_of_a_recording():
    with pytest.raises(UserError) as caught:
        parse_ravdess("below/01-01-06-01-02-01-12.wav")
    assert "the same take as 03-01-06-01-02-01-12" in one_line(caught)


# --- scans


def test_scan_keeps_one_channel_sorted(tmp_path):
    touch(tmp_path, "b/03-01-02-01-01-01-02.wav", "c/03-01-02-01-01-01-01.wav", "a/03-02-02-01-01-01-01.wav")
    found = scan("speech", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    assert [r.clip_id for r in found] == ["03-01-02-01-01-01-01", "03-01-02-01-01-01-02"]
    found = scan("music", {"reader": "ravdess", "root": str(tmp_path), "channel": "song"})
    assert [r.path for r in found] == [str(tmp_path / "a/03-02-02-01-01-01-01.wav")]


def ravdess(root: Path, **keys) -> dict:
    return {"reader": "ravdess", "root": str(root), "channel": "speech"} | keys


@pytest.mark.parametrize("place", [0, 60_000, 99_999])
def test_a_clip_that_is_there_twice_is_named(tmp_path, place):
    touch(tmp_path, "a/03-01-02-01-01-01-01.wav", "b/03-01-02-01-01-01-01.wav")
    content = bytearray(100_000)
    for folder, value in (("a", 0), ("b", 1)):
        content[place if place != 60_000 else 50_010] = value
        (tmp_path / folder / "03-01-02-01-01-01-01.wav").write_bytes(content)
    with pytest.raises(UserError) as caught:
        scan("talk", ravdess(tmp_path))
    text = one_line(caught)
    for part in ("corpus `talk`", "there twice", *(str(tmp_path / f / "03-01-02-01-01-01-01.wav") for f in "ab")):
        assert part in text


def test_a_corpus_in_two_copies_is_one(tmp_path):
    # as it is on Kaggle
    names = [f"03-01-02-01-01-01-{i:02d}.wav" for i in range(1, 25)]
    for folder in ("a", "b/c"):
        for name in names:
            touch(tmp_path, f"{folder}/{name}")
            (tmp_path / folder / name).write_text(name * 1000)
    found, (note,) = survey("talk", ravdess(tmp_path))
    assert [r.path for r in found] == [str(tmp_path / "a" / name) for name in names]
    assert "`talk`" in note
    assert "24" in note
    assert str(tmp_path / "b/c" / names[0]) in note


@pytest.mark.parametrize("join", [os.link, os.symlink])
def test_a_file_under_two_names(tmp_path, join):
    touch(tmp_path, "03-01-02-01-01-01-01.wav")
    join(tmp_path / "03-01-02-01-01-01-01.wav", tmp_path / "03-01-02-01-01-02-01.wav")
    found, (note,) = survey("talk", ravdess(tmp_path))
    # RAVDESS itself has two takes of the same bytes
    assert [r.take for r in found] == ["01", "02"]
    assert "1 files are there under two names" in note
    join(tmp_path / "03-01-02-01-01-01-01.wav", tmp_path / "03-01-03-01-01-01-01.wav")
    with pytest.raises(UserError) as caught:
        scan("talk", ravdess(tmp_path))
    text = one_line(caught)
    for part in ("two labels", "`calm`", "`happy`", "03-01-02-01-01-01-01.wav", "03-01-03-01-01-01-01.wav"):
        assert part in text


def test_labels_are_translated_and_clips_left_out(tmp_path):
    touch(tmp_path, *(f"03-01-0{e}-01-01-01-01.wav" for e in (2, 5, 6)))
    found = scan("talk", ravdess(tmp_path, labels={"angry": "anger"}, exclude=["03-01-02-01-01-01-01"]))
    assert [r.emotion for r in found] == ["anger", "fearful"]
    with pytest.raises(UserError, match="no clip `03-01-02-01-01-01-99`; did you mean") as caught:
        scan("talk", ravdess(tmp_path, exclude=["03-01-02-01-01-01-99"]))
    one_line(caught)


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
