"""Metrics of classification, from true and predicted labels.

accuracy : the share of clips whose predicted label is right. The paper's "UA" is this: nearly all its values are
    multiples of 1/203, and its test parts have 203 clips.
recall : the share of the clips of one class whose predicted label is right.
UAR : unweighted average recall, the mean of the recalls (Schuller et al. 2009), also called balanced accuracy
    (Brodersen et al. 2010).
"""

from __future__ import annotations

import numpy as np


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Compute the accuracy of predicted labels (n,)."""
    return float(np.mean(true == predicted))


def recalls(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Compute the recall of each class from 0 to `classes` - 1, shape (classes,); NaN for classes without clips."""
    right = np.bincount(true[true == predicted], minlength=classes).astype(float)
    total = np.bincount(true, minlength=classes).astype(float)
    return np.divide(right, total, out=np.full(classes, np.nan), where=total > 0)


def uar(true: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Compute the unweighted average recall, over the classes that have clips."""
    return float(np.nanmean(recalls(true, predicted, classes)))


def scores(right: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Compute accuracy, UAR and recalls from counts of clips.

    Parameters
    ----------
    right, total : ndarray (..., C)
        Correctly classified clips, and all clips, of each class.

    Returns
    -------
    ndarray (..., 2 + C)
        Accuracy, UAR over the classes that have clips, and the recall of each class. NaN where there are no clips.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        of_class = right / total
        overall = right.sum(axis=-1) / total.sum(axis=-1)
        occurs = total > 0
        unweighted = np.where(occurs, of_class, 0).sum(axis=-1) / occurs.sum(axis=-1)
    return np.concatenate([overall[..., None], unweighted[..., None], of_class], axis=-1)
