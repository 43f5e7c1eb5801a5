"""One signal reads alike from every kind of file; resampling keeps tones and no aliases; bad files are named."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong.corpora import audio
from speechsong.corpora.edits import Edits
from speechsong.errors import UserError

RATE = 16000


def tone(frequency: float, rate: int, seconds: float = 0.5, amplitude: float = 0.4) -> np.ndarray:
    """A tone that swells and fades, so that it has no click at either end."""
    time = np.arange(round(seconds * rate)) / rate
    return amplitude * np.hanning(len(time)) * np.sin(2 * np.pi * frequency * time + 0.3)


SIGNAL = tone(440, RATE) + tone(1700, RATE, amplitude=0.2)


def write(path, samples: np.ndarray, rate: int = RATE, **options) -> str:
    soundfile.write(path, samples, rate, **options)
    return str(path)


@pytest.mark.parametrize(
    ("suffix", "subtype", "bits"),
    [
        ("wav", "PCM_U8", 8),
        ("wav", "PCM_16", 16),
        ("wav", "PCM_24", 24),
        ("wav", "PCM_32", 24),  # as many as float32 keeps
        ("wav", "FLOAT", 24),
        ("wav", "DOUBLE", 24),
        ("flac", "PCM_S8", 8),
        ("flac", "PCM_16", 16),
        ("flac", "PCM_24", 24),
        ("WAV", "PCM_16", 16),
    ],
)
@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_one_signal_in_every_format(tmp_path, suffix, subtype, bits, rate):
    path = write(tmp_path / f"a.{suffix}", SIGNAL, rate, subtype=subtype)
    samples, found, channels = audio.read(path)
    assert (found, channels, samples.dtype, samples.shape) == (rate, 1, np.float32, SIGNAL.shape)
    # one step of the quantiser
    assert np.abs(samples - SIGNAL).max() <= 2.0 ** (1 - bits)


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    other = tone(900, RATE, amplitude=0.7)
    samples, _, channels = audio.read(write(tmp_path / "a.wav", np.column_stack([SIGNAL, other]), subtype="FLOAT"))
    assert channels == 2
    np.testing.assert_allclose(samples, (SIGNAL + other) / 2, atol=1e-7)


def test_the_mean_of_six_channels(tmp_path):
    every = np.stack([tone(300 + 100 * i, RATE) for i in range(6)], axis=1)
    samples, _, channels = audio.read(write(tmp_path / "a.wav", every, subtype="FLOAT"))
    assert channels == 6
    np.testing.assert_allclose(samples, every.mean(axis=1), atol=1e-7)


def test_one_silent_channel_is_no_silence(tmp_path):
    path = write(tmp_path / "a.wav", np.column_stack([SIGNAL, 0 * SIGNAL]), subtype="PCM_16")
    np.testing.assert_allclose(audio.read(path)[0], SIGNAL / 2, atol=2**-15)


# --- resampling


def spectrum(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    window = np.blackman(len(samples))
    return np.fft.rfftfreq(8 * len(samples), 1 / rate), np.abs(np.fft.rfft(samples * window, 8 * len(samples)))


@pytest.mark.parametrize("frequency", [100, 1234.5, 6800])
@pytest.mark.parametrize(
    ("rate", "target"), [(48000, 16000), (44100, 16000), (48000, 24000), (24000, 16000), (16000, 24000)]
)
def test_a_tone_keeps_its_frequency_and_amplitude(tmp_path, frequency, rate, target):
    path = write(tmp_path / "a.wav", tone(frequency, rate), rate, subtype="DOUBLE")
    found = audio.load(path, target)
    frequencies, power = spectrum(found, target)
    assert frequencies[power.argmax()] == pytest.approx(frequency, abs=1)
    # sample for sample the tone that was meant, not only its size
    np.testing.assert_allclose(found, tone(frequency, target)[: len(found)], atol=1e-4)


@pytest.mark.parametrize("frequency", [8400, 9000, 11000, 15900, 20000])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_aliases_are_below_90_db(tmp_path, frequency, rate):
    path = write(tmp_path / "a.wav", tone(frequency, rate, amplitude=0.9), rate, subtype="FLOAT")
    found = audio.load(path, 16000)
    assert np.abs(found).max() < 0.9 * 10 ** (-90 / 20)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 20000), st.sampled_from([8000, 11025, 22050, 24000, 44100, 48000]), st.sampled_from([16000, 24000])
)
def test_length(tmp_path_factory, n, rate, target):
    folder = tmp_path_factory.getbasetemp()
    samples = np.random.default_rng(n).uniform(-0.5, 0.5, n)
    found = audio.load(write(folder / "length.wav", samples, rate), target)
    assert len(found) == math.ceil(n * target / rate)
    assert found.dtype == np.float32


def test_seconds_come_from_the_header(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 24_000), 16_000)
    monkeypatch.setattr(audio, "read", None)
    assert audio.seconds(tmp_path / "a.wav") == 1.5
    assert audio.seconds(str(tmp_path / "a.wav"), Edits(seconds=0.4)) == 0.4
    monkeypatch.undo()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "text.wav").write_text("no audio")
    for name in ("pipe.wav", "text.wav", "nowhere.wav"):
        with pytest.raises(UserError, match=name):
            audio.seconds(tmp_path / name)


def test_a_file_of_the_right_rate_is_left_as_it_is(tmp_path):
    path = write(tmp_path / "a.wav", SIGNAL, subtype="PCM_16")
    np.testing.assert_array_equal(audio.load(path, RATE), audio.read(path)[0])


def test_resampling_repeats_bit_by_bit(tmp_path):
    path = write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 44100), 44100)
    np.testing.assert_array_equal(audio.load(path, RATE), audio.load(path, RATE))


# --- what cannot be used


def message(path) -> str:
    with pytest.raises(UserError) as caught:
        audio.load(path, RATE)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text


def test_a_missing_file(tmp_path):
    assert "there is no such recording" in message(tmp_path / "none.wav")
    assert "there is no such recording" in message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no audio at all" * 99, b"RIFF\x00\x00\x00\x00WAVE", b"fLaC" + bytes(99)])
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_file_that_is_no_audio(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "cannot be read as audio" in message(tmp_path / name)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_flac_that_breaks_off(tmp_path, keep):
    path = tmp_path / "a.flac"
    write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 50000))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    message(path)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_empty_recording(tmp_path, channels):
    assert "the recording is empty" in message(write(tmp_path / "a.wav", np.zeros((0, channels))))


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0, 1e-9])
@pytest.mark.parametrize("length", [1, 2, 30000])
def test_a_silent_recording(tmp_path, value, length):
    path = write(tmp_path / "a.wav", np.full(length, value), subtype="FLOAT")
    assert "the recording is silent" in message(path)


def test_quiet_is_not_silent(tmp_path):
    # the last bit of 16 that comes and goes
    quiet = np.tile([0.0, 2.0**-15], 500)
    assert len(audio.load(write(tmp_path / "a.wav", quiet, subtype="PCM_16"), RATE)) == 1000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, value):
    samples = np.column_stack([SIGNAL, SIGNAL])
    samples[77, 1] = value
    assert "not numbers" in message(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_names_of_any_kind(tmp_path):
    path = tmp_path / "Jürgen's 2nd, лето.wav"
    assert len(audio.load(write(path, SIGNAL), RATE)) == len(SIGNAL)
    assert "no such recording" in message(tmp_path / "夏.wav")


# --- cut short


def tail_off(path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])


FORMATS = [
    *(("WAV", "PCM_16", "wav"), ("WAV", "IMA_ADPCM", "wav"), ("WAVEX", "FLOAT", "wav"), ("RF64", "PCM_24", "wav")),
    *(("W64", "PCM_16", "w64"), ("AIFF", "PCM_16", "aiff"), ("AU", "PCM_16", "au"), ("CAF", "PCM_16", "caf")),
    *(("FLAC", "PCM_16", "flac"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "opus"), ("NIST", "PCM_16", "sph")),
    *(("MP3", "MPEG_LAYER_III", "mp3"), ("SVX", "PCM_16", "svx"), ("VOC", "PCM_16", "voc")),
]


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.95])
@pytest.mark.parametrize(("kind", "subtype", "suffix"), FORMATS)
def test_a_recording_that_is_cut_short(tmp_path, kind, subtype, suffix, keep):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000)
    write(path, noise, format=kind, subtype=subtype)
    samples, _, _ = audio.read(path)
    assert abs(len(samples) - len(noise)) <= 2304
    tail_off(path, keep)
    message(path)


def test_the_message_counts_what_is_missing(shared):
    for name, there in (("cut_in_half.wav", "8000 samples, but 3989 are"), ("cut_in_half.mp3", "16000 samples, but ")):
        text = message(shared / "cases" / "audio" / name)
        assert "cut short" in text
        assert there in text


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_stream_does_not_know_its_length(tmp_path, size):
    path = tmp_path / "a.wav"
    write(path, SIGNAL, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    whole = audio.read(path)[0]
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path)[0], whole)


@pytest.mark.parametrize("size", [0, 21_000_000_000, 2**36 - 1])
def test_a_flac_that_promises_another_length(tmp_path, size):
    # 36 bits of its header, of which one may flip
    path = tmp_path / "a.flac"
    write(path, SIGNAL, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    field = int.from_bytes(content[18:26], "big")
    content[18:26] = (field >> 36 << 36 | size).to_bytes(8, "big")
    path.write_bytes(content)
    text = message(path)
    assert "does not say how long it is" in text if size == 0 else "cannot be read" in text or "cut short" in text


def test_long_recordings_are_read_in_blocks(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", np.column_stack([SIGNAL, -0.5 * SIGNAL]), subtype="PCM_16")
    whole = audio.read(path)[0]
    for block in (2, 1000, 2 * len(SIGNAL)):
        monkeypatch.setattr(audio, "BLOCK", block)
        np.testing.assert_array_equal(audio.read(path)[0], whole)


# --- something else


def test_channels_in_opposite_phase_are_not_silent(shared):
    text = message(shared / "cases/audio/opposite_phase.wav")
    assert "cancel each other" in text
    assert "silent" not in text


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n", ["Git LFS", "`git lfs pull`"]),
        (b"\n<!DOCTYPE html><html>", ["web page"]),
        (b"<html><head>", ["web page"]),
        (b"PK\x03\x04" + bytes(60), ["zip archive"]),
        (b"\0\0\0\x20ftypM4A " + bytes(60), ["M4A", "`ffmpeg -i 'a b.wav' 'a b'.wav`"]),
        (bytes.fromhex("3026b2758e66cf11") + bytes(60), ["WMA", "ffmpeg"]),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(60), ["video", "ffmpeg"]),
        (b"\x1a\x45\xdf\xa3" + bytes(60), ["video", "ffmpeg"]),
        (b"", []),
        (b"not audio at all", []),
    ],
)
def test_what_stands_in_the_place_of_a_recording(tmp_path, content, parts):
    path = tmp_path / "a b.wav"
    path.write_bytes(content)
    text = message(path)
    assert "cannot be read as audio" in text
    for part in parts:
        assert part in text


def test_names_that_soundfile_takes_for_raw_samples_and_names_that_are_too_long(tmp_path):
    write(tmp_path / "a.wav", SIGNAL)
    message((tmp_path / "a.wav").rename(tmp_path / "a.raw"))
    message(tmp_path / (300 * "a"))


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2**31 - 1])
def test_a_sample_rate_of_no_recording(tmp_path, rate):
    assert f"{rate} Hz" in message(write(tmp_path / "a.wav", SIGNAL, rate))


# --- real recordings


def test_real_originals(shared):
    paths = sorted((shared / "data" / "ravdess-original-samples").rglob("*.wav"))
    assert len(paths) == 10
    stereo = 0
    for path in paths:
        samples, rate, channels = audio.read(path)
        assert rate == 48000
        assert 2.5 < len(samples) / rate < 8
        assert 0.005 < np.abs(samples).max() <= 1
        stereo += channels == 2
    assert stereo == 5


def test_an_original_resampled_is_its_24_khz_copy(shared):
    # the copies were made from the originals by others, with another resampler, and stored as 16 bits
    data = shared / "data"
    original = data / "ravdess-original-samples/Audio_Song_Actors_01-24/Actor_01/03-02-05-02-01-01-01.wav"
    copy = data / "ravdess-24k/Audio_Song_Actors_01-24/Actor_01/03-02-05-02-01-01-01.flac"
    ours, (theirs, rate, _) = audio.load(original, 24000), audio.read(copy)
    assert rate == 24000
    assert abs(len(ours) - len(theirs)) <= 1
    n = min(len(ours), len(theirs))
    apart = ours[:n] - theirs[:n]
    # they differ near 12 kHz, where one filter ends earlier than the other
    assert np.sqrt(np.mean(apart**2)) < 5e-3 * np.sqrt(np.mean(theirs**2))
