"""Strata are what pandas says of the same clips, and planted differences are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_results import EMOTIONS, pick
from speechsong.evaluation.intervals import wilson
from speechsong.evaluation.strata import COLUMNS, KEYS, by_speaker, label, strata

LOUD, WORSE = 0.9, 0.4


@pytest.fixture(scope="module")
def clips(predictions) -> pd.DataFrame:
    """What is known of each clip: everything but the intensity goes with the speaker, and `calm` is never loud."""
    known = predictions[["test_domain", "clip_id", "speaker", "true"]].drop_duplicates()
    number = known["clip_id"].str[-2:].astype(int)
    return pd.DataFrame(
        {
            "clip_id": known["clip_id"],
            "domain": known["test_domain"],
            "emotion": known["true"],
            "speaker": known["speaker"],
            "gender": np.where(known["speaker"].astype(int) % 2, "male", "female"),
            "statement": "01",
            "intensity": np.where((number // 36 == 1) & (known["true"] != "calm"), "strong", "normal"),
        }
    )


@pytest.fixture(scope="module")
def labelled(predictions, clips):
    """Give every answer to a strong clip a planted chance of being right."""
    table = label(predictions, clips)
    rng = np.random.default_rng(1)
    skill = np.where(table["intensity"] == "strong", LOUD, WORSE)
    wrong = table["true"].map(dict(zip(EMOTIONS, [*EMOTIONS[1:], EMOTIONS[0]], strict=True)))
    return table.assign(predicted=table["true"].where(rng.random(len(table)) < skill, wrong))


def test_only_selected_layers_on_their_own_domain(labelled, predictions):
    assert (labelled["selected"] == "yes").all()
    assert (labelled["source"] == labelled["test_domain"]).all()
    own = predictions[(predictions["selected"] == "yes") & (predictions["source"] == predictions["test_domain"])]
    assert len(labelled) == len(own)


def test_every_number_by_counting(labelled):
    table = strata(labelled, ["intensity", "gender", "statement"])
    assert list(table.columns) == COLUMNS
    # all say the same, so there is nothing to compare by statement
    assert set(table["attribute"]) == {"intensity", "gender"}
    for row in table.to_dict("records"):
        answers = pick(labelled, **{key: row[key] for key in KEYS})
        if row["attribute"] == "intensity":
            answers = answers[answers["true"] != "calm"]
            assert row["emotions"] == len(EMOTIONS) - 1
        right = answers["true"] == answers["predicted"]
        here = answers[row["attribute"]] == row["level"]
        assert row["accuracy"] == pytest.approx(100 * right[here].mean())
        assert row["others"] == pytest.approx(100 * right[~here].mean())
        assert row["difference"] == pytest.approx(row["accuracy"] - row["others"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert row["speakers"] == answers.loc[here, "speaker"].nunique()
        assert row["clips"] == answers.loc[here, "clip_id"].nunique()


def test_a_planted_difference_is_found_and_none_where_there_is_none(labelled):
    table = strata(labelled, ["intensity", "gender"])
    strong = pick(table, attribute="intensity", level="strong", protocol="random")
    assert (strong["difference_low"] > 0).all()
    assert np.allclose(strong["difference"], 100 * (LOUD - WORSE), atol=35)
    women = pick(table, attribute="gender", level="female")
    assert (women["difference_low"] < 0).mean() > 0.8 and (women["difference_high"] > 0).mean() > 0.8


def test_what_nobody_knows_is_not_compared(labelled):
    unknown = labelled.assign(gender="")
    assert strata(unknown, ["gender"]).empty
    some = labelled.assign(gender=labelled["gender"].where(labelled["speaker"] != "00", ""))
    counted = strata(some, ["gender"]).groupby(KEYS)["clips"].sum()
    for key, answers in labelled[labelled["speaker"] != "00"].groupby(KEYS):
        assert counted[key] == answers["clip_id"].nunique()


def test_speakers_from_the_best_to_the_worst(labelled):
    table = pd.DataFrame(by_speaker(labelled))
    for key, rows in table.groupby(KEYS):
        answers = pick(labelled, **dict(zip(KEYS, key, strict=True)))
        assert sorted(rows["speaker_id"]) == sorted(answers["speaker"].unique())
        assert rows["accuracy"].is_monotonic_decreasing
        for row in rows.to_dict("records"):
            own = pick(answers, speaker=row["speaker_id"])
            share = (own["true"] == own["predicted"]).mean()
            low, high = wilson(share, own["clip_id"].nunique())
            assert row["accuracy"] == pytest.approx(100 * share)
            assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((100 * low, 100 * high))
            assert row["gender"] == own["gender"].iloc[0]
