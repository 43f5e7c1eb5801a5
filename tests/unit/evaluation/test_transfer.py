"""Transfer is what pandas says of the same clips, and planted losses are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_results import EMOTIONS, pick, result
from speechsong.evaluation.transfer import summary, transfer

CHANCE = 100 / len(EMOTIONS)


@pytest.fixture(scope="module")
def table(predictions):
    return pd.DataFrame(transfer(predictions, EMOTIONS)).astype({"layer": "Int64"})


def test_one_row_for_each_result_direction_and_emotion(table):
    keys = ["model", "approach", "fit", "protocol", "source", "target", "over", "layer", "emotion"]
    assert list(table.columns[: len(keys)]) == [*keys[:5], "over", "layer", "target", "emotion"]
    assert not table.duplicated(keys).any()
    # 2 models, protocols, directions: 2 fits of 3 layers, mean and selected; 2 approaches of stage one
    assert len(table) == 2 * 2 * 2 * (2 * 5 + 2) * (1 + len(EMOTIONS))
    assert (table["source"] != table["target"]).all()


@pytest.mark.parametrize("emotion", ["all", *EMOTIONS])
def test_both_numbers_are_those_of_the_same_clips(table, predictions, emotion):
    keys = {"model": "b", "approach": "probe", "fit": "converged", "protocol": "speaker", "layer": 2}
    row = pick(table, **keys, source="speech", target="music", emotion=emotion).iloc[0]
    shares, clips = {}, {}
    for name, source in (("within", "music"), ("across", "speech")):
        answers = result(predictions, **keys, source=source, test_domain="music")
        answers = answers if emotion == "all" else pick(answers, true=emotion)
        shares[name] = 100 * (answers["true"] == answers["predicted"]).mean()
        clips[name] = set(answers["clip_id"])
        assert row[name] == pytest.approx(shares[name])
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert clips["within"] == clips["across"] and row["clips"] == len(clips["across"])
    assert row["difference"] == pytest.approx(shares["across"] - shares["within"])
    assert row["kept"] == pytest.approx((shares["across"] - CHANCE) / (shares["within"] - CHANCE))


def test_a_planted_loss_is_found(table):
    # training elsewhere costs 0.3 of the skill; skill 1 is all right, skill 0 is chance
    skill = (0.5 + 0.7) / 2 + 0.1 + 0.1
    rows = pick(table, model="b", fit="converged", over="mean", emotion="all", protocol="speaker")
    assert len(rows) == 2
    assert np.allclose(rows["kept"], (skill - 0.3) / skill, atol=0.2)
    assert (rows["kept_low"] < rows["kept"]).all() and (rows["kept"] < rows["kept_high"]).all()


def test_nothing_can_be_kept_of_chance(predictions):
    wrong = predictions.copy()
    at_home = wrong["source"] == wrong["test_domain"]
    # always the next emotion
    following = dict(zip(EMOTIONS, [*EMOTIONS[1:], EMOTIONS[0]], strict=True))
    wrong.loc[at_home, "predicted"] = wrong.loc[at_home, "true"].map(following)
    found = pd.DataFrame(transfer(wrong, EMOTIONS))
    assert (found["within"] == 0).all()
    assert found[["kept", "kept_low", "kept_high"]].isna().all().all()


def test_the_summary_is_of_all_emotions_without_single_layers(table):
    found = summary(table)
    assert set(found["over"]) == {"mean", "selected", ""}
    assert len(found) == 2 * 2 * 2 * (2 * 2 + 2)
    assert not {"layer", "emotion"} & set(found)
