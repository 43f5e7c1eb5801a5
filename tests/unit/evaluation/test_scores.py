"""What is said of predictions is what scikit-learn, pandas and a pencil say of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score

from made_results import EMOTIONS, pick, result
from speechsong.evaluation import intervals, scores
from speechsong.evaluation.predictions import results


def test_metrics_agree_with_scikit_learn(predictions):
    table = pd.DataFrame(scores.measure(predictions, EMOTIONS))
    every = list(results(predictions))
    assert len(table) == (2 + len(EMOTIONS)) * len(every)
    for keys, answers in every[::7]:
        keys = {key: value for key, value in keys.items() if value is not None}
        found = pick(table, **keys).set_index("metric")
        true, predicted = answers["true"], answers["predicted"]
        assert found.loc["accuracy", "value"] == pytest.approx(accuracy_score(true, predicted))
        assert found.loc["uar", "value"] == pytest.approx(balanced_accuracy_score(true, predicted))
        recalls = recall_score(true, predicted, labels=EMOTIONS, average=None)
        assert list(found.loc[[f"recall_{e}" for e in EMOTIONS], "value"]) == pytest.approx(list(recalls))
        assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
        assert set(found["clips"]) == {answers["clip_id"].nunique()} and set(found["speakers"]) == {6}
    assert not table[["value", "low", "high"]].isna().any().any()


def test_an_interval_by_resampling_rows(predictions):
    """The same samples of speakers, by stacking their clips instead of by counts."""
    keys = {"model": "a", "approach": "ws", "protocol": "random", "source": "music", "target": "speech"}
    answers = pick(predictions, **keys, test_domain="speech")
    found = pd.DataFrame(scores.measure(answers, EMOTIONS)).set_index("metric")
    by_speaker = [rows for _, rows in answers.groupby("speaker")]
    accuracies, uars = [], []
    for counts in intervals.draw(6)[:400]:
        rows = pd.concat([part for part, count in zip(by_speaker, counts, strict=True) for _ in range(int(count))])
        accuracies.append(accuracy_score(rows["true"], rows["predicted"]))
        recalls = [np.mean(r["predicted"] == e) for e, r in rows.groupby("true")]
        uars.append(np.mean(recalls))
    accuracy = accuracy_score(answers["true"], answers["predicted"])
    wanted = {
        "accuracy": intervals.share_interval(accuracy, np.array(accuracies), 6, answers["clip_id"].nunique()),
        "uar": intervals.interval(np.array(uars), 6),
    }
    for metric, bounds in wanted.items():
        assert tuple(found.loc[metric, ["low", "high"]]) == pytest.approx(bounds, abs=0.02)


def test_confusion_agrees_with_scikit_learn(predictions):
    keys = {"model": "b", "approach": "probe", "protocol": "speaker"}
    keys |= {"fit": "paper", "source": "music", "test_domain": "music"}
    found = pick(pd.DataFrame(scores.confusion(predictions, EMOTIONS)), **keys, layer=1)
    counts = found.pivot(index="true", columns="predicted", values="count").loc[EMOTIONS, EMOTIONS].to_numpy()
    answers = result(predictions, **keys, layer=1)
    expected = confusion_matrix(answers["true"], answers["predicted"], labels=EMOTIONS)
    assert (counts == expected).all()
    shares = found.pivot(index="true", columns="predicted", values="share").loc[EMOTIONS, EMOTIONS].to_numpy()
    assert shares == pytest.approx(expected / expected.sum(axis=1, keepdims=True))


def test_accuracy_of_counts():
    right, total = np.array([[1, 2], [0, 0]]), np.array([[2, 2], [4, 0]])
    assert scores.accuracy(right, total)[0].tolist() == [0.5, 1]
    assert scores.accuracy(right, total)[1, 0] == 0 and np.isnan(scores.accuracy(right, total)[1, 1])
    assert float(scores.accuracy(-1, 4)) == -0.25


def test_an_emotion_that_is_never_tested_has_no_recall(predictions):
    answers = pick(predictions, model="a", approach="probe", protocol="random", test_domain="speech", layer=1)
    rows = scores.measure(answers, [*EMOTIONS, "absent"])
    found = {row["metric"]: row for row in rows if row["over"] == "layer"}
    assert np.isnan([found["recall_absent"][key] for key in ("value", "low", "high")]).all()
    assert found["uar"]["value"] == pytest.approx(np.mean([found[f"recall_{e}"]["value"] for e in EMOTIONS]))
    shares = [row["share"] for row in scores.confusion(answers, [*EMOTIONS, "absent"]) if row["true"] == "absent"]
    assert np.isnan(shares).all()
