"""Counts of emotions that are nearest to themselves: planted answers, and draws counted by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from speechsong.distances import nearest, ranking

EMOTIONS = ["calm", "sad", "nan"]
NAMES = ["emotion_A", "emotion_B"]


def tables(values: np.ndarray, error: float, blocks: int = 8, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FADs (layers, C, C), and those without a block, which scatter by `error`."""
    rng = np.random.default_rng(seed)
    rows, left_out = [], []
    for layer, i, k in np.ndindex(values.shape):
        name = {"model": "m", "layer": layer, "emotion_A": EMOTIONS[i], "emotion_B": EMOTIONS[k]}
        rows.append(name | {"fad": values[layer, i, k], "mean_term": 0.0, "covariance_term": 0.0})
        left_out += [
            name | {"side": "both", "block": j, "frames": 20 + j, "fad_left_out": v}
            for j, v in enumerate(values[layer, i, k] + error * rng.standard_normal(blocks))
        ]
    return pd.DataFrame(rows), pd.DataFrame(left_out)


def planted() -> np.ndarray:
    """Layer 1: all on the diagonal. Layer 2: calm and sad change places. Layer 0: one emotion of B takes all."""
    taken = np.full((3, 3), 8.0)
    taken[:, 1] = 2
    taken[1] = 7, 1, 7
    own = 9 - 8 * np.eye(3)
    return np.stack([taken, own, own[[1, 0, 2]]])


def run(values, error, **options):
    rows, left_out = tables(values, error, **options)
    found = nearest.estimates(rows, left_out, ["A", "B"])
    return found, nearest.table(found, left_out, ["A", "B"])


def test_planted_answers():
    found, counted = run(planted(), 1e-6)
    assert list(counted["over"]) == ["layer"] * 6 + ["mean"] * 2
    assert list(counted["domain"]) == ["A", "B"] * 4
    by_layer = counted[counted["over"] == "layer"]
    assert list(by_layer["same"]) == list(by_layer["same_plain"]) == [1, 1, 3, 3, 1, 1]
    assert list(by_layer["same_low"]) == list(by_layer["same_high"]) == [1, 1, 3, 3, 1, 1]
    assert (counted["chance"] == 1).all()
    assert by_layer["other"].iloc[0] == "calm: sad, nan: sad"
    assert list(by_layer["other"].iloc[2:]) == ["", "", "calm: sad, sad: calm", "calm: sad, sad: calm"]
    assert len(found) == 4 * 9


def test_the_mean_leaves_out_layer_0():
    values = planted()[[2, 1, 1]]
    _, counted = run(values, 1e-6)
    assert list(counted[counted["over"] == "mean"]["same"]) == [3, 3]


def test_swapped_domains_swap_their_rows():
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 2, (2, 3, 3))
    rows, left_out = tables(values, 0.1)
    names = dict(zip(NAMES, NAMES[::-1], strict=True))
    turned = [part.rename(columns=names) for part in (rows, left_out)]
    turned[0] = turned[0].sort_values(["layer", *NAMES], key=lambda c: c.map(EMOTIONS.index) if c.name in NAMES else c)
    forth = nearest.table(nearest.estimates(rows, left_out, ["A", "B"]), left_out, ["A", "B"])
    back = nearest.table(nearest.estimates(turned[0], turned[1], ["A", "B"]), turned[1], ["A", "B"])
    for domain, other in ("AB", "BA"):
        one, two = (t[t["domain"] == d].drop(columns="domain") for t, d in ((forth, domain), (back, other)))
        pd.testing.assert_frame_equal(one.reset_index(drop=True), two.reset_index(drop=True))


def test_intervals_are_quantiles_of_the_draws():
    values = 1 + 0.2 * np.random.default_rng(2).random((1, 3, 3))
    rows, left_out = tables(values, 0.05)
    _, counted = run(values, 0.05)
    pairs = list(product(EMOTIONS, EMOTIONS))
    numbered = [
        part.assign(emotion=[pairs.index(p) for p in zip(part["emotion_A"], part["emotion_B"], strict=True)])
        for part in (rows, left_out)
    ]
    draws = ranking.resample(*numbered)[:, 0].reshape(-1, 3, 3)
    counts = np.sort([sum(d[i].argmin() == i for i in range(3)) for d in draws])
    first = counted.iloc[0]
    assert first["same_low"] == min(counts[249], first["same"])
    assert first["same_high"] == max(counts[9749], first["same"])
    assert first["same_low"] < first["same_high"]


def test_estimates_are_those_of_ranking():
    rows, left_out = tables(planted(), 0.1)
    found = nearest.estimates(rows, left_out, ["A", "B"])
    assert list(found.columns[:5]) == ["model", "over", "layer", *NAMES]
    first = [part[(part["emotion_A"] == "calm") & (part["emotion_B"] == "sad")] for part in (rows, left_out)]
    wanted = ranking.table(*(part.assign(emotion="x") for part in first))
    one = found[(found["emotion_A"] == "calm") & (found["emotion_B"] == "sad")]
    for name in ("fad", "fad_corrected", "fad_corrected_low", "fad_corrected_high", "std_error"):
        np.testing.assert_allclose(one[name].to_numpy(float), wanted[name].to_numpy(float))


@pytest.mark.filterwarnings("error")
def test_one_block_has_plain_counts_only():
    _, counted = run(planted(), 0.1, blocks=1)
    assert list(counted["same_plain"])[:6] == [1, 1, 3, 3, 1, 1]
    assert counted[["same", "same_low", "same_high"]].isna().all(axis=None)
    assert counted["other"].iloc[4] == "calm: sad, sad: calm"
