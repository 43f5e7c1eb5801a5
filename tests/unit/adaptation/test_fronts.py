"""Fronts are kept while there is room; the length of a recording is read once."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from checkpoints import loaded
from speechsong.adaptation.fronts import Fronts
from speechsong.errors import UserError


def test_a_front_is_kept_only_while_there_is_room(folders, tmp_path):
    encoder = loaded(folders["hubert"], "hubert")
    paths = [str(tmp_path / f"{i}.wav") for i in range(3)]
    for path in paths:
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    fronts = Fronts(encoder, paths, 2.5 * 49 * 48 * 4)
    for i in range(3):
        fronts[i]
    assert sorted(fronts.kept) == [0, 1]


def test_the_length_of_a_recording_is_read_once(folders, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(8000), 16000)
    fronts = Fronts(loaded(folders["hubert"], "hubert"), [str(path)], 0)
    assert fronts.seconds(0) == 0.5
    path.unlink()
    assert fronts.seconds(0) == 0.5


def test_a_recording_that_is_none(folders, tmp_path):
    encoder = loaded(folders["hubert"], "hubert")
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF nothing")
    fronts = Fronts(encoder, [str(path)], 0)
    for ask in (fronts.seconds, fronts.__getitem__):
        with pytest.raises(UserError, match=r"a\.wav"):
            ask(0)
