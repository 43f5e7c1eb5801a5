"""Samples of recordings: reading, checking, mixing to mono and resampling."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from speechsong.errors import UserError

if TYPE_CHECKING:
    import torch

# half a quantisation step of 16-bit audio: a recording below it is silent
SILENCE = 2.0**-16


def read(path: str | Path) -> tuple[np.ndarray, int, int]:
    """Read a recording and check it.

    Parameters
    ----------
    path
        A file of any format that libsndfile reads: WAV of 8 to 32 bits or float, FLAC, any rate.

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
        If the file cannot be read, is empty or silent, or holds samples that are not finite.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such recording; put it back, or take it out of the corpus")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read as audio ({error}); replace the file or take it out") from error
    if samples.size == 0:
        raise UserError(f"{path}: the recording is empty; replace the file or take it out of the corpus")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: the recording holds samples that are not numbers (NaN or infinite); replace it")
    mono = samples.mean(axis=1, dtype=np.float32)
    if np.abs(mono - mono.mean()).max() < SILENCE:
        raise UserError(f"{path}: the recording is silent; replace the file or take it out of the corpus")
    return mono, rate, samples.shape[1]


@lru_cache
def _resampler(rate: int, target: int) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    # Kaiser-windowed sinc of high quality: 64 zero crossings, stop band near -140 dB
    return Resample(
        rate,
        target,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        beta=14.769656459379492,
    )


def load(path: str | Path, rate: int) -> np.ndarray:
    """Read a recording at the sample rate that an encoder wants.

    Parameters
    ----------
    path
        The recording.
    rate
        The sample rate to resample to, in Hz.

    Returns
    -------
    ndarray (n,), float32
        Mono samples at `rate`.

    Raises
    ------
    UserError
        As `read`.
    """
    import torch

    samples, own, _ = read(path)
    if own == rate:
        return samples
    with torch.inference_mode():
        return _resampler(own, rate)(torch.from_numpy(samples)).numpy()
