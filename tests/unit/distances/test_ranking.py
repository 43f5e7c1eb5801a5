"""Ranks and their shares against counting by hand; resampled FADs against the standard error and a real bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from speechsong.distances import fad, ranking
from speechsong.distances.jackknife import jackknife
from speechsong.embeddings.moments import Blocks, of_frames

EMOTIONS = ["calm", "sad", "angry"]
ENDS = ["fad_corrected_low", "fad_corrected_high"]
ERROR = ["fad_corrected", *ENDS, "std_error"]


def tables(
    values: dict[tuple[int, str], float], without: dict[tuple[int, str], dict[str, list[tuple]]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FAD rows and, by side, lists of (block, frames, FAD without it)."""
    fads = [
        {"model": "m", "layer": layer, "emotion": e, "fad": value, "clips_A": 3, "fad_matched": value + 1}
        | {"fad_within_A": 0.5, "fad_within_B": 0.25, "fad_across": value + 2}
        for (layer, e), value in values.items()
    ]
    left_out = [
        {"model": "m", "layer": layer, "emotion": e, "side": side, "block": j, "frames": m, "fad_left_out": value}
        for (layer, e), sides in without.items()
        for side, blocks in sides.items()
        for j, m, value in blocks
    ]
    return pd.DataFrame(fads), pd.DataFrame(left_out)


def random(seed: int, sides: dict[str, int], sizes: bool = True, layers: tuple[int, ...] = (0, 1, 2), error=0.1):
    rng = np.random.default_rng(seed)
    values, without = {}, {}
    frames = {
        (e, side): rng.integers(20, 60, blocks) if sizes else np.full(blocks, 30)
        for e in [*EMOTIONS, "all"]
        for side, blocks in sides.items()
    }
    for layer in layers:
        for i, e in enumerate([*EMOTIONS, "all"]):
            values[layer, e] = 5 + 0.3 * i + layer
            without[layer, e] = {
                side: [
                    (j, m, values[layer, e] + 0.1 + error * rng.standard_normal())
                    for j, m in enumerate(frames[e, side])
                ]
                for side in sides
            }
    return tables(values, without)


BOTH, TWO = {"both": 8}, {"A": 8, "B": 5}


def cell(rows: pd.DataFrame, layer: int, emotion: str) -> pd.DataFrame:
    return rows[(rows["layer"] == layer) & (rows["emotion"] == emotion)]


def by_hand(fads: pd.DataFrame, left_out: pd.DataFrame, layer: int, emotion: str) -> tuple[float, float]:
    value = cell(fads, layer, emotion)["fad"].item()
    corrected, variance = value, 0.0
    for _, some in cell(left_out, layer, emotion).groupby("side"):
        found = jackknife(value, some["fad_left_out"].to_numpy(), some["frames"].to_numpy())
        corrected, variance = corrected + found[0] - value, variance + found[1]
    return corrected, np.sqrt(variance)


def wider(sides: dict[str, int]) -> float:
    """By how much Student's interval is wider than the normal's."""
    return student.ppf(0.975, min(sides.values()) - 1) / student.ppf(0.975, np.inf)


# --- resampling


@pytest.mark.parametrize("sides", [BOTH, TWO], ids=["paired", "independent"])
def test_draws_scatter_by_the_standard_error_about_the_corrected_value(sides):
    fads, left_out = random(0, sides, sizes=False)
    found = ranking.resample(fads, left_out)
    assert found.shape == (10_000, 3, 4)
    for layer in range(3):
        for i, emotion in enumerate([*EMOTIONS, "all"]):
            corrected, error = by_hand(fads, left_out, layer, emotion)
            assert found[:, layer, i].std() == pytest.approx(wider(sides) * error, rel=0.04)
            assert found[:, layer, i].mean() == pytest.approx(corrected, abs=0.05 * error)
            reach = student.ppf(0.975, min(sides.values()) - 1) * error
            assert np.mean(np.abs(found[:, layer, i] - corrected) < reach) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("sides", [BOTH, TWO], ids=["paired", "independent"])
