"""Synthetic voices, named like RAVDESS: crude source-filter synthesis that speaks and sings with emotions.

They stand in for real recordings where nothing may be downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from speechsong import files
from speechsong.logs import progress

# scipy and soundfile are imported where they are used: importing them is slow, and listing names must be fast

SAMPLE_RATE = 48_000
ACTORS = range(1, 11)
# those whose voices the embedded encoders are pre-trained on
OTHER_ACTORS = range(11, 51)
CHANNELS = {"speech": 1, "song": 2}
FOLDERS = {"speech": "Audio_Speech_Actors_01-24", "song": "Audio_Song_Actors_01-24"}
STEREO = "Audio_Speech_Actors_01-24/Actor_01/03-01-02-01-01-01-01.wav"

# contours and formants are computed once per block of 10 ms
_BLOCK = 480
_CONTROL_RATE = SAMPLE_RATE / _BLOCK
# blocks until the narrowest formant has faded (-57 dB)
_RINGING = 5


@dataclass(frozen=True)
class Style:
    """How an emotion changes a plain voice, at medium intensity. Every field is an offset, and 0 changes nothing."""

    pitch: float = 0.0  # semitones
    span: float = 0.0  # octaves by which movements of the pitch are larger
    fall: float = 0.0  # semitones lost from start to end
    level: float = 0.0  # dB
    pace: float = 0.0  # octaves of tempo
    bright: float = 0.0  # octaves of the source's cutoff frequency
    breath: float = 0.0  # dB of aspiration
    open: float = 0.0  # share of the cycle in which the glottis is open
    rough: float = 0.0  # octaves of jitter and shimmer
    spoken: float = 0.0  # share of speech that is left in song: 1 speaks the song


# RAVDESS emotion code: style. Anger is half shouted in song too, and fear partly spoken, so their speech and song are
# the most alike
EMOTIONS = {
    1: Style(),
    2: Style(pitch=-1.0, span=-0.8, level=-3.0, pace=-0.1, bright=-0.4, breath=4.0, open=0.06),
    3: Style(pitch=5.0, span=0.6, fall=-1.5, level=3.0, pace=0.1, bright=0.4, breath=-1.0),
    4: Style(pitch=-1.5, span=-0.3, fall=4.0, level=-6.0, pace=-0.28, bright=-0.9, breath=10.0, open=0.13, rough=0.4),
    5: Style(
        pitch=2.5, span=0.3, fall=1.5, level=7.0, pace=0.28, bright=1.0, breath=-5.0, open=-0.14, rough=1.0, spoken=0.6
    ),
    6: Style(pitch=7.0, span=-0.5, level=1.0, pace=0.35, bright=0.2, breath=6.0, open=0.05, rough=1.6, spoken=0.4),
}
_STRENGTH = {1: 0.75, 2: 1.25}
# intensity and take of the recordings of an emotion: as in RAVDESS, neutral has one intensity, so two takes of that
_NEUTRAL, _OTHERS = ((1, 1), (1, 2)), ((1, 1), (2, 1))

# first three formants of an adult male, Hz
_VOWELS = {
    "i": (300, 2250, 2950),
    "e": (480, 1900, 2550),
    "a": (720, 1200, 2500),
    "o": (500, 880, 2450),
    "u": (330, 900, 2300),
}
# a vocal tract resonates above those too, about once per kilohertz; otherwise nothing would be heard above 4 kHz
_UPPER_FORMANTS = 3500.0 + 1000.0 * np.arange(9)


@dataclass(frozen=True)
class _Statement:
    vowels: str  # one per syllable
    stress: tuple[float, ...]
    hiss: int  # the syllable that starts with a sibilant
    melody: tuple[int, ...]  # degrees of the scale


_STATEMENTS = {
    1: _Statement("iaoeo", (1.0, 0.4, 0.9, 0.3, 0.8), hiss=1, melody=(0, 2, 4, 2, 0)),
    2: _Statement("oaieu", (0.9, 0.3, 1.0, 0.5, 0.7), hiss=2, melody=(0, 4, 3, 1, 0)),
}
_MAJOR, _MINOR = np.array([0, 2, 4, 5, 7]), np.array([0, 2, 3, 5, 7])
_MINOR_EMOTIONS = {4, 5, 6}


@dataclass(frozen=True)
class _Voice:
    pitch: float  # Hz
    tract: float  # factor on all formants
    breath: float  # dB
    gain: float  # dB


@dataclass(frozen=True)
class _Score:
    """What is to be uttered, one value per block."""

    pitch: np.ndarray  # Hz
    loudness: np.ndarray  # amplitude of the voice, 0 to 1
    hiss: np.ndarray  # amplitude of the sibilant, 0 to 1
    formants: np.ndarray  # Hz, (blocks, 3)


def recordings(channel: str, actors: range = ACTORS) -> list[str]:
    """List the recordings of the demo.

    Parameters
    ----------
    channel
        "speech" or "song".
    actors
        Who speaks and sings.

    Returns
    -------
    list of str
        Paths below the root, sorted; the same in both channels except for the folder and the channel code.
    """
    code, folder = CHANNELS[channel], FOLDERS[channel]
    return sorted(
        f"{folder}/Actor_{actor:02d}/"
        f"03-{code:02d}-{emotion:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}.wav"
        for actor, emotion, statement in product(actors, EMOTIONS, _STATEMENTS)
        for intensity, take in (_NEUTRAL if emotion == 1 else _OTHERS)
    )


def synthesise(recording: str) -> np.ndarray:
    """Synthesise the recording that a RAVDESS file name describes.

    Parameters
    ----------
    recording
        A path or name as in `recordings`; all randomness is seeded by its digits.

    Returns
    -------
    ndarray
        Samples at 48 kHz, float64, mono.
    """
    stem = Path(recording).stem
    _, channel, emotion, intensity, statement, _, actor = map(int, stem.split("-"))
    rng = np.random.default_rng(int(stem.replace("-", "")))
    sung = channel == CHANNELS["song"]
    style, strength = EMOTIONS[emotion], _STRENGTH[intensity]
    voice = _voice(actor)

    singing = 1.0 - style.spoken if sung else 0.0
    score = _score(style, strength, _STATEMENTS[statement], voice, singing, emotion in _MINOR_EMOTIONS, rng)
    cutoff = 2400.0 * 2.0 ** (style.bright * strength)
    breath = 10.0 ** ((voice.breath + style.breath * strength) / 20.0)
    opened = 0.62 + style.open * strength
    source = _glottis(score.pitch, opened, cutoff, breath, 2.0 ** (style.rough * strength), rng)
    voiced = _vocal_tract(source * _samples(score.loudness), score.formants, voice.tract)

    # a sibilant arises at the teeth, so it does not pass through the vocal tract
    samples = voiced / voiced.std() + _samples(score.hiss) * _hiss(len(voiced), rng)
    samples += 0.004 * rng.standard_normal(len(samples))
    level = voice.gain + style.level * strength + rng.uniform(-1.0, 1.0)
    samples *= 0.25 * 10.0 ** (level / 20.0) / np.abs(samples).max()
    fade = np.minimum(1.0, (np.arange(len(samples)) + 1) / (0.01 * SAMPLE_RATE))
    return samples * fade * fade[::-1]


def write_voice(root: str | Path, recording: str) -> None:
    """Write one recording as a 16-bit WAV file.

    Parameters
    ----------
    root
        The folder of the corpus.
    recording
        One of `recordings`. `STEREO` gets two channels, because RAVDESS has a few such files.
    """
    import soundfile

    samples = synthesise(recording)
    if recording == STEREO:
        samples = np.stack([samples, 0.9 * samples], axis=1)
    with files.atomic(Path(root) / recording) as path:
        soundfile.write(path, np.round(samples * 32767.0).astype(np.int16), SAMPLE_RATE, subtype="PCM_16")


def write_voices(root: str | Path, channel: str, actors: range = ACTORS) -> None:
    """Write all recordings of a channel.

    Parameters
    ----------
    root
        The folder of the corpus.
    channel
        "speech" or "song".
    actors
        Who speaks and sings.
    """
    names = recordings(channel, actors)
    advance = progress(len(names), "recordings")
    for name in names:
        write_voice(root, name)
        advance(1)


def _voice(actor: int) -> _Voice:
    # odd actors are men, even ones women, as in RAVDESS
    rng = np.random.default_rng(actor)
    pitch, tract = (112.0, 1.0) if actor % 2 else (200.0, 1.17)
    return _Voice(
        pitch=pitch * 2.0 ** (rng.uniform(-2.0, 2.0) / 12.0),
        tract=tract * rng.uniform(0.95, 1.05),
        breath=-26.0 + rng.uniform(-2.0, 2.0),
        gain=rng.uniform(-1.0, 1.0),
    )


def _score(
    style: Style,
    strength: float,
    statement: _Statement,
    voice: _Voice,
    singing: float,
    minor: bool,
    rng: np.random.Generator,
) -> _Score:
    def between(speech: Any, song: Any) -> Any:
        # numbers or arrays
        return speech + singing * (song - speech)

    syllables = len(statement.vowels)
    # song keeps less of the emotion's tempo: a tune has its own
    pace = style.pace * strength * between(1.0, 0.6) + rng.uniform(-0.05, 0.05)
    seconds = float(
        np.clip(between(1.2, 1.6) * 2.0**-pace, between(0.92, 1.22), between(1.58, 1.98)),
    )
    time = (np.arange(round(seconds * _CONTROL_RATE)) + 0.5) / _CONTROL_RATE
    lengths = rng.uniform(0.9, 1.1, syllables) * between(0.7 + 0.4 * np.array(statement.stress), 1.0)
    lengths[-1] *= 1.3
    first, last = 0.05, seconds - 0.06
    edges = first + (last - first) * np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    starts, lengths = edges[:-1], np.diff(edges)
    through = np.clip((time - first) / (last - first), 0.0, 1.0)

    semitones = style.pitch * strength * between(1.0, 0.7) + rng.uniform(-0.5, 0.5)
    spoken = sung = 0.0
    if singing > 0:
        scale = _MINOR if minor else _MAJOR
        note = np.clip(np.searchsorted(edges, time) - 1, 0, syllables - 1)
        tune = _smooth(scale[np.array(statement.melody)][note].astype(float), 0.05)
        # vibrato sets in once the note is reached
        onset = np.clip((time - starts[note] - 0.12) / 0.1, 0.0, 1.0)
        depth = 0.2 * 2.0 ** (style.span * strength)
        vibrato = depth * onset * np.sin(2.0 * np.pi * rng.uniform(5.2, 6.0) * (time - starts[note]))
        sung = tune + vibrato - 0.15 * style.fall * strength * through
    if singing < 1:
        accent = 3.5 * 2.0 ** (style.span * strength) * np.array(statement.stress) * rng.uniform(0.8, 1.2, syllables)
        when = np.stack([starts, starts + 0.4 * lengths, starts + 0.9 * lengths], axis=1)
        height = np.stack([-0.2 * accent, accent, -0.4 * accent], axis=1)
        contour = _smooth(np.interp(time, when.ravel(), height.ravel()), 0.06)
        spoken = contour - (2.0 + style.fall * strength) * (through - 0.5)
    semitones = semitones + between(spoken, sung)

    dip, width = between(0.92, 0.55), between(0.026, 0.022)
    gaps = np.exp(-(((time[:, None] - edges[None, 1:-1]) / width) ** 2)).max(axis=1)
    centres = starts + 0.5 * lengths
    stress = np.interp(time, centres, 0.6 + 0.4 * np.array(statement.stress))
    attack = np.clip((time - first) / 0.04, 0.0, 1.0) * np.clip((last - time) / 0.09, 0.0, 1.0)
    loudness = np.sin(0.5 * np.pi * attack) * (1.0 - dip * gaps) * stress * between(1.0 - 0.35 * through, 1.0)
    hiss = 0.5 * np.exp(-(((time - edges[statement.hiss] - 0.005) / 0.028) ** 2))

    # each vowel is held for the middle of its syllable, with glides between
    held = np.stack([starts + 0.25 * lengths, starts + 0.75 * lengths], axis=1).ravel()
    targets = np.repeat(np.array([_VOWELS[vowel] for vowel in statement.vowels], float), 2, axis=0)
    moving = np.stack([_smooth(np.interp(time, held, target), 0.03) for target in targets.T], axis=1)
    return _Score(
        pitch=voice.pitch * 2.0 ** (semitones / 12.0),
        loudness=loudness,
        hiss=hiss,
        formants=voice.tract * moving,
    )


def _smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    half = round(seconds * _CONTROL_RATE / 2) + 1
    window = np.hanning(2 * half + 1)
    return np.convolve(np.pad(values, half, mode="edge"), window / window.sum(), mode="valid")


def _samples(values: np.ndarray) -> np.ndarray:
    # from one value per block to one per sample
    return np.interp((np.arange(len(values) * _BLOCK) + 0.5) / _BLOCK, np.arange(len(values)) + 0.5, values)


def _glottis(
    pitch: np.ndarray, opened: float, cutoff: float, breath: float, roughness: float, rng: np.random.Generator
) -> np.ndarray:
    """Compute pulses of air through the glottis, one per cycle, with the noise of the air itself."""
    from scipy.signal import lfilter

    steps = _samples(pitch) / SAMPLE_RATE
    steady = np.cumsum(steps).astype(int)
    cycles = steady[-1] + 1
    jitter = 1.0 + 0.006 * roughness * np.clip(rng.standard_normal(cycles), -2.0, 2.0)
    phase = np.cumsum(steps * jitter[steady])
    cycle = phase.astype(int)
    shimmer = 1.0 + 0.03 * roughness * np.clip(rng.standard_normal(cycle[-1] + 1), -2.0, 2.0)

    # flow rises as half a cosine, falls as a quarter of one and stays at zero: the sudden closure excites the tract
    phase -= cycle
    opening, closing = 0.68 * opened, 0.32 * opened
    rising = 0.5 - 0.5 * np.cos(np.pi * np.minimum(phase / opening, 1.0))
    falling = np.cos(0.5 * np.pi * np.clip((phase - opening) / closing, 0.0, 1.0))
    flow = rising * falling * shimmer[cycle]

    # the lips radiate the derivative; a difference of the flow also aliases less than sampling the derivative would
    pulses = np.diff(flow, prepend=0.0)
    pole = np.exp(-2.0 * np.pi * cutoff / SAMPLE_RATE)
    pulses = lfilter([1.0 - pole], [1.0, -pole], pulses)
    noise = lfilter([1.0, -0.7], [1.0], rng.standard_normal(len(flow))) * (0.3 + flow)
    return pulses / pulses.std() + breath * noise


def _vocal_tract(source: np.ndarray, formants: np.ndarray, tract: float) -> np.ndarray:
    """Pass the source through resonators in series: the fixed upper ones, then those that move."""
    from scipy.signal import sosfilt

    source = sosfilt(_resonators(tract * _UPPER_FORMANTS), source)
    # filtered in overlapping windows, so that one filter fades into the next: a sudden switch would click
    halves = np.pad(source, _BLOCK // 2).reshape(-1, _BLOCK)
    window = 0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * _BLOCK) + 0.5) / _BLOCK)
    spectra = np.fft.rfft(np.concatenate([halves[:-1], halves[1:]], axis=1) * window, _RINGING * _BLOCK)
    delay = np.exp(-2j * np.pi * np.fft.rfftfreq(_RINGING * _BLOCK))
    for column in formants.T:
        sections = _resonators(column)
        spectra *= sections[:, :1] / (1.0 + delay * (sections[:, 4:5] + sections[:, 5:] * delay))
    ringing = np.fft.irfft(spectra).reshape(len(formants), _RINGING, _BLOCK)
    result = np.zeros((len(formants) + _RINGING, _BLOCK))
    for late in range(_RINGING):
        result[late : late + len(formants)] += ringing[:, late]
    return result.ravel()[_BLOCK // 2 :][: len(source)]


def _resonators(formants: np.ndarray) -> np.ndarray:
    # second-order sections of unit gain at 0 Hz, so that a moving formant does not shift the level
    radius = np.exp(-np.pi * (60.0 + 0.035 * formants) / SAMPLE_RATE)
    sections = np.zeros((len(formants), 6))
    sections[:, 3] = 1.0
    sections[:, 4] = -2.0 * radius * np.cos(2.0 * np.pi * formants / SAMPLE_RATE)
    sections[:, 5] = radius**2
    sections[:, 0] = sections[:, 3:].sum(axis=1)
    return sections


def _hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.signal import butter, sosfilt

    noise = sosfilt(butter(2, (4500.0, 9000.0), "bandpass", fs=SAMPLE_RATE, output="sos"), rng.standard_normal(length))
    return noise / noise.std()
