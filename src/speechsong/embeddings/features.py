"""Features: the clip means that classifiers learn from and KAD compares, and the rows of each part of a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechsong import files
from speechsong.embeddings import store
from speechsong.errors import UserError

_AGAIN = "delete the file and run again"


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

    Raises
    ------
    UserError
        If a clip is missing, unknown or there twice, a part is none of the three, or the file's name is that of the
        speaker split and a speaker is in two parts.
    """
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    parts_of: dict[str, set[str]] = {}
    for row in files.read_rows(path):
        if row.get("domain") != domain:
            continue
        clip, part = row.get("clip_id", ""), row.get("part", "")
        if clip not in row_of or part not in rows:
            raise UserError(f"{path}: clip `{clip}` of `{domain}`, part `{part}`, is not of this run; {_AGAIN}")
        rows[part].append(row_of[clip])
        parts_of.setdefault(row.get("speaker", ""), set()).add(part)
    if sorted(row for part in rows.values() for row in part) != sorted(row_of.values()):
        raise UserError(f"{path}: does not have every clip of `{domain}` once; {_AGAIN}")
    shared = [speaker for speaker, parts in parts_of.items() if speaker and len(parts) > 1]
    if shared and Path(path).name.startswith("speaker-"):
        raise UserError(f"{path}: speaker `{shared[0]}` of `{domain}` is in two parts; {_AGAIN}")
    train, validation, test = (np.array(sorted(part), dtype=np.int64) for part in rows.values())
    return Split(train, validation, test, seed)
