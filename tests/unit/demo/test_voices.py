"""The demo's voices are valid, repeatable and tell emotions apart."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import decimate

from speechsong.demo.voices import recordings, write_voice, write_voices

CHANNELS = ("speech", "song")
SECONDS = {"speech": (0.9, 1.6), "song": (1.0, 2.0)}
HOP, FRAME, RATE = 80, 400, 8000  # of the pitch tracker: 10 ms, 50 ms


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("voices")
    for channel in CHANNELS:
        write_voices(root, channel)
    return root


@pytest.fixture(scope="module")
def heard(corpus):
    """Features and pitch wobble of every recording, by channel."""
    return {channel: [listen(corpus / name) for name in recordings(channel)] for channel in CHANNELS}


def codes(name):
    return [int(part) for part in Path(name).stem.split("-")]


def pitch_track(samples):
    """Semitones above 1 Hz, a value a 10 ms frame; NaN where the autocorrelation shows no period."""
    frames = sliding_window_view(decimate(samples, 6), FRAME)[::HOP]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, 2 * FRAME)) ** 2
    # below 1 kHz only: harmonics at the formants invite octave errors
    power[:, np.fft.rfftfreq(2 * FRAME, 1 / RATE) > 1000] = 0
    # divided by the window's own, or long lags would lose by being long
    own = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(FRAME), 2 * FRAME)) ** 2)[:FRAME]
    correlation = np.fft.irfft(power)[:, :FRAME] / own.clip(1e-3)
    lags = np.arange(RATE // 500, RATE // 65)
    found = correlation[:, lags]
    # the shortest lag that does nearly as well as the best one
    good = found > 0.92 * found.max(axis=1, keepdims=True)
    peak = good & (found >= correlation[:, lags - 1]) & (found >= correlation[:, lags + 1])
    first = peak.argmax(axis=1)
    rows = np.arange(len(found))
    before, at, after = (correlation[rows, lags[first] + step] for step in (-1, 0, 1))
    shift = 0.5 * (before - after) / np.minimum(before - 2 * at + after, -1e-12)
    energy = correlation[:, 0]
    voiced = peak.any(axis=1) & (at > 0.6 * energy) & (energy > 0.02 * energy.max())
    return 12 * np.log2(RATE / np.where(voiced, lags[first] + shift, np.nan))


def listen(path):
    samples, rate = soundfile.read(path, always_2d=True)
    samples = samples.mean(axis=1)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    low = frequency < 4000
    pitch = pitch_track(samples)
    windows = sliding_window_view(pitch, 12)
    windows = windows[np.isfinite(windows).all(axis=1)]
    return {
        "features": [
            np.log(np.mean(samples**2)),
            np.log(np.sum((frequency * spectrum)[low]) / spectrum[low].sum()),
            np.log(spectrum[(frequency > 1000) & low].sum() / spectrum[frequency < 1000].sum()),
            np.nanmedian(pitch),
            np.nanpercentile(pitch, 90) - np.nanpercentile(pitch, 10),
            len(samples) / rate,
        ],
        "wobble": np.median(windows.std(axis=1)),
        "pitch": np.nanmedian(pitch),
        "voiced": np.isfinite(pitch).mean(),
    }


def leave_one_actor_out(features, emotions, actors):
    """Accuracy of a ridge classifier that never heard the actor."""
    classes = np.unique(emotions)
    correct = 0
    for actor in np.unique(actors):
        train, test = actors != actor, actors == actor
        mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
        inputs = np.column_stack([(features - mean) / spread, np.ones(len(features))])
        targets = (emotions[train, None] == classes).astype(float)
        gram = inputs[train].T @ inputs[train] + np.eye(inputs.shape[1])
        scores = inputs[test] @ np.linalg.solve(gram, inputs[train].T @ targets)
        correct += np.sum(classes[scores.argmax(axis=1)] == emotions[test])
    return correct / len(emotions)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_import_is_light():
    code = (
        "import sys, speechsong.demo.voices, speechsong.demo.encoders; "
        "print([m for m in ('torch', 'transformers', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(("channel", "code"), [("speech", 1), ("song", 2)])
def test_names(channel, code):
    names = recordings(channel)
    assert names == sorted(set(names))
    assert len(names) == 240
    folder = f"Audio_{channel.capitalize()}_Actors_01-24"
    for name in names:
        assert re.fullmatch(folder + r"/Actor_(\d\d)/03(-\d\d){5}-\1\.wav", name)
    parsed = np.array([codes(name) for name in names])
    assert (parsed[:, 1] == code).all()
    assert [sorted(set(column)) for column in parsed.T[2:].tolist()] == [
        [1, 2, 3, 4, 5, 6],
        [1, 2],
        [1, 2],
        [1, 2],
        list(range(1, 11)),
    ]
    # as in RAVDESS, neutral has one intensity; here it has a second take instead
    assert {(code[2] == 1, code[3], code[5]) for code in parsed} == {
        *((True, 1, 1), (True, 1, 2), (False, 1, 1), (False, 2, 1)),
    }
    assert np.unique(parsed[:, 2], return_counts=True)[1].tolist() == 6 * [40]


def test_names_are_alike_in_both_channels():
    speech, song = ([codes(name) for name in recordings(channel)] for channel in CHANNELS)
    assert [[*code[:1], *code[2:]] for code in speech] == [[*code[:1], *code[2:]] for code in song]


def test_first_name():
    assert recordings("speech")[0] == "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav"


def test_files(corpus):
    names = [name for channel in CHANNELS for name in recordings(channel)]
    assert sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.*")) == sorted(names)
    channels = Counter()
    for name in names:
        info = soundfile.info(corpus / name)
        assert (info.samplerate, info.subtype, info.format) == (48_000, "PCM_16", "WAV")
        low, high = SECONDS["speech" if codes(name)[1] == 1 else "song"]
        assert low <= info.duration <= high, name
        channels[info.channels] += 1
        samples, _ = soundfile.read(corpus / name)
        assert np.isfinite(samples).all()
        assert 0.05 < np.abs(samples).max() < 0.99, name
        # short fades, and no tenth of a second without a sound
        assert np.abs(samples[[0, -1]]).max() < 1e-3
        blocks = samples[: len(samples) // 4800 * 4800].reshape(-1, 4800, info.channels)
        assert (blocks.std(axis=(1, 2)) > 5e-5).all(), name
    assert channels == {1: len(names) - 1, 2: 1}
    assert soundfile.info(corpus / "Audio_Speech_Actors_01-24/Actor_01/03-01-02-01-01-01-01.wav").channels == 2


def test_no_two_recordings_are_alike(corpus):
    assert len({digest(path) for path in corpus.rglob("*.wav")}) == 480


def test_same_bytes_in_any_order(corpus, tmp_path):
    names = [*recordings("speech")[:3], *recordings("song")[-3:]]
    for name in reversed(names):
        write_voice(tmp_path, name)
        assert digest(tmp_path / name) == digest(corpus / name)


@pytest.mark.parametrize("channel", CHANNELS)
def test_emotions_can_be_told_apart(heard, channel):
    parsed = np.array([codes(name) for name in recordings(channel)])
    features = np.array([clip["features"] for clip in heard[channel]])
    assert leave_one_actor_out(features, parsed[:, 2], parsed[:, 6]) > 0.65


def test_emotions_are_not_told_apart_by_accident(heard):
    parsed = np.array([codes(name) for name in recordings("speech")])
    features = np.array([clip["features"] for clip in heard["speech"]])
    shuffled = np.random.default_rng(0).permutation(parsed[:, 2])
    assert leave_one_actor_out(features, shuffled, parsed[:, 6]) < 0.4


def test_voices_have_the_pitch_of_men_and_women(heard):
    for channel in CHANNELS:
        actors = np.array([codes(name)[6] for name in recordings(channel)])
        pitch = 2 ** (np.array([clip["pitch"] for clip in heard[channel]]) / 12)
        assert 90 < np.median(pitch[actors % 2 == 1]) < 160
        assert 170 < np.median(pitch[actors % 2 == 0]) < 290
        assert np.median([clip["voiced"] for clip in heard[channel]]) > 0.5


def test_sung_pitch_is_steadier(heard):
    speech, song = (np.array([clip["wobble"] for clip in heard[channel]]) for channel in CHANNELS)
    assert np.median(song) < 0.6 * np.median(speech)
    assert np.mean(song < speech) > 0.9
