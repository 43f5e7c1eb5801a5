"""The index: what is known of a recording once it was read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechsong.corpora.index import index
from speechsong.corpora.readers import scan
from speechsong.corpora.recordings import Recording
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
