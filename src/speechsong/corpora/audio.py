"""Samples of recordings: reading, checking, mixing to mono and resampling."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from speechsong.corpora import resampling
from speechsong.corpora.edits import NONE, Edits, cut
from speechsong.corpora.wholeness import cut_short
from speechsong.errors import UserError
from speechsong.files import is_file, recognise

if TYPE_CHECKING:
    import torch

# half a quantisation step of 16-bit audio: a recording below it is silent
SILENCE = 2.0**-16
# sample rates, in Hz, that a sound header may have
MIN_RATE, MAX_RATE = 1_000, 1_000_000
# samples, over all channels, that are read at once
BLOCK = 2**22


def read(path: str | Path) -> tuple[np.ndarray, int, int]:
    """Read a recording and check it.

    Parameters
    ----------
    path
        A file of any format that libsndfile reads, such as WAV of 8 to 32 bits or float, FLAC and MP3; any rate.

    Returns
    -------
    samples : ndarray (n,), float32
        The mean of the channels; full scale is 1.
    rate : int
        Sample rate in Hz.
    channels : int
        Channels in the file.

    Raises
    ------
    UserError
        If the file cannot be read, is cut short, empty or silent, or holds samples that are not finite.
    """
    path = Path(path).absolute()
    samples, rate = _decode(path)
    if samples.size == 0:
        raise UserError(f"{path}: the recording is empty; replace the file or take it out of the corpus")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: the recording holds samples that are not numbers (NaN or infinite); replace it")
    mono = samples.mean(axis=1, dtype=np.float32)
    if np.abs(mono - mono.mean()).max() < SILENCE:
        if np.abs(samples - samples.mean(axis=0)).max() >= SILENCE:
            raise UserError(
                f"{path}: the channels are in opposite phase and cancel each other out; keep one of them with "
                "`ffmpeg -i OLD -af 'pan=mono|c0=c0' NEW`"
            )
        raise UserError(f"{path}: the recording is silent; replace the file or take it out of the corpus")
    return mono, rate, samples.shape[1]


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Read all samples (n, channels) and their rate from a file that is whole."""
    if not is_file(path):
        raise UserError(f"{path}: there is no such recording; put it back, or take it out of the corpus")
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > 2**60:
                raise UserError(f"{path}: its header does not say how long it is; convert it with ffmpeg")
            samples = _read(file)
            missing = cut_short(path, file, len(samples))
            rate = file.samplerate
    # TypeError: a name that ends in .raw
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as audio: {_cause(path, error)}") from error
    except MemoryError:
        raise UserError(f"{path}: too long for the memory of the job; cut it into shorter recordings") from None
    if missing:
        raise UserError(f"{path}: the recording is cut short: {missing}; copy it again, or take it out of the corpus")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UserError(f"{path}: a sample rate of {rate} Hz, which is none of a recording; replace the file")
    return samples, rate


def _read(file: soundfile.SoundFile) -> np.ndarray:
    # in blocks, because one wrong bit in a header may promise 32 GiB
    step = max(1, BLOCK // file.channels)
    blocks = [file.read(step, dtype="float32", always_2d=True)]
    while len(blocks[-1]) == step:
        blocks.append(file.read(step, dtype="float32", always_2d=True))
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


def _cause(path: Path, error: Exception) -> str:
    try:
        kind = recognise(path)
    except OSError as unreadable:
        return f"{unreadable.strerror}; correct its permissions or take it out of the corpus"
    text = " ".join(getattr(error, "error_string", str(error)).split()).rstrip(".")
    return kind or f"{text}; replace the file or take it out of the corpus"


def seconds(path: str | Path, edited: Edits = NONE) -> float:
    """Look up in its header how long a recording is, in seconds; at most what `edited` keeps of it.

    Raises
    ------
    UserError
        As `read`, if it cannot be read.
    """
    try:
        # opening a pipe that took the place of a recording would wait for ever
        length = soundfile.info(str(path)).duration if is_file(path) else None
    except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError):
        length = None
    if length is None:
        # which mostly says what is wrong
        samples, rate, _ = read(path)
        length = len(samples) / rate
    return min(length, edited.seconds or float("inf"))


@lru_cache
def _resampler(rate: int, target: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(
        rate,
        target,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=resampling.ZEROS,
        rolloff=resampling.ROLLOFF,
        beta=resampling.BETA,
    )


def load(path: str | Path, rate: int, edited: Edits = NONE) -> np.ndarray:
    """Read a recording at the sample rate that an encoder wants.

    Parameters
    ----------
    path
        The recording.
    rate
        The sample rate to resample to, in Hz.
    edited
        What of the recording to keep.

    Returns
    -------
    ndarray (n,), float32
        Mono samples at `rate`.

    Raises
    ------
    UserError
        As `read`.
    """
    samples, own, _ = read(path)
    samples = cut(samples, own, edited)
    if edited.bandwidth is not None and 2 * edited.bandwidth < min(own, rate):
        narrow = round(2 * edited.bandwidth)
        return resample(resample(samples, own, narrow), narrow, rate)
    return resample(samples, own, rate)


def resample(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Resample samples (n,), float32, from one rate to another; both are in Hz."""
    import torch

    if own == rate:
        return samples
    if resampling.needs_steps(own, rate):
        return resampling.in_steps(samples, own, rate)
    with torch.inference_mode():
        return _resampler(own, rate)(torch.from_numpy(samples)).numpy()
