"""Comparisons pair the answers that belong together, and say of them what pandas says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from made_results import EMOTIONS, pick, result
from speechsong.evaluation import comparisons, intervals, scores


def test_comparisons_pair_what_they_should(predictions):
    found = pd.DataFrame(comparisons.compare(predictions))
    tests = found[found["test"] == "sign-flip"]
    counts = tests.groupby("family").size()
    # 2 models x 2 approaches x 2 protocols x 2 directions
    for family in ("two-stage against direct", "two-stage against equal budget", "source after against before"):
        assert counts[family] == 16
    # the same, by domain of the test instead of direction
    for family in ("joint against direct", "joint against equal budget", "joint against two-stage"):
        assert counts[family] == 16
        for row in pick(tests, family=family).itertuples():
            home, other = row.test_domain, {"speech": "music", "music": "speech"}[row.test_domain]
            against = {"direct": home, "budget": f"{home} then {home}", "two-stage": f"{other} then {home}"}
            label = f"{row.model} {row.approach}"
            assert (row.a, row.b) == (f"{label} (speech+music)", f"{label} ({against[family.split()[-1]]})")
    assert counts["approach against approach"] == 2 * 2 * 6  # models, protocols, stages
    # protocols; domains of probes in two fits, stages
    assert counts["encoder against encoder"] == 2 * (2 * 2 + 2 * 6)
    assert counts["converged against paper"] == 2 * 2 * 2  # models, protocols, domains
    fits = pick(tests, family="converged against paper", model="a", test_domain="music", protocol="random").iloc[0]
    assert (fits["a"], fits["b"], fits["fit"]) == ("a converged probe (music)", "a probe (music)", "")
    assert set(found["test"]) == {"sign-flip", "mcnemar"}
    assert set(pick(found, test="mcnemar", protocol="random")["seed"]) == {0, 1, 2}
    row = pick(tests, a="b ws (music then speech)", b="b ws (speech)", protocol="random").iloc[0]
    a = result(
        predictions, model="b", approach="ws", protocol="random", source="music", target="speech", test_domain="speech"
    )
    b = result(predictions, model="b", approach="ws", protocol="random", source="speech", target="")
    both = a.merge(b, on=["seed", "clip_id"], suffixes=("_a", "_b"))
    assert len(both) == len(a) == row["answers"]
    right_a, right_b = (both[f"true_{s}"] == both[f"predicted_{s}"] for s in "ab")
    assert row["difference"] == pytest.approx(100 * (right_a.mean() - right_b.mean()))
    assert (row["only_a"], row["only_b"]) == ((right_a & ~right_b).sum(), (right_b & ~right_a).sum())
    by_speaker = (right_a.astype(int) - right_b.astype(int)).groupby(both["speaker_a"]).sum().to_numpy()
    assert row["p"] == pytest.approx(intervals.sign_flip(by_speaker))


def test_only_seeds_of_both_are_compared(predictions):
    one_seed = (predictions["approach"] != "ws") | (predictions["seed"] == 0)
    found = pd.DataFrame(comparisons.compare(predictions[one_seed]))
    keys = {"family": "approach against approach", "model": "a", "protocol": "random"}
    rows = pick(found, **keys)
    assert set(rows["seed"]) == {"all", 0}
    ws = result(predictions, model="a", approach="ws", protocol="random", source="music", target="")
    row = pick(rows, test="sign-flip", a="a ws (music)").iloc[0]
    assert row["answers"] == (ws["seed"] == 0).sum()
    none = (predictions["approach"] != "ws") | (predictions["seed"] == 9)
    assert pick(pd.DataFrame(comparisons.compare(predictions[none])), family=keys["family"]).empty


def test_p_values_are_adjusted_within_their_family(predictions):
    found = pd.DataFrame(comparisons.compare(predictions))
    assert (found["p_adjusted"] >= found["p"]).all()
    for _, family in found.groupby(["family", "protocol", "test", "seed"]):
        assert list(family["p_adjusted"]) == pytest.approx(list(intervals.holm(family["p"].to_numpy())))


def test_probes_are_compared_by_their_selected_layer(predictions):
    found = pick(pd.DataFrame(comparisons.compare(predictions)), family="encoder against encoder", test="sign-flip")
    keys = {"approach": "probe", "fit": "paper", "protocol": "speaker", "test_domain": "music"}
    row = pick(found, **keys).iloc[0]
    assert (row["a"], row["b"], row["model"]) == ("b probe (music)", "a probe (music)", "")
    for model, side in (("a", "b"), ("b", "a")):
        answers = result(predictions, model=model, **keys, over="selected")
        assert row[f"accuracy_{side}"] == pytest.approx(100 * accuracy_score(answers["true"], answers["predicted"]))


MUSIC = {"model": "a", "approach": "probe", "fit": "paper", "source": "music", "test_domain": "music", "layer": 2}


def test_leakage_is_random_minus_speaker(predictions):
    found = comparisons.leakage(predictions)
    assert not found.drop(columns="layer").isna().any().any()
    row = pick(found, **MUSIC).iloc[0]
    by_protocol = {p: result(predictions, **MUSIC, protocol=p) for p in ("random", "speaker")}
    accuracy = {p: 100 * accuracy_score(part["true"], part["predicted"]) for p, part in by_protocol.items()}
    assert row["random"] == pytest.approx(accuracy["random"])
    assert row["difference"] == pytest.approx(accuracy["random"] - accuracy["speaker"])
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    # 2 models. Probes: 2 fits, 2 domains, tested on 2; 3 layers, mean, selected. Adaptation: 2 approaches; 2 stages one
    # and 2 stages two, tested on 2 domains, 2 controls on 1, and joint training on 2
    assert len(found) == 2 * (2 * 2 * 2 * 5 + 2 * (2 * 2 + 2 * 2 + 2 + 2))
    assert comparisons.leakage(pick(predictions, protocol="random")).empty


def test_leakage_knows_how_few_people_one_fold_has(predictions):
    """One fold has one speaker, and so no interval; two have a wide one, as `measure` gives."""
    probed = pick(predictions, **MUSIC)

    def leakage(folds):
        table = comparisons.leakage(probed[(probed["protocol"] == "random") | probed["seed"].isin(folds)])
        return pick(table, over="layer").iloc[0]

    row = leakage([0, 1])
    two = probed[(probed["protocol"] == "speaker") & probed["seed"].isin([0, 1])]
    of_speaker = scores.measure(two, EMOTIONS)[0]
    assert row["speakers"] == of_speaker["speakers"] == 2
    assert row["speaker_high"] - row["speaker_low"] >= 0.8 * 100 * (of_speaker["high"] - of_speaker["low"])
    row = leakage([0])
    assert np.isnan([row["speaker_low"], row["difference_low"]]).all() and not np.isnan(row["random_low"])
