"""Metrics of classification, from true and predicted labels.

accuracy : share of clips whose emotion is right. The paper's "UA" is this: its values are multiples of 1/203 clips.
recall : of one emotion, share of its clips that are right.
UAR : unweighted average recall, the mean of the recalls (Schuller et al. 2009), also called balanced accuracy
    (Brodersen et al. 2010).
"""

from __future__ import annotations

import numpy as np


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Compute the share of right answers of labels (n,)."""
    return float(np.mean(true == predicted))


def recalls(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Compute the recall of each class 0 to `classes` - 1, shape (classes,); NaN for a class that does not occur."""
    right = np.bincount(true[true == predicted], minlength=classes).astype(float)
    total = np.bincount(true, minlength=classes).astype(float)
    return np.divide(right, total, out=np.full(classes, np.nan), where=total > 0)


def uar(true: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Compute the unweighted average recall over the classes that occur."""
    return float(np.nanmean(recalls(true, predicted, classes)))


def scores(right: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Compute accuracy, UAR and the recalls from counts by true emotion.

    Parameters
    ----------
    right, total : ndarray (..., C)
        Sums over some speakers.

    Returns
    -------
    ndarray (..., 2 + C)
        NaN where no clip counts.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls = right / total
        accuracy = right.sum(axis=-1) / total.sum(axis=-1)
        seen = total > 0
        uar = np.where(seen, recalls, 0).sum(axis=-1) / seen.sum(axis=-1)
    return np.concatenate([accuracy[..., None], uar[..., None], recalls], axis=-1)
