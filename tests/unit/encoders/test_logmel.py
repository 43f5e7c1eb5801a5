"""Log-mel frames are those of a plain Fourier transform; their summaries are those of numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechsong.corpora import audio
from speechsong.encoders import logmel
from speechsong.errors import UserError


def by_hand(samples: np.ndarray) -> np.ndarray:
    """Frames (T, 80) in float64: a Hann window, a transform of each, and the filters that transformers makes."""
    starts = range(0, len(samples) - 399, 160)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.stack([np.abs(np.fft.rfft(hann * samples[i : i + 400])) ** 2 for i in starts])
    return np.log10(np.maximum(power @ transformers.WhisperFeatureExtractor().mel_filters, 1e-10))


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> str:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)


@pytest.mark.parametrize("n", [400, 559, 560, 4321, 32000])
def test_frames_are_those_of_a_fourier_transform(tmp_path, n):
    rng = np.random.default_rng(n)
    samples = np.convolve(rng.standard_normal(n), rng.uniform(0, 1, 9), "same").astype(np.float32) / 20
    found = logmel.frames(write(tmp_path / "a.wav", samples))
    assert found.shape == (1 + (n - 400) // 160, logmel.BANDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(samples.astype(np.float64)), atol=1e-4)


def test_frames_of_a_real_recording(shared):
    path = next((shared / "data" / "ravdess-24k").rglob("03-01-05-02-01-01-01.*"))
    found = logmel.frames(path)
    np.testing.assert_allclose(found, by_hand(audio.load(path, 16000).astype(np.float64)), atol=2e-3)
    # a shout in a quiet room, and a few moments of digital silence
    assert found.min() == -10 < np.median(found) - 1 < found.max() - 5


def test_loudness_is_kept(tmp_path):
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    one, twice = (logmel.frames(write(tmp_path / f"{k}.wav", k * tone)) for k in (1, 2))
    loud = one > -6
    assert loud.any()
    np.testing.assert_allclose((twice - one)[loud], np.log10(4), atol=1e-4)
    # and the tone is where it belongs: 15 mel, of 45.2 up to 8 kHz
    assert abs(one.mean(axis=0).argmax() - (15 / 45.25 * 81 - 1)) <= 1


def test_digital_silence_is_the_floor(tmp_path):
    samples = np.concatenate([np.zeros(8000), 0.1 * np.random.default_rng(0).standard_normal(8000)])
    found = logmel.frames(write(tmp_path / "a.wav", samples))
    assert (found[:47] == np.float32(-10)).all()
    assert (found[51:] > -6).all()


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.just(80)), elements=st.floats(-10, 3, width=32)))
def test_the_summary_is_mean_and_standard_deviation(found):
    summary = logmel.summary(found)
    assert summary.shape == (logmel.WIDTH,)
    assert summary.dtype == np.float32
    exact = found.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    np.testing.assert_allclose(summary[:80], exact.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(summary[80:], np.sqrt((centred**2).mean(axis=0)), atol=1e-5)


def test_a_recording_that_cannot_be_used_is_named(tmp_path):
    path = write(tmp_path / "silent.wav", np.zeros(9000))
    with pytest.raises(UserError, match=r"silent\.wav: the recording is silent"):
        logmel.frames(path)
