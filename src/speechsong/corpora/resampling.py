"""Resampling between rates without a large common divisor, for which torchaudio's table of filters takes gigabytes."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import i0

# Kaiser-windowed sinc of high quality: 64 zero crossings, stop band near -140 dB
ZEROS = 64
ROLLOFF = 0.9475937167399596
BETA = 14.769656459379492
# numbers in torchaudio's table; it takes about six times as much memory while it is made
_LARGEST = 2**24
# products per block of output
_BLOCK = 2**20


def needs_steps(rate: int, target: int) -> bool:
    """Tell whether torchaudio's table of filters, one per phase of the output, would be too large."""
    orig, new, width, _ = _filter(rate, target)
    return new * (2 * width + orig) > _LARGEST


def in_steps(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Resample by the filter of torchaudio's `sinc_interp_kaiser`, computed anew for every sample of the output.

    Parameters
    ----------
    samples : ndarray (n,), float32
        Mono samples.
    rate, target
        Sample rates in Hz.

    Returns
    -------
    ndarray (ceil(n * target / rate),), float32
        What torchaudio gives, to rounding, in memory that does not depend on the rates.
    """
    orig, new, width, base = _filter(rate, target)
    padded = np.pad(samples.astype(np.float64), (width, width + 2))
    taps = np.arange(-width, width + 2)
    length = -(-len(samples) * new // orig)
    step = max(1, _BLOCK // len(taps))
    parts = []
    for start in range(0, length, step):
        # integers, because a position in a long recording has more digits than its fraction may lose
        whole, rest = np.divmod(np.arange(start, min(start + step, length)) * orig, new)
        time = np.clip((taps - rest[:, None] / new) * (base / orig), -ZEROS, ZEROS)
        window = i0(BETA * np.sqrt(1 - (time / ZEROS) ** 2)) / i0(BETA)
        parts.append((np.sinc(time) * window * padded[whole[:, None] + taps + width]).sum(axis=1) * (base / orig))
    return np.concatenate(parts).astype(np.float32)


def _filter(rate: int, target: int) -> tuple[int, int, int, float]:
    """Return both rates without their common divisor, half the width of the filter in samples, and its cutoff."""
    common = math.gcd(rate, target)
    orig, new = rate // common, target // common
    base = min(orig, new) * ROLLOFF
    return orig, new, math.ceil(ZEROS * orig / base), base
