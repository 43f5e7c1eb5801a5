"""Features: the clip means that classifiers learn from and KAD compares, and the rows of each part of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong import files
from speechsong.embeddings import store
from speechsong.errors import UserError


@dataclass(frozen=True)
class Features:
    """The clip means of one layer, emotion by emotion.

    Attributes
    ----------
    clips : list of n str
        Names of the clips.
    labels : ndarray (n,), int64
        The emotion of each clip, as its index in the order of the emotions.
    means : ndarray (n, d), float32
        The mean over each clip's frames.
    """

    clips: list[str]
    labels: np.ndarray
    means: np.ndarray


def read(paths: dict[str, str]) -> Features:
    """Read the clip means of one layer.

    Parameters
    ----------
    paths
        The file of each emotion, as `store.arrange` gives them.

    Returns
    -------
    Features
        In the order of the emotions.

    Raises
    ------
    UserError
        If a file cannot be read, or a mean is not finite.
    """
    clips, labels, means = [], [], []
    for label, path in enumerate(paths.values()):
        names, pooled = store.read_pooled(path)
        if not np.isfinite(pooled).all():
            raise UserError(f"{path}: holds features that are not finite; delete the file and run again")
        clips += names
        labels += [label] * len(names)
        means.append(pooled)
    return Features(clips, np.array(labels, dtype=np.int64), np.concatenate(means))


@dataclass(frozen=True)
class Split:
    """Rows of the features that a classifier uses for training, validation and test, and the seed of its training."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int


def read_split(path: str, domain: str, row_of: dict[str, int], seed: int) -> Split:
    """Read the split of one domain.

    Parameters
    ----------
    path
        A split file.
    domain
        Rows of other domains are left out.
    row_of
        The row of every clip in the features.
    seed
        Seed of the training.

    Returns
    -------
    Split
        Rows in ascending order, int64.
    """
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row in files.read_rows(path):
        if row["domain"] == domain:
            rows[row["part"]].append(row_of[row["clip_id"]])
    train, validation, test = (np.array(sorted(part)) for part in rows.values())
    return Split(train, validation, test, seed)
