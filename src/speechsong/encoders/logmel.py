"""Log-mel spectra in place of hidden states: a baseline that shows what an encoder adds to them.

The constants are those of Whisper's front end (Radford et al. 2023, "Robust speech recognition via large-scale weak
supervision", section 2.2): 16 kHz, 25 ms windows, 10 ms apart, 80 bands to 8 kHz on Slaney's scale, log10 of the power.
Unlike in Whisper, values do not depend on the clip's maximum, so loudness is kept, and windows lie wholly inside the
clip.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torchaudio

from speechsong.corpora import audio
from speechsong.corpora.edits import NONE, Edits
from speechsong.errors import UserError

RATE = 16000  # Hz
WINDOW = 400  # samples
HOP = 160  # samples
BANDS = 80
# power: a third of the noise of rounding to 16 bits in a band, so that digital silence is close to a quiet room
FLOOR = 1e-10
# of a clip's summary, which is the mean and standard deviation of each band
WIDTH = 2 * BANDS


@lru_cache
def _mel() -> torch.nn.Module:
    return torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS, center=False, norm="slaney", mel_scale="slaney"
    )


def frames(path: str | Path, edited: Edits = NONE) -> np.ndarray:
    """Compute the log-mel frames of a recording.

    Parameters
    ----------
    path
        The recording.
    edited
        What of it to keep.

    Returns
    -------
    ndarray (T, 80), float32
        log10 of the power in each band, at least -10. T = 1 + (n - 400) // 160 for n samples at 16 kHz.

    Raises
    ------
    UserError
        If the recording cannot be used or is shorter than a window.
    """
    samples = audio.load(path, RATE, edited)
    if len(samples) < WINDOW:
        raise UserError(
            f"{path}: {len(samples) / RATE:.4f} s is too short for one log-mel frame ({WINDOW / RATE:.4f} s); take it "
            "out of the corpus"
        )
    with torch.inference_mode():
        return _mel()(torch.from_numpy(samples)).clamp(min=FLOOR).log10().T.numpy()


def summary(spectrum: np.ndarray) -> np.ndarray:
    """Summarise log-mel frames (T, 80) as mean and standard deviation (ddof 0) of each band, (160,) float32."""
    exact = spectrum.astype(np.float64)
    return np.concatenate([exact.mean(axis=0), exact.std(axis=0)]).astype(np.float32)