def test_blocks_of_unequal_size(sides):
    fads, left_out = random(1, sides)
    found = ranking.resample(fads, left_out)
    for i, emotion in enumerate([*EMOTIONS, "all"]):
        corrected, error = by_hand(fads, left_out, 1, emotion)
        assert found[:, 1, i].std() == pytest.approx(wider(sides) * error, rel=0.1)
        assert found[:, 1, i].mean() == pytest.approx(corrected, abs=0.05 * error)


def test_the_same_draws_for_every_layer_and_emotion():
    fads, left_out = random(2, BOTH)
    # one layer is three times the other: so are its draws, one by one
    for rows, column in ((fads, "fad"), (left_out, "fad_left_out")):
        rows.loc[rows["layer"] == 2, column] = 3 * rows.loc[rows["layer"] == 1, column].to_numpy()
    found = ranking.resample(fads, left_out, draws=50)
    np.testing.assert_allclose(found[:, 2], 3 * found[:, 1])
    np.testing.assert_array_equal(found, ranking.resample(fads, left_out, draws=50))
    assert (ranking.resample(fads, left_out, draws=50, seed=1) != found).any()


def test_the_order_of_rows_left_out_changes_nothing():
    fads, left_out = random(3, BOTH)
    shuffled = left_out.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(ranking.resample(fads, left_out), ranking.resample(fads, shuffled))


def test_a_block_without_frames_of_an_emotion_moves_it_not():
    fads, left_out = random(4, BOTH, sizes=False)
    absent = (left_out["emotion"] == "sad") & (left_out["block"] == 3)
    left_out = left_out[~absent]
    found = ranking.resample(fads, left_out)
    corrected, error = by_hand(fads, left_out, 0, "sad")
    assert found[:, 0, 1].std() == pytest.approx(wider({"both": 7}) * error, rel=0.05)
    assert found[:, 0, 1].mean() == pytest.approx(corrected, abs=0.05 * error)


@pytest.mark.filterwarnings("error")
def test_an_emotion_without_an_error_is_unknown_and_the_others_are_not():
    fads, left_out = random(5, BOTH)
    left_out.loc[left_out["emotion"] == "sad", "fad_left_out"] = np.nan
    found = ranking.resample(fads, left_out, draws=20)
    assert np.isnan(found[:, :, 1]).all()
    assert np.isfinite(found[:, :, [0, 2, 3]]).all()
    rows = ranking.table(fads, left_out, draws=20)
    assert rows["rank"].isna().all()
    shares = ["rank_left_out", "rank_resampled", "order_left_out", "order_resampled"]
    assert np.isnan(rows[shares].to_numpy(float)).all()
    assert np.isnan(rows.loc[rows["emotion"] == "sad", ERROR]).all(axis=None)


@pytest.mark.filterwarnings("error")
def test_one_block_tells_nothing():
    fads, left_out = tables(
        {(0, e): 1.0 + i for i, e in enumerate(EMOTIONS)}, {(0, e): {"both": [(0, 9, np.nan)]} for e in EMOTIONS}
    )
    assert np.isnan(ranking.resample(fads, left_out, draws=5)).all()
    assert np.isnan(ranking.table(fads, left_out, draws=5)["rank_resampled"].to_numpy(float)).all()


