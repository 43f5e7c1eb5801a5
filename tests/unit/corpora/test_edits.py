"""Edits keep what their closed forms say, and without any nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong.corpora import audio
from speechsong.corpora.edits import NONE, Edits, cut, loud, of_corpus
from speechsong.corpora.recordings import Recording, digest

RATE = 16000


def tone(seconds: float, amplitude: float = 0.5, frequency: float = 440) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def padded(before: float, after: float, level: float = 0.0) -> np.ndarray:
    parts = [tone(before, level), tone(1.0), tone(after, level)]
    return np.concatenate(parts)


@pytest.mark.parametrize(("before", "after"), [(0.5, 0.8), (0.0, 0.3), (0.123, 0.0)])
def test_silence_at_both_ends_is_left_out(before, after):
    start, end = loud(padded(before, after), RATE, 40)
    # a frame of 25 ms that holds 1e-4 of the power of a full one still counts, so up to a frame stays at each end
    assert before - 0.025 <= start / RATE <= before
    assert before + 1.0 <= end / RATE <= before + 1.0 + 0.025


def test_decibels_count_from_the_loudest_frame():
    quiet = padded(0.5, 0.5, level=0.5 * 10 ** (-30 / 20))
    assert loud(quiet, RATE, 35) == (0, len(quiet))
    start, end = loud(quiet, RATE, 25)
    assert 0.47 < start / RATE <= 0.5 and 1.5 <= end / RATE < 1.53
    # the level of the whole does not matter
    assert loud(quiet / 100, RATE, 25) == (start, end)


def test_silence_in_the_middle_stays():
    samples = np.concatenate([tone(0.5), np.zeros(RATE, np.float32), tone(0.5)])
    assert loud(samples, RATE, 40) == (0, len(samples))


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.floats(1, 60))
@settings(max_examples=100, deadline=None)
def test_frames_by_a_loop(n, seed, decibels):
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(n) * np.exp(rng.uniform(-8, 0, n))).astype(np.float32)
    start, end = loud(samples, 8000, decibels)
    assert 0 <= start < end <= n
    if n <= 200:
        assert (start, end) == (0, n)
        return
    starts = [*range(0, n - 200, 80), n - 200]
    power = np.array([(samples[s : s + 200].astype(float) ** 2).sum() for s in starts])
    kept = [s for s, p in zip(starts, power, strict=True) if 10 * np.log10(power.max() / p) <= decibels + 1e-6]
    surely = [s for s, p in zip(starts, power, strict=True) if 10 * np.log10(power.max() / p) <= decibels - 1e-6]
    assert kept[0] <= start <= surely[0]
    assert surely[-1] + 200 <= end <= kept[-1] + 200


def test_the_middle_is_cut_out():
    samples = np.arange(10 * RATE, dtype=np.float32)
    np.testing.assert_array_equal(cut(samples, RATE, Edits(seconds=4)), samples[3 * RATE : 7 * RATE])
    # shorter ones stay as they are
    np.testing.assert_array_equal(cut(samples, RATE, Edits(seconds=11)), samples)


def test_first_trimmed_then_cut():
    samples = padded(3.0, 0.2)
    middle = cut(samples, RATE, Edits(trim=40, seconds=0.5))
    assert len(middle) == RATE // 2
    assert np.abs(middle).max() > 0.49
    # without trimming the middle is silent
    assert np.abs(cut(samples, RATE, Edits(seconds=0.5))).max() == 0


def test_what_is_above_the_bandwidth_is_filtered_out(tmp_path):
    low, high = tone(1.0, 0.3, 1000), tone(1.0, 0.3, 6000)
    soundfile.write(tmp_path / "a.wav", low + high, RATE, subtype="FLOAT")
    heard = audio.load(tmp_path / "a.wav", RATE, Edits(bandwidth=4000))
    middle = slice(2000, -2000)
    assert len(heard) == RATE
    assert np.abs(heard - low)[middle].max() < 1e-3
    # a limit that the recording or the encoder does not reach changes nothing
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", RATE, Edits(bandwidth=8000)), low + high)


def test_without_edits_nothing_changes(tmp_path):
    soundfile.write(tmp_path / "a.wav", padded(0.5, 0.5), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", RATE), padded(0.5, 0.5))
    assert of_corpus({"reader": "table", "table": "x.csv"}) == NONE
    assert of_corpus({"trim": None, "seconds": None}) == NONE


def test_an_edit_makes_what_rests_on_a_recording_again(tmp_path):
    plain = Recording("a", "a.wav", "sad", "ann")
    edited = Recording("a", "a.wav", "sad", "ann", edits=Edits(trim=40.0))
    assert digest([plain]) == digest([Recording("a", "a.wav", "sad", "ann", edits=NONE)])
    assert (
        len({digest([plain]), digest([edited]), digest([Recording("a", "a.wav", "sad", "ann", edits=Edits(50.0))])})
        == 3
    )
