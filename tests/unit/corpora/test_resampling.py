"""Odd sample rates: the same filter as torchaudio's, in memory that does not depend on the rate."""

from __future__ import annotations

import math
import resource

import numpy as np
import pytest
import torch
from torchaudio.functional import resample

from speechsong.corpora import audio, resampling


@pytest.mark.parametrize(
    ("rate", "target"), [(44100, 16000), (48000, 16000), (16000, 24000), (22050, 24000), (8000, 16000), (11025, 16000)]
)
def test_torchaudio_gives_the_same(rate, target):
    samples = np.random.default_rng(rate).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    options = {"lowpass_filter_width": 64, "rolloff": resampling.ROLLOFF, "resampling_method": "sinc_interp_kaiser"}
    theirs = resample(torch.from_numpy(samples), rate, target, beta=resampling.BETA, **options).numpy()
    ours = resampling.in_steps(samples, rate, target)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    # their phases are fractions in float32
    np.testing.assert_allclose(ours, theirs, atol=5e-5)


@pytest.mark.parametrize("target", [16000, 24000])
def test_usual_rates_go_the_usual_way(target):
    usual = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 37800, 44100, 48000, 88200, 96000, 192000]
    assert not any(resampling.needs_steps(rate, target) for rate in usual)
    assert all(resampling.needs_steps(rate, target) for rate in (44101, 47999, 15999, 999_983))


@pytest.mark.parametrize("rate", [44101, 47999, 15991, 999_983])
@pytest.mark.parametrize("frequency", [100, 1234.5, 6800])
def test_a_tone_at_an_odd_rate(rate, frequency):
    time = np.arange(rate // 4) / rate
    hann = np.hanning(len(time))
    found = resampling.in_steps((0.4 * hann * np.sin(2 * np.pi * frequency * time)).astype(np.float32), rate, 16000)
    assert len(found) == math.ceil(len(time) * 16000 / rate)
    at = np.arange(len(found)) / 16000
    expected = 0.4 * np.interp(at, time, hann) * np.sin(2 * np.pi * frequency * at)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_long_recording_is_joined_without_a_seam(monkeypatch):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000).astype(np.float32)
    whole = resampling.in_steps(samples, 44101, 16000)
    monkeypatch.setattr(resampling, "_BLOCK", 2**12)
    np.testing.assert_array_equal(resampling.in_steps(samples, 44101, 16000), whole)


@pytest.mark.parametrize("name", ["rate_44101", "rate_47999"])
def test_the_memory_of_an_odd_rate(shared, name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = audio.load(shared / f"cases/audio/{name}.wav", 16000)
    # kilobytes; the table of filters alone would be 2.8 GB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    assert len(found) == 4800
