"""What peft is said to cost: proportional to audio or windows, whatever state the encoder's files are in."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile

from speechsong.planning import costs

ENCODER = {"layers": 12, "window_seconds": 30}


@pytest.fixture
def paths(tmp_path):
    made = [str(tmp_path / f"{seconds}.wav") for seconds in (1, 2)]
    for seconds, path in enumerate(made, start=1):
        soundfile.write(path, np.zeros(16000 * seconds), 16000)
    return made


def test_a_pipe_does_not_keep_the_estimate_waiting(tmp_path, paths):
    (tmp_path / "config.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe.wav")
    hours = [costs.peft_hours(ENCODER, tmp_path, [*paths, str(tmp_path / name)], 0.8) for name in ("pipe.wav", "none")]
    assert hours[0] == hours[1]


def test_hours_follow_the_audio_and_the_width(tmp_path, paths):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 1536}))
    expected = 0.8 * 3 * 12 * 4 * costs.BLOCK_SECONDS / 3600
    assert costs.peft_hours(ENCODER, tmp_path, paths, 0.8) == pytest.approx(expected)
    # what is not there yet is taken as long as a clip of RAVDESS
    more = costs.peft_hours(ENCODER, tmp_path, [*paths, "later.wav"], 0.8)
    assert more == pytest.approx(expected * (3 + costs.CLIP_SECONDS) / 3)


def test_the_width_of_an_encoder_that_is_still_to_be_pretrained_is_known(tmp_path, paths):
    whole = costs.peft_hours(ENCODER, tmp_path, paths, 1)
    narrow = costs.peft_hours(ENCODER | {"pretrain": {"width": 96}}, tmp_path, paths, 1)
    assert narrow == pytest.approx(whole / 64)


def test_whisper_works_on_windows(tmp_path, paths):
    (tmp_path / "config.json").write_text(json.dumps({"d_model": 768}))
    assert costs.peft_hours(ENCODER, tmp_path, paths, 1) == pytest.approx(60 * 12 * costs.BLOCK_SECONDS / 3600)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"hidden_size": "wide"}', None])
def test_a_broken_config_is_as_one_that_is_not_there(tmp_path, paths, content):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    assert costs.peft_hours(ENCODER, tmp_path, paths, 1) == pytest.approx(3 * 12 * costs.BLOCK_SECONDS / 3600)


def test_every_recording_is_opened_once(tmp_path, paths, monkeypatch):
    opened, plain = [], soundfile.info

    def info(path):
        opened.append(path)
        return plain(path)

    monkeypatch.setattr(soundfile, "info", info)
    for _ in range(3):
        costs.peft_hours(ENCODER, tmp_path, paths, 1)
    assert opened == paths


def test_less_than_two_hours_are_told_in_minutes():
    assert [costs.in_words(h) for h in (0.1, 1.5, 2.4, 40)] == ["6 minutes", "90 minutes", "2 hours", "40 hours"]
