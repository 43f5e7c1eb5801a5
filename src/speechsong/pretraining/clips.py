"""Clips: recordings in memory as an encoder hears them, the speakers held out, and crops drawn from the clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording
from speechsong.errors import UserError
from speechsong.logs import log, progress

# share of the speakers who only validate
HELD_OUT = 0.1


@dataclass(frozen=True)
class Frames:
    """How samples become frames: frame t is computed from `least` samples, the first of which is sample t * `hop`."""

    rate: int  # Hz
    hop: int
    least: int

    def count(self, samples: int) -> int:
        """Count the frames of a number of samples."""
        return max(0, 1 + (samples - self.least) // self.hop)

    def samples(self, frames: int) -> int:
        """Count the samples that a number of frames needs."""
        return (frames - 1) * self.hop + self.least


def hold_out(speakers: set[str], seed: int) -> set[str]:
    """Draw the speakers whose recordings are not trained on: a tenth of them, at least one."""
    order = np.random.default_rng([seed, 0]).permutation(sorted(speakers))
    return set(order[: max(1, round(HELD_OUT * len(speakers)))].tolist())


def read(
    recordings: list[Recording], frames: Frames, seconds: float, held_out: set[str], key: str
) -> list[tuple[str, np.ndarray]]:
    """Read the recordings that are long enough for a crop.

    Each is normalised to zero mean and unit variance over its whole length, as an encoder's feature extractor does.

    Parameters
    ----------
    recordings
        Of all speakers.
    frames
        Of the encoder.
    seconds
        Length of a crop.
    held_out
        Speakers, of whom and of the others a recording must be long enough.
    key
        The key of the config that holds the settings, for messages.

    Returns
    -------
    list of (str, ndarray (n,) float32)
        Speaker and samples of each clip.

    Raises
    ------
    UserError
        If a recording cannot be used, or none is long enough.
    """
    advance = progress(len(recordings), "recordings")
    least = round(seconds * frames.rate)
    clips = []
    longest = 0
    for recording in recordings:
        samples = audio.load(recording.path, frames.rate, recording.edits)
        longest = max(longest, len(samples))
        if len(samples) >= least:
            clips.append((recording.speaker, (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)))
        advance(1)
    if not clips:
        raise UserError(
            f"config key `{key}.seconds`: {seconds:g}, but no recording is that long (the longest: "
            f"{longest / frames.rate:.2f} s); lower it"
        )
    if len({speaker in held_out for speaker, _ in clips}) < 2:
        who = "the speakers held out" if clips[0][0] not in held_out else "any other speaker than those held out"
        raise UserError(
            f"config key `{key}.seconds`: {seconds:g}, but no recording of {who} ({', '.join(sorted(held_out))}) is "
            "that long; lower it"
        )
    if len(clips) < len(recordings):
        log.info(
            "%d of %d recordings are shorter than a crop and left out", len(recordings) - len(clips), len(recordings)
        )
    return clips


def draw(lengths: np.ndarray, size: int, frames: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw crops at random.

    A clip is drawn in proportion to its length, and the crop begins at any frame of it with equal probability.

    Parameters
    ----------
    lengths : ndarray (n,), int
        Frames of each clip, none less than `frames`.
    size
        Number of crops.
    frames
        Frames of a crop.
    rng
        Source of randomness.

    Returns
    -------
    list of (int, int)
        The clip and the first frame of each crop.
    """
    ends = np.cumsum(lengths)
    chosen = np.searchsorted(ends, rng.integers(ends[-1], size=size), side="right")
    starts = rng.integers(lengths[chosen] - frames + 1)
    return list(zip(chosen.tolist(), starts.tolist(), strict=True))
