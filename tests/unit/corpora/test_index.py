"""The index: what is known of a recording once it was read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from common import one_line
from speechsong.corpora.index import index
from speechsong.corpora.readers import scan
from speechsong.corpora.recordings import Recording, excluded
from speechsong.errors import UserError


def test_index_of_real_originals(shared):
    folder = shared / "data" / "ravdess-original-samples"
    found = scan("talk", {"reader": "ravdess", "root": str(folder), "channel": "speech"})
    rows = index("talk", found)
    assert [r["clip_id"] for r in rows] == [r.clip_id for r in found]
    for row in rows:
        info = soundfile.info(row["path"])
        assert (row["sample_rate"], row["channels"]) == (info.samplerate, info.channels) == (48000, info.channels)
        assert row["seconds"] == pytest.approx(info.duration, abs=1e-6)
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
        assert row["domain"] == "talk"
    # two recordings of RAVDESS are the same bytes
    assert {r["clip_id"]: r["duplicate_of"] for r in rows if r["duplicate_of"]} == {
        "03-01-03-01-02-02-07": "03-01-03-01-02-01-07"
    }


def test_index_stops_at_what_cannot_be_used(tmp_path):
    soundfile.write(tmp_path / "1.wav", 0.1 * np.random.default_rng(0).standard_normal(1000), 16000)
    soundfile.write(tmp_path / "2.wav", np.zeros(1000), 16000)
    recordings = [Recording(str(i), str(tmp_path / f"{i}.wav"), "sad", "ann") for i in (1, 2)]
    with pytest.raises(UserError, match=r"2\.wav: the recording is silent"):
        index("talk", recordings)


def recordings(folder: Path, labels: dict[str, tuple[str, str]]) -> list[Recording]:
    """Make recordings; those whose names begin with the same letter have the same bytes."""
    for name in labels:
        noise = 0.1 * np.random.default_rng(ord(name[0])).standard_normal(1000)
        soundfile.write(folder / f"{name}.wav", np.zeros(1000) if name.startswith("z") else noise, 16000)
    return [Recording(name, str(folder / f"{name}.wav"), *both) for name, both in labels.items()]


def test_all_that_cannot_be_used_is_listed_for_the_key_exclude(tmp_path):
    found = recordings(tmp_path, {'z "1"': ("sad", "ann"), "b": ("sad", "ann"), "z2": ("calm", "ben")})
    Path(found[2].path).write_bytes(b"<html>")
    listing = tmp_path / "logs" / "talk.exclude"
    with pytest.raises(UserError) as caught:
        index("talk", found, listing)
    text = one_line(caught)
    for part in ("is silent", "2 clips of `talk`", str(listing), "`corpora.talk.exclude`"):
        assert part in text
    pasted = yaml.safe_load(f"exclude:\n{listing.read_text()}")
    assert pasted == {"exclude": ['z "1"', "z2"]}
    assert excluded(str(listing)) == {'z "1"', "z2"}
    assert "web page" in listing.read_text()
    assert [row["clip_id"] for row in index("talk", found[1:2])] == ["b"]


@pytest.mark.parametrize(("other", "labels"), [(("calm", "ann"), "`sad`"), (("sad", "ben"), "`ann`")])
def test_the_same_bytes_under_two_labels(tmp_path, other, labels):
    found = recordings(tmp_path, {"a1": ("sad", "ann"), "b1": ("sad", "ann"), "a2": other})
    listing = tmp_path / "talk.exclude"
    with pytest.raises(UserError) as caught:
        index("talk", found, listing)
    text = one_line(caught)
    for part in ("the same bytes", "a1.wav", "a2.wav", labels):
        assert part in text
    assert excluded(str(listing)) == {"a1", "a2"}


def test_the_same_bytes_in_one_class_are_counted(tmp_path, caplog):
    found = recordings(tmp_path, {name: ("sad", "ann") for name in ("a1", "a2", "a3", "b1")})
    with caplog.at_level("INFO", "speechsong"):
        rows = index("talk", found)
    assert [row["duplicate_of"] for row in rows] == ["", "a1", "a1", ""]
    assert "2 of 4 clips have the same bytes" in caplog.text


def test_a_given_split_is_a_column_only_where_there_is_one(tmp_path):
    found = recordings(tmp_path, {"a": ("sad", "ann"), "b": ("sad", "ann")})
    assert all("split" not in row and "session" not in row for row in index("talk", found))
    rows = index("talk", [replace(found[0], split="dev"), found[1]])
    assert [row["split"] for row in rows] == ["dev", ""]
    assert "session" not in rows[0]
