"""Log-mel frames are those of a plain Fourier transform; their summaries and moments those of numpy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechsong import acoustic, audio, embeddings, moments
from speechsong.corpora import Recording
from speechsong.files import UserError

BLOCKS = {"01": 0, "02": 1, "03": 0, "04": 2}  # 04 has no recording


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
    found = acoustic.frames(write(tmp_path / "a.wav", samples))
    assert found.shape == (1 + (n - 400) // 160, acoustic.BANDS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(samples.astype(np.float64)), atol=1e-4)


def test_frames_of_a_real_recording(shared):
    path = next((shared / "data" / "ravdess-24k").rglob("03-01-05-02-01-01-01.*"))
    found = acoustic.frames(path)
    np.testing.assert_allclose(found, by_hand(audio.load(path, 16000).astype(np.float64)), atol=2e-3)
    # a shout in a quiet room, and a few moments of digital silence
    assert found.min() == -10 < np.median(found) - 1 < found.max() - 5


def test_loudness_is_kept(tmp_path):
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    one, twice = (acoustic.frames(write(tmp_path / f"{k}.wav", k * tone)) for k in (1, 2))
    loud = one > -6
    assert loud.any()
    np.testing.assert_allclose((twice - one)[loud], np.log10(4), atol=1e-4)
    # and the tone is where it belongs: 15 mel, of 45.2 up to 8 kHz
    assert abs(one.mean(axis=0).argmax() - (15 / 45.25 * 81 - 1)) <= 1


def test_digital_silence_is_the_floor(tmp_path):
    samples = np.concatenate([np.zeros(8000), 0.1 * np.random.default_rng(0).standard_normal(8000)])
    found = acoustic.frames(write(tmp_path / "a.wav", samples))
    assert (found[:47] == np.float32(-10)).all()
    assert (found[51:] > -6).all()


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.just(80)), elements=st.floats(-10, 3, width=32)))
def test_the_summary_is_mean_and_standard_deviation(found):
    summary = acoustic.summary(found)
    assert summary.shape == (acoustic.WIDTH,)
    assert summary.dtype == np.float32
    exact = found.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    np.testing.assert_allclose(summary[:80], exact.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(summary[80:], np.sqrt((centred**2).mean(axis=0)), atol=1e-5)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Recording]:
    folder = tmp_path_factory.mktemp("noises")
    rng = np.random.default_rng(0)
    lengths = [("01", 0.7), ("02", 1.3), ("03", 0.03), ("01", 0.4)]
    return [
        Recording(f"c{i}", write(folder / f"{i}.wav", 0.1 * rng.standard_normal(round(24000 * s)), 24000), "sad", who)
        for i, (who, s) in enumerate(lengths)
    ]


def test_means_and_moments(recordings, tmp_path):
    found = acoustic.extract(recordings, BLOCKS)
    frames = [acoustic.frames(r.path).astype(np.float64) for r in recordings]
    assert found.clips == ["c0", "c1", "c2", "c3"]
    assert found.frames.tolist() == [68, 128, 1, 38]
    np.testing.assert_allclose(found.pooled[0, :, :80], [f.mean(axis=0) for f in frames], atol=1e-6)
    np.testing.assert_allclose(found.pooled[0, :, 80:], [f.std(axis=0) for f in frames], atol=1e-6)
    embeddings.write(tmp_path / "a.h5", found, 0, acoustic.attributes("sad"))
    blocks, clips = embeddings.read_blocks(tmp_path / "a.h5")
    assert clips == 4
    assert blocks.count.tolist() == [68 + 1 + 38, 128, 0]
    for block, members in enumerate(([0, 2, 3], [1])):
        whole = np.concatenate([frames[i] for i in members])
        np.testing.assert_allclose(blocks.mean[block], whole.mean(axis=0), rtol=1e-12)
        scatter = np.cov(whole, rowvar=False, bias=True) * len(whole)
        np.testing.assert_allclose(blocks.scatter[block], scatter, atol=1e-6 * np.trace(scatter))
    assert not blocks.scatter[2].any()
    whole = moments.of_frames(np.concatenate(frames))
    np.testing.assert_allclose(blocks.merge().scatter, whole.scatter, atol=1e-6 * np.trace(whole.scatter))


def test_the_same_bytes_twice(recordings, tmp_path):
    for name in ("a.h5", "b.h5"):
        found = acoustic.extract(recordings, BLOCKS)
        embeddings.write(tmp_path / name, found, 0, acoustic.attributes("sad"))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_clip_too_short_is_named(tmp_path):
    path = write(tmp_path / "short.wav", 0.1 * np.random.default_rng(0).standard_normal(399))
    with pytest.raises(UserError, match=r"short\.wav: 0\.0249 s is too short for one log-mel frame \(0\.0250 s\)"):
        acoustic.extract([Recording("short", path, "sad", "01")], BLOCKS)


def test_a_recording_that_cannot_be_used_is_named(tmp_path):
    path = write(tmp_path / "silent.wav", np.zeros(9000))
    with pytest.raises(UserError, match=r"silent\.wav: the recording is silent"):
        acoustic.frames(path)


def test_it_needs_no_transformers(recordings):
    program = (
        "import sys; from speechsong import acoustic; from speechsong.corpora import Recording; "
        f"acoustic.extract([Recording('a', {recordings[0].path!r}, 'sad', '01')], {{'01': 0}}); "
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