def test_draws_are_like_a_bootstrap_of_the_speakers_themselves():
    rng = np.random.default_rng(6)
    a, b = (0.4 * rng.standard_normal((12, 1, 3)) + rng.standard_normal((12, 30, 3)) for _ in range(2))
    # well apart: near zero a distance is not linear in its data, and no influence tells its error
    b = 1.3 * b + 1
    blocks = [
        Blocks(*(np.array([getattr(of_frames(x), k) for x in side]) for k in ("count", "mean", "scatter")))
        for side in (a, b)
    ]
    found = fad.estimate(*blocks, paired=True)
    without = {(0, "calm"): {"both": [(one.block, one.frames, one.fad) for one in found.left_out]}}
    draws = ranking.resample(*tables({(0, "calm"): found.distance.fad}, without))[:, 0, 0]
    real = []
    for _ in range(1000):
        chosen = rng.integers(12, size=12)
        real.append(fad.frechet(*(of_frames(np.concatenate(side[chosen])) for side in (a, b))).fad)
    assert draws.std() == pytest.approx(wider({"both": 12}) * np.std(real) * np.sqrt(12 / 11), rel=0.25)


# --- the table


@pytest.mark.parametrize("sides", [BOTH, TWO], ids=["paired", "independent"])
def test_columns_of_layers(sides):
    fads, left_out = random(7, sides)
    rows = ranking.table(fads, left_out)
    assert list(rows.columns) == [
        *("model", "over", "layer", "emotion", "fad", *ERROR),
        *("fad_matched", "fad_within_A", "fad_within_B", "fad_across"),
        *("rank", "rank_left_out", "rank_resampled", "order_left_out", "order_resampled"),
    ]
    assert list(rows["layer"].dropna().unique()) == [0, 1, 2]
    assert list(rows["over"]) == ["layer"] * 12 + ["mean"] * 4
    assert rows.loc[rows["over"] == "mean", "layer"].isna().all()
    assert list(rows["emotion"]) == 4 * [*EMOTIONS, "all"]
    row = rows.iloc[5]
    corrected, error = by_hand(fads, left_out, 1, "sad")
    assert (row["layer"], row["emotion"], row["fad"]) == (1, "sad", 6.3)
    assert row["fad_corrected"] == pytest.approx(corrected)
    assert row["std_error"] == pytest.approx(error)
    reach = student.ppf(0.975, min(sides.values()) - 1) * error
    assert tuple(row[ENDS]) == pytest.approx((corrected - reach, corrected + reach))
    assert (row["fad_matched"], row["fad_within_A"], row["fad_across"]) == pytest.approx((7.3, 0.5, 8.3))


def test_shares_of_ranks_left_out_by_counting():
    # blocks of one size: all of an emotion have the same bias, and of all emotions here nearly so
    fads, left_out = random(8, BOTH, sizes=False, error=0.3)
    rows = ranking.table(fads, left_out).set_index(["layer", "emotion"])
    for layer in range(3):
        place, corrected = {}, {}
        for e in EMOTIONS:
            whole, _ = by_hand(fads, left_out, layer, e)
            bias = cell(fads, layer, e)["fad"].item() - whole
            place[e], corrected[e] = whole, cell(left_out, layer, e)["fad_left_out"].to_numpy() - bias * 8 / 7
        order = sorted(EMOTIONS, key=place.get)
        found = [sorted(EMOTIONS, key=lambda e, j=j: corrected[e][j]) for j in range(8)]
        for i, e in enumerate(order):
            row = rows.loc[layer, e]
            assert row["rank"] == i + 1
            assert row["rank_left_out"] == np.mean([one.index(e) == i for one in found])
            assert row["order_left_out"] == np.mean([one == order for one in found])
        assert pd.isna(rows.loc[(layer, "all"), "rank"])
    assert 0 < rows["order_left_out"].min() < 1


def test_ranks_are_by_the_corrected_distance():
    """What only a small sample puts last is not last."""
    fads, left_out = tables(
        {(0, "calm"): 5.0, (0, "sad"): 6.0},
        {
            (0, "calm"): {"both": [(j, 30, 5.0 + 0.01 * (j % 2)) for j in range(4)]},
            # without a block much larger: a bias of about 3
            (0, "sad"): {"both": [(j, 10, 7.0 + 0.01 * (j % 2)) for j in range(4)]},
        },
    )
    rows = ranking.table(fads, left_out).set_index(["layer", "emotion"])
    assert rows.loc[(0, "sad"), "fad_corrected"] < rows.loc[(0, "calm"), "fad_corrected"]
    assert list(rows.loc[0, "rank"]) == [2, 1]
    assert (rows[["rank_left_out", "rank_resampled", "order_resampled"]] == 1).all(axis=None)


