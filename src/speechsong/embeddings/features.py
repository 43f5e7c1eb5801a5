"""Features: what classifiers learn from, as read from embedding files, and the rows of each part of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong import files


@dataclass(frozen=True)
class Split:
    """Rows of the features that a probe trains on, is chosen by and is tested on, and the seed of its chance."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seed: int


def read_split(path: str, domain: str, row_of: dict[str, int], seed: int) -> Split:
    """Read the split of one domain as rows of its features, given the row of every clip."""
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row in files.read_rows(path):
        if row["domain"] == domain:
            rows[row["part"]].append(row_of[row["clip_id"]])
    return Split(*(np.array(sorted(rows[part])) for part in rows), seed)
