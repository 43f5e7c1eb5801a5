"""The jackknife for blocks of unequal size: bias and standard error of any statistic."""

from __future__ import annotations

import numpy as np


def jackknife(value: float, left_out: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Correct the bias of an estimate, and estimate its variance, by the delete-m_j jackknife.

    It is that of Busing, Meijer and van der Leeden (1999), "Delete-m jackknife for unequal m", eqs. 5-7.

    Parameters
    ----------
    value : float
        The estimate from all data.
    left_out : ndarray (g,), float64
        The estimate without block j.
    sizes : ndarray (g,), int
        Number of observations m_j in each block.

    Returns
    -------
    tuple of float
        The corrected estimate and its variance; both NaN if g < 2.
    """
    g = len(left_out)
    if g < 2:
        return float("nan"), float("nan")
    h = sizes.sum() / sizes
    corrected = g * value - np.sum((1 - 1 / h) * left_out)
    pseudo = h * value - (h - 1) * left_out
    variance = np.mean((pseudo - corrected) ** 2 / (h - 1))
    return float(corrected), float(variance)