def test_shares_of_ranks_resampled_by_counting():
    fads, left_out = random(9, BOTH, error=0.03)
    draws = ranking.resample(fads, left_out, draws=500)
    rows = ranking.table(fads, left_out, draws=500).set_index(["layer", "emotion"])
    for layer in range(3):
        corrected = [by_hand(fads, left_out, layer, e)[0] for e in EMOTIONS]
        order = np.argsort(corrected)
        orders = np.array([np.argsort(one[:3]) for one in draws[:, layer]])
        for i, k in enumerate(order):
            assert rows.loc[(layer, EMOTIONS[k]), "rank_resampled"] == np.mean(orders[:, i] == k)
        assert rows.loc[(layer, "sad"), "order_resampled"] == np.mean((orders == order).all(axis=1))
        assert 0.2 < rows.loc[(layer, "sad"), "order_resampled"] < 1


def test_emotions_far_apart_are_surely_ranked():
    fads, left_out = random(10, BOTH, sizes=False, error=1e-4)
    rows = ranking.table(fads, left_out, draws=100)
    rows = rows[rows["emotion"] != "all"]
    assert (rows[["rank_left_out", "rank_resampled", "order_left_out", "order_resampled"]] == 1).all(axis=None)


@pytest.mark.parametrize("layers", [(0, 1, 2), (0,)])
def test_all_layers_by_the_mean_of_their_logarithms(layers):
    fads, left_out = random(11, BOTH, layers=layers)
    used = [layer for layer in layers if layer] or [0]
    rows = ranking.table(fads, left_out)
    rows = rows[rows["over"] == "mean"].set_index("emotion")
    for e in [*EMOTIONS, "all"]:
        some = [cell(left_out, layer, e) for layer in used]
        value = np.mean([np.log(cell(fads, layer, e)["fad"].item()) for layer in used])
        without = np.mean([np.log(x["fad_left_out"].to_numpy()) for x in some], axis=0)
        corrected, variance = jackknife(value, without, some[0]["frames"].to_numpy())
        row = rows.loc[e]
        assert row["fad"] == pytest.approx(np.exp(value))
        assert row["fad_corrected"] == pytest.approx(np.exp(corrected))
        assert row["std_error"] == pytest.approx(np.exp(corrected) * np.sqrt(variance))
        reach = student.ppf(0.975, 7) * np.sqrt(variance)
        assert tuple(row[ENDS]) == pytest.approx((np.exp(corrected - reach), np.exp(corrected + reach)))
        matched = [cell(fads, layer, e)["fad_matched"].item() for layer in used]
        assert row["fad_matched"] == pytest.approx(np.exp(np.mean(np.log(matched))))
    some = rows.drop("all")
    assert list(some["rank"].astype(int)) == list(some["fad_corrected"].rank())


def test_the_interval_holds_the_truth():
    rng = np.random.default_rng(12)
    held = []
    for _ in range(100):
        a, b = (0.4 * rng.standard_normal((10, 1, 3)) + rng.standard_normal((10, 20, 3)) for _ in range(2))
        blocks = [
            Blocks(*(np.array([getattr(of_frames(x), k) for x in side]) for k in ("count", "mean", "scatter")))
            for side in (a, b + 1)
        ]
        found = fad.estimate(*blocks, paired=True)
        without = {(0, "calm"): {"both": [(one.block, one.frames, one.fad) for one in found.left_out]}}
        row = ranking.table(*tables({(0, "calm"): found.distance.fad}, without), draws=2).iloc[0]
        held.append(row[ENDS[0]] < 3 < row[ENDS[1]])
    assert np.mean(held) > 0.85
