"""Clips: frames, held-out speakers, and crops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from common import one_line
from speechsong.errors import UserError
from speechsong.pretraining import clips
from speechsong.pretraining.model import Predictor, frames_of


@pytest.mark.parametrize("layout", ["hubert", "wav2vec2", "mert"])
def test_frames_are_those_of_the_encoder(small, layout):
    frames = frames_of(layout)
    assert (frames.hop, frames.least) == (320, 400)
    encoder = Predictor(small(layout=layout), 0).eval().encoder
    for samples in (400, 719, 720, 16_000):
        with torch.no_grad():
            assert frames.count(samples) == encoder(torch.randn(1, samples)).last_hidden_state.shape[1]
    assert frames.count(399) == 0
    assert [frames.count(frames.samples(n)) for n in (1, 7, 49)] == [1, 7, 49]
    assert frames.count(frames.samples(7) - 1) == 6


def test_a_tenth_of_the_speakers_is_held_out():
    people = {f"{i:02d}" for i in range(40)}
    drawn = clips.hold_out(people, 0)
    assert len(drawn) == 4
    assert drawn < people
    assert drawn == clips.hold_out(people, 0)
    assert drawn != clips.hold_out(people, 1)
    assert len(clips.hold_out({"a", "b"}, 0)) == 1


def test_clips_are_normalised_and_short_ones_left_out(spoken):
    frames = frames_of("hubert")
    read = clips.read(spoken, frames, 0.5, {"11"}, "key")
    assert [speaker for speaker, _ in read] == [r.speaker for r in spoken]
    for _, samples in read:
        assert samples.dtype == np.float32
        assert samples.mean() == pytest.approx(0, abs=1e-4)
        assert samples.std() == pytest.approx(1, abs=1e-3)
    lengths = sorted(len(samples) / 16_000 for _, samples in read)
    middle = (lengths[5] + lengths[6]) / 2
    assert len(clips.read(spoken, frames, middle, {"11"}, "key")) == 6


@pytest.mark.parametrize(
    ("seconds", "held_out", "said"),
    [
        (60, {"11"}, "60, but no recording is that long (the longest: "),
        (0.5, {"99"}, "no recording of the speakers held out (99) is that long"),
        (0.5, {str(i) for i in range(11, 17)}, "no recording of any other speaker than those held out (11, "),
    ],
)
def test_too_little_for_a_crop_is_one_line(spoken, seconds, held_out, said):
    with pytest.raises(UserError) as caught:
        clips.read(spoken, frames_of("hubert"), seconds, held_out, "encoders.x.pretrain")
    text = one_line(caught)
    assert text.startswith("config key `encoders.x.pretrain.seconds`: ")
    assert said in text


def test_crops_lie_in_their_clips_and_longer_clips_are_drawn_more_often():
    lengths = np.array([10, 40, 50])
    drawn = clips.draw(lengths, 20_000, 10, np.random.default_rng(0))
    shares = Counter(clip for clip, _ in drawn)
    assert [shares[clip] / 20_000 for clip in range(3)] == pytest.approx([0.1, 0.4, 0.5], abs=0.02)
    for clip, length in enumerate(lengths):
        assert {start for chosen, start in drawn if chosen == clip} == set(range(length - 9))
