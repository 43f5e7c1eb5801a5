"""The paper's claims: each holds, does not hold or stays undecided, as the numbers say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from speechsong.evaluation import claims
from speechsong.evaluation.predictions import COLUMNS


@pytest.mark.parametrize(
    ("low", "high", "bound", "side", "verdict"),
    [
        (1, 3, 0, "above", "holds"),
        (-3, -1, 0, "above", "does not hold"),
        (-1, 3, 0, "above", "undecided"),
        (-9, -6, -5, "below", "holds"),
        (-4, 2, -5, "below", "does not hold"),
        (-9, 2, -5, "below", "undecided"),
        (np.nan, np.nan, 0, "above", "undecided"),
    ],
)
def test_verdicts(low, high, bound, side, verdict):
    assert claims.judge(low, high, bound, side) == verdict


def answers(model: str, domain: str, by_layer: dict[int, float]) -> pd.DataFrame:
    """Predictions of probes, 20 speakers of 10 clips; the first of each speaker's are right, as many as asked for."""
    keys = {"model": model, "approach": "probe", "protocol": "random", "source": domain, "target": "", "stage": 1}
    rows = [
        keys
        | {"test_domain": domain, "layer": layer, "seed": 0, "clip_id": f"{speaker}-{i}", "true": "calm"}
        | {"predicted": "calm" if i < round(10 * share) + (speaker % 2) else "sad", "speaker": str(speaker)}
        | {"selected": "no"}
        for layer, share in by_layer.items()
        for speaker in range(20)
        for i in range(10)
    ]
    return pd.DataFrame(rows)[COLUMNS]


def test_a_fall_in_the_last_layers_is_seen():
    layers = {i: 0.8 if i < 10 else 0.4 for i in range(13)}
    flat = dict.fromkeys(layers, 0.7)
    table = pd.concat([answers(m, "speech", shares) for m, shares in (("w2v2", layers), ("hubert", flat))])
    found = {row["claim"]: row for row in claims.falls(table, ["speech"])}
    fallen, level = (
        found["w2v2 falls in its last layers (speech)"],
        found["hubert does not fall in its last layers (speech)"],
    )
    assert (fallen["verdict"], fallen["number"]) == ("holds", pytest.approx(-40))
    assert (level["verdict"], level["number"]) == ("holds", pytest.approx(0))
    swapped = table.assign(model=table["model"].map({"w2v2": "hubert", "hubert": "w2v2"}))
    assert [row["verdict"] for row in claims.falls(swapped, ["speech"])] == ["does not hold"] * 2
    shallow = table[table["layer"] < 3]
    assert {row["verdict"] for row in claims.falls(shallow, ["speech"])} == {claims.MISSING}
    alone = claims.falls(table[table["model"] == "w2v2"], ["speech"])
    assert [row["verdict"] for row in alone] == ["holds", claims.MISSING]


def test_specialists_are_compared_on_the_mean_of_their_layers():
    parts = [answers("w2v2", "speech", {0: 0.1, 1: 0.9, 2: 0.7}), answers("w2v2", "music", {1: 0.5})]
    parts += [answers("mert", "speech", {0: 0.9, 1: 0.6}), answers("mert", "music", {1: 0.3, 2: 0.7})]
    found = {row["claim"]: row for row in claims.specialists(pd.concat(parts), ["speech", "music"])}
    assert found["w2v2 is better at speech than mert"]["verdict"] == "holds"
    assert found["w2v2 is better at speech than mert"]["number"] == pytest.approx(20)
    assert found["mert is better at music than w2v2"]["number"] == 0
    assert found["mert is better at music than hubert"]["verdict"] == claims.MISSING
    # of other corpora nobody claimed anything
    assert {row["verdict"] for row in claims.specialists(pd.concat(parts), None)} == {claims.MISSING}


