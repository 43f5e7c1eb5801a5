"""Claims about FAD, asked of planted distances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_claims import EMOTIONS, by_name, fads
from speechsong.evaluation.claims_distances import Distances, distances, judge_distances
from speechsong.evaluation.claims_rows import MISSING, PAPER, Encoder

LEVEL = {"angry": 1.0, "fearful": 1.2, "happy": 2.0, "sad": 3.0, "neutral": 4.0, "calm": 5.0, "all": 2.5}
CLOSEST, THEN = "angry and fearful are the closest", "then come happy, sad, neutral, calm"
LAST = "FAD is larger in the last layer than in layer 1"
STEPS = "FAD rises from layer to layer, from layer {} to the last"
SHARP, ALIKE = "FAD rises sharply at the end", "the encoders order the emotions alike"
ON, STABLE = "FAD rises on in the middle layers", "FAD is stable in the middle layers"
LOWER = "FAD is lower in the upper half than in the middle layer"
APART = "calm, neutral, sad stand out in the layer before the last, and angry, happy, fearful do not"
# by layer, 0 to 8: the middle quarter is 4 and 5, the upper half 5 to 8
DEPTH = {
    "w2v2": [4, 4, 4, 4, 4, 2, 2, 2, 2],
    "hubert": [9, 1, 2, 3, 4, 5, 6, 7, 20],
    "mert": [9, 1, 2, 3, 4, 4.02, 5, 6, 20],
}
TURNED = {
    "w2v2": [2, 2, 2, 2, 2, 4, 4, 4, 4],
    "hubert": [1, 20, 7, 6, 5, 4, 3, 2.5, 0.5],
    "mert": [1, 20, 7, 6, 5, 3, 2.5, 2, 0.5],
}


def as_the_paper(model: str):
    def value(layer: int, emotion: str) -> float:
        loud = 2 if model == "w2v2" and layer == 7 and emotion in ("calm", "neutral", "sad") else 1
        return DEPTH[model][layer] * LEVEL[emotion] * loud

    return value


def turned(model: str):
    """Give the order of emotions and of layers the other way round."""
    names = sorted(EMOTIONS, key=LEVEL.get)
    level = dict(zip(names, sorted((LEVEL[e] for e in EMOTIONS), reverse=True), strict=True)) | {"all": 2.5}

    def value(layer: int, emotion: str) -> float:
        loud = 2 if model == "w2v2" and layer == 7 and emotion in ("angry", "happy", "fearful") else 1
        return TURNED[model][layer] * level[emotion] * loud

    return value


def rows(values: dict, encoders=PAPER, **options: float) -> dict[tuple, dict]:
    found = {model: distances(*fads(model, value, **options)) for model, value in values.items()}
    return by_name(judge_distances(found, list(encoders)))


def verdicts(found: dict[tuple, dict], paper: bool = True) -> dict[tuple, str]:
    return {key: row["verdict"] for key, row in found.items() if (row["in_paper"] == "yes") == paper}


def test_distances_as_the_paper_has_them_confirm_all_that_it_says():
    found = rows({m: as_the_paper(m) for m in DEPTH})
    assert set(verdicts(found).values()) == {"holds"}
    # each by the plain and by the corrected FAD
    assert {key[2] for key in found} == {"plain", "corrected"}
    number = {key[:2]: row["number"] for key, row in found.items() if key[2] == "plain"}
    assert number[LAST, "hubert"] == pytest.approx(20)
    assert number[STEPS.format(1), "hubert"] == 1
    # layer 0 is farther than layer 1, and the number shows it
    assert number[STEPS.format(0), "hubert"] == pytest.approx(7 / 8)
    assert number[SHARP, "hubert"] == pytest.approx((13 - 1) / 6, rel=0.01)
    assert number[ON, "hubert"] == pytest.approx(np.log(5 / 4))
    assert number[STABLE, "mert"] == pytest.approx(np.log(4.02 / 4))
    assert number[LOWER, "w2v2"] == pytest.approx(np.log(2 / 4))
    assert number[APART, "w2v2"] == pytest.approx(np.log(2))
    assert number[ALIKE, "w2v2, hubert, mert"] == 1
    mean = sum(LEVEL[e] for e in EMOTIONS) / 6
    assert number[CLOSEST, "hubert"] == pytest.approx((2.0 - 1.2) / mean)
    assert number["angry is closer than calm", "mert"] == pytest.approx(4 / mean)
    assert "layer 0 is left out" in found[LAST, "hubert", "plain"]["meaning"]
    assert "true in 100 % of the samples" in found[THEN, "mert", "plain"]["meaning"]


def test_distances_the_other_way_round_refute_it():
    found = rows({m: turned(m) for m in DEPTH})
    # in one order the encoders agree, whichever it is
    agreed = {key for key in found if key[0] == ALIKE}
    assert {v for key, v in verdicts(found).items() if key not in agreed} == {"does not hold"}
    assert {found[key]["verdict"] for key in agreed} == {"holds"}


def test_encoders_that_disagree_do_not_order_alike():
    rng = np.random.default_rng(0)
    orders = {m: dict(zip(EMOTIONS, rng.permutation([1.0, 2, 3, 4, 5, 6]), strict=True)) | {"all": 2} for m in DEPTH}
    opposite = {e: 7 - v for e, v in orders["w2v2"].items()}
    values = {m: lambda i, e, level=level: level[e] for m, level in (orders | {"hubert": opposite}).items()}
    row = rows(values)[ALIKE, "w2v2, hubert, mert", "plain"]
    assert row["verdict"] == "does not hold"
    assert 0.5 < row["bound"] < 0.8


def test_noise_decides_nothing():
    found = rows({m: lambda i, e: 5.0 for m in DEPTH}, noise=0.5)
    undecided = [v == "undecided" for v in verdicts(found).values()]
    assert np.mean(undecided) > 0.9


def test_the_plain_fad_may_say_what_the_corrected_does_not():
    """Calm is a small sample: its plain FAD is larger by as much as makes it the farthest."""
    tables = fads("mine", lambda i, e: LEVEL[e] if e != "calm" else 0.5)
    tables[0].loc[tables[0]["emotion"] == "calm", "fad"] += 4.5
    tables[1].loc[tables[1]["emotion"] == "calm", "fad_left_out"] += 4.5 * 8 / 7
    found = by_name(judge_distances({"mine": distances(*tables)}, [Encoder("mine")]))
    key = ("angry is closer than calm", "mine")
    assert [found[*key, kind]["verdict"] for kind in ("plain", "corrected")] == ["holds", "does not hold"]


def test_other_encoders_are_asked_by_family_and_the_rise_of_all():
    mine = [Encoder("large", "hubert", "speech"), Encoder("other", "whisper", "speech"), Encoder("random")]
    found = rows({"large": as_the_paper("hubert"), "other": as_the_paper("mert"), "random": as_the_paper("w2v2")}, mine)
    ours = {key: row for key, row in found.items() if row["encoder"] in ("large", "other", "random")}
    assert {row["in_paper"] for row in ours.values()} == {"no"}
    asked = {name: {key[0] for key in ours if key[1] == name} for name in ("large", "other", "random")}
    everyone = {CLOSEST, THEN, "angry is closer than calm", LAST, STEPS.format(0), STEPS.format(1)}
    assert asked["random"] == asked["other"] == everyone
    assert asked["large"] == everyone | {SHARP, ON}
    assert found[ALIKE, "large, other", "plain"]["in_paper"] == "no"
    assert found[ALIKE, "w2v2, hubert, mert", "plain"]["verdict"] == MISSING
    assert {row["verdict"] for row in found.values() if row["encoder"] in DEPTH} == {MISSING}


@pytest.mark.parametrize("left", [("bored", "proud"), ("angry", "happy"), ("angry", "happy", "calm")])
def test_orders_need_the_emotions_that_they_name(left):
    tables = {m: [t[t["emotion"].isin([*left, "all"])] for t in fads(m, as_the_paper(m))] for m in DEPTH}
    found = by_name(judge_distances({m: distances(*both) for m, both in tables.items()}, list(PAPER)))
    assert found[CLOSEST, "hubert", "plain"]["verdict"] == found[THEN, "hubert", "plain"]["verdict"] == MISSING
    assert found[LAST, "hubert", "plain"]["verdict"] == "holds"
    closer, alike = found["angry is closer than calm", "hubert", "plain"], found[ALIKE, "w2v2, hubert, mert", "plain"]
    if "calm" not in left:
        # two orders of two emotions are the same by chance every other time
        assert closer["verdict"] == alike["verdict"] == MISSING
        return
    mean = sum(LEVEL[e] for e in left) / 3
    assert closer["number"] == pytest.approx((LEVEL["calm"] - LEVEL["angry"]) / mean)
    assert (alike["number"], alike["verdict"]) == (1, "holds")
    # three random orders of three have W = 1 in one case of 36, and 7/9 in six
    assert alike["bound"] == pytest.approx(7 / 9)


def test_a_distance_without_an_error_decides_nothing():
    tables = fads("hubert", as_the_paper("hubert"))
    tables[1].loc[(tables[1]["layer"] == 3) & (tables[1]["emotion"] == "sad"), "fad_left_out"] = np.nan
    found = by_name(judge_distances({"hubert": distances(*tables)}, list(PAPER)))
    assert found[THEN, "hubert", "corrected"]["verdict"] == "undecided"
    assert found[LAST, "hubert", "corrected"]["verdict"] == "holds"


def test_an_order_that_is_true_but_close_is_hardly_ever_refuted():
    """Truth in the order claimed, emotions 0.3 standard errors apart: few samples are in that order."""
    rng = np.random.default_rng(2)
    names = ["angry", "fearful", "happy", "sad", "neutral", "calm"]
    runs, refuted = 200, 0
    for _ in range(runs):
        level = 100 + 0.3 * np.arange(6) + rng.normal(size=6)
        one = Distances("plain", names, [1], level[None], level + rng.normal(size=(2000, 1, 6)))
        found = by_name(judge_distances({"mine": [one, one]}, [Encoder("mine")]))
        refuted += found[THEN, "mine", "plain"]["verdict"] == "does not hold"
    assert refuted / runs <= 0.025


def test_one_state_alone_has_an_order():
    found = rows({"logmel": lambda i, e: LEVEL[e]}, [Encoder("logmel")], layers=0)
    assert found[CLOSEST, "logmel", "plain"]["verdict"] == "holds"
    assert found[LAST, "logmel", "plain"]["verdict"] == MISSING
    assert isinstance(pd.DataFrame(found.values())["number"].dtype, np.dtype)