def distances(model: str, levels: dict[str, float], rising: bool, noise: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FADs of 5 layers, and without each of 8 blocks; layer 0 has all the other way round, and counts nothing."""
    rng = np.random.default_rng(0)
    fads, left_out = [], []
    for layer in range(5):
        for emotion, level in (levels | {"all": 3.0}).items():
            value = (
                level * (1 + layer if rising else 5 - layer) if layer else (1000 / level if rising else level / 1000)
            )
            keys = {"model": model, "layer": layer, "emotion": emotion}
            fads.append(keys | {"fad": value, "fad_corrected": value, "std_error": 1.0})
            moves = rng.normal(size=8)
            for block, move in enumerate(moves - moves.mean()):  # the jackknife corrects nothing
                moved = value * (1 + noise * move)
                left_out.append(keys | {"side": "both", "block": block, "frames": 100, "fad_left_out": moved})
    return pd.DataFrame(fads), pd.DataFrame(left_out)


ORDER = {"angry": 1.0, "fearful": 1.2, "happy": 2.0, "sad": 3.0, "neutral": 4.0, "calm": 5.0}


def test_the_order_of_emotions_is_judged_by_how_sure_it_is():
    found = claims.closeness(*distances("hubert", ORDER, True, 0.001))
    assert [row["verdict"] for row in found] == ["holds"] * 3
    assert [row["number"] for row in found] == [1, 1, 1]
    turned = dict(zip(ORDER, reversed(ORDER.values()), strict=True))
    found = claims.closeness(*distances("hubert", turned, False, 0.001))
    assert [row["verdict"] for row in found] == ["does not hold"] * 3
    assert [row["number"] for row in found] == [0, 0, -1]
    found = claims.closeness(*distances("hubert", dict.fromkeys(ORDER, 2.0), True, 0.05))
    assert [row["verdict"] for row in found[:2]] == ["undecided"] * 2


@pytest.mark.parametrize("levels", [{"bored": 1.0, "proud": 2.0}, {"angry": 1.0, "happy": 2.0, "calm": 3.0}])
def test_an_order_of_emotions_that_are_not_all_there_is_not_judged(levels):
    found = claims.closeness(*distances("mine", levels, True, 0.001))
    assert [row["verdict"] for row in found] == [claims.MISSING, claims.MISSING, "holds"]
    assert {row["in_paper"] for row in found} == {"no"}


def test_a_distance_without_an_error_decides_nothing():
    fads, left_out = distances("hubert", ORDER, True, 0.001)
    left_out.loc[(left_out["layer"] == 3) & (left_out["emotion"] == "sad"), "fad_left_out"] = np.nan
    found = claims.closeness(fads, left_out)
    assert [row["verdict"] for row in found] == ["undecided", "undecided", "holds"]
    assert np.isnan([row["number"] for row in found[:2]]).all()


def test_an_order_is_refuted_by_a_pair_that_is_the_other_way_round_and_by_nothing_else():
    rng = np.random.default_rng(1)
    apart = {e: i + 0.1 * rng.normal(size=1000) for i, e in enumerate("abcd")}
    order = tuple((e,) for e in "abcd")
    assert claims.judge_order(apart, order) == (1.0, "holds")
    swapped = apart | {"c": apart["d"], "d": apart["c"]}
    assert claims.judge_order(swapped, order) == (0.0, "does not hold")
    assert claims.judge_order(swapped, (("a", "b"), ("d", "c")))[1] == "holds"
    # one of 24 orders, as good as any other
    share, verdict = claims.judge_order({e: rng.normal(size=1000) for e in "abcd"}, order)
    assert (share < 0.1, verdict) == (True, "undecided")


def test_an_order_that_is_true_but_close_is_hardly_ever_refuted():
    """Truth in the order claimed, emotions 0.3 standard errors apart: few draws are in that order."""
    rng = np.random.default_rng(2)
    runs, refuted = 300, {"closest": 0, "then": 0}
    for _ in range(runs):
        level = {e: 0.3 * i + rng.normal() for i, e in enumerate(claims.CLOSEST + claims.THEN)}
        drawn = {e: level[e] + rng.normal(size=1000) for e in level}
        for name, order in (
            ("closest", (claims.CLOSEST, claims.THEN)),
            ("then", tuple((e,) for e in claims.THEN)),
        ):
            refuted[name] += claims.judge_order(drawn, order)[1] == "does not hold"
    assert max(refuted.values()) / runs < 0.025


def test_the_rise_with_depth_is_kendalls_tau():
    fads, left_out = distances("hubert", ORDER, True, 0.3)
    values = {1: 3.0, 2: 9.0, 3: 5.0, 4: 7.0}
    for layer, value in values.items():
        here = (fads["layer"] == layer) & (fads["emotion"] == "all")
        scale = value / fads.loc[here, "fad"].item()
        fads.loc[here, ["fad", "fad_corrected"]] = value
        there = (left_out["layer"] == layer) & (left_out["emotion"] == "all")
        left_out.loc[there, "fad_left_out"] *= scale
    row = claims.closeness(fads, left_out)[2]
    assert row["number"] == pytest.approx(kendalltau(list(values), list(values.values())).statistic)
    assert row["number_low"] <= row["number"] <= row["number_high"]


def test_equal_distances_are_seldom_told_apart():
    """Ten blocks, two emotions of equal truth among others far off: decided in about 5 % of runs."""
    rng = np.random.default_rng(5)
    decided, runs = 0, 200
    for _ in range(runs):
        keys = [{"model": "m", "layer": layer, "emotion": e} for layer in (0, 1) for e in (*ORDER, "all")]
        level = {**ORDER, "neutral": 3.0, "all": 3.0}  # as far as sad
        blocks = {e: level[e] + (rng.normal(size=10) if e in ("sad", "neutral") else np.zeros(10)) for e in level}
        fads = [k | {"fad": blocks[k["emotion"]].mean(), "fad_corrected": blocks[k["emotion"]].mean()} for k in keys]
        left_out = [
            k | {"side": "both", "block": b, "frames": 100, "fad_left_out": np.delete(blocks[k["emotion"]], b).mean()}
            for k in keys
            for b in range(10)
        ]
        row = claims.closeness(pd.DataFrame(fads), pd.DataFrame(left_out))[1]
        decided += row["verdict"] != "undecided"
    assert 0.01 <= decided / runs <= 0.10


def helped(*rows) -> dict[str, dict]:
    """What is said of rows (model, family, difference, half its interval, adjusted p), by claim."""
    keys = {"test": "sign-flip", "protocol": "random"}
    table = [
        keys
        | {"family": f"two-stage against {family}", "model": model, "difference": d, "p_adjusted": p}
        | {"difference_low": d - half, "difference_high": d + half}
        for model, family, d, half, p in rows
    ]
    table.append(table[0] | {"protocol": "speaker", "difference": -9, "difference_high": -7, "p_adjusted": 0.001})
    start = "the other domain first always helps "
    return {row["claim"].removeprefix(start): row for row in claims.helps(pd.DataFrame(table))}


def test_adaptation_always_helps_if_every_difference_is_above_zero():
    found = helped(("w2v2", "direct", 5, 2, 0.01), ("w2v2", "direct", 9, 2, 0.01), ("w2v2", "equal budget", 1, 2, 0.5))
    assert found["w2v2, against direct training"]["verdict"] == "holds"
    assert found["w2v2, against direct training"]["number"] == 5
    assert found["w2v2, against the equal budget"]["verdict"] == "undecided"
    assert found["hubert, against direct training"]["verdict"] == claims.MISSING


def test_one_direction_refutes_that_adaptation_always_helps_if_it_is_sure_to_harm():
    rows = [("w2v2", "direct", 4, 3, 0.1), ("w2v2", "direct", -6, 8, 0.9)]
    assert helped(*rows)["w2v2, against direct training"]["verdict"] == "undecided"
    chance = helped(*rows, ("w2v2", "direct", -3, 2, 0.07))["w2v2, against direct training"]
    assert chance["verdict"] == "undecided"  # one of many, and not beyond them
    found = helped(*rows, ("w2v2", "direct", -3, 2, 0.01))["w2v2, against direct training"]
    assert (found["verdict"], found["number"], found["number_high"]) == (
        "does not hold",
        -3,
        -1,
    )  # the row that refutes


def test_other_encoders_are_asked_too_but_the_paper_said_nothing_of_them():
    # comparisons of encoders with each other have no encoder of their own
    found = helped(("mine", "direct", 5, 2, 0.01), ("mert", "direct", 5, 2, 0.01), ("", "other", 1, 2, 0.5))
    assert not any(claim.startswith(",") for claim in found)
    assert found["mine, against direct training"]["in_paper"] == "no"
    assert found["w2v2, against direct training"]["in_paper"] == "yes"
    assert not any("mert" in claim for claim in found)


def compared(*rows) -> pd.DataFrame:
    return pd.DataFrame(
        [{"test": "sign-flip", "protocol": "random", "family": "two-stage against direct", "model": m} for m in rows]
    ).assign(difference=5.0, difference_low=3.0, difference_high=7.0, p_adjusted=0.01)


def test_the_checklist_has_every_claim_of_every_encoder():
    parts = [answers(m, d, dict.fromkeys(range(5), 0.5)) for m in claims.ENCODERS for d in ("speech", "music")]
    both = [distances(m, ORDER, True, 0.001) for m in ("hubert", "mine")]
    fads, left_out = (pd.concat(tables) for tables in zip(*both, strict=True))
    arguments = (pd.concat(parts), fads, left_out, compared("w2v2"), ["speech", "music"])
    table = claims.check(*arguments, ["speech", "music"])
    # falls and specialists: 2 encoders of 2 domains; 3 claims of each FAD; 2 of each speech encoder's adaptation
    assert len(table) == 4 + 4 + 2 * 3 + 2 * 2 == table["claim"].nunique()
    assert set(table.loc[table["in_paper"] == "no", "encoder"]) == {"mine"}
    assert set(table.loc[table["verdict"] == claims.MISSING, "claim"].str.split(",").str[-1]) == {
        " against the equal budget",
        " against direct training",
    }
    assert set(claims.check(*arguments, None)["in_paper"]) == {"no"}
