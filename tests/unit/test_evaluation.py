"""What is said of predictions is what scikit-learn, pandas and a pencil say of them."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score

from speechsong import evaluation, files, inference

EMOTIONS = ["calm", "happy", "none"]  # an emotion may have a name that pandas takes for a missing value
DOMAINS = ["speech", "music"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Predictions of two models' probes and stages for 6 speakers of 12 clips a domain, as the workflow leaves them."""
    here = tmp_path_factory.mktemp("predictions")
    rng = np.random.default_rng(0)
    clips = {d: [(f"{d}-{i:02d}", f"0{i % 6}", EMOTIONS[(i // 6) % 3]) for i in range(72)] for d in DOMAINS}
    for domain, some in clips.items():
        rows = [{"clip_id": clip, "path": "x", "emotion": e, "speaker": s} for clip, s, e in some]
        files.write_rows(here / f"{domain}.csv", rows)

    splits = [("random", seed) for seed in range(3)] + [("speaker", seed) for seed in range(6)]
    # the same test clips for every result of a split
    tested = {
        (domain, protocol, seed): [
            clip for clip, speaker, _ in some if (rng.random() < 0.4 if protocol == "random" else speaker == f"0{seed}")
        ]
        for domain, some in clips.items()
        for protocol, seed in splits
    }

    def rows(domain, protocol, seed, skill):
        truth = {clip: emotion for clip, _, emotion in clips[domain]}
        for clip in tested[domain, protocol, seed]:
            right = rng.random() < skill
            predicted = truth[clip] if right else EMOTIONS[rng.integers(3)]
            yield {"clip_id": clip, "true": truth[clip], "predicted": predicted, "logit_calm": 0.5}

    for m, model in enumerate(("a", "b")):
        probes = []
        for domain in DOMAINS:
            for layer in range(3):
                skill = 0.3 + 0.2 * layer + 0.1 * m
                table = []
                for protocol, seed in splits:
                    labels = {"model": model, "domain": domain, "layer": f"{layer:02d}"}
                    labels |= {"protocol": protocol, "seed": seed}
                    table += [labels | row for row in rows(domain, protocol, seed, skill)]
                    probes.append(labels | {"validation": round(rng.random(), 1)})
                files.write_rows(here / f"{model}-{domain}-{layer}.csv", table)
        files.write_rows(here / f"{model}-probe.csv", probes)
        stages = [("speech", None), ("music", None), *((s, t) for s in DOMAINS for t in DOMAINS)]
        table = []
        for approach, skill in (("baseline", 0.6), ("ws", 0.7)):
            for protocol, seed in splits:
                for source, target in stages:
                    labels = {"model": model, "approach": approach, "protocol": protocol, "seed": seed}
                    labels |= {"source": source, "target": target or "", "stage": 2 if target else 1}
                    for tested_on in dict.fromkeys([target or source, source]):
                        forgot = 0.3 if tested_on != (target or source) else 0
                        for row in rows(tested_on, protocol, seed, skill - forgot + 0.1 * m):
                            table.append(labels | {"test_domain": tested_on} | row)
        files.write_rows(here / f"{model}-adapt.csv", table)
    return here


@pytest.fixture(scope="module")
def predictions(folder):
    paths = [str(p) for m in "ab" for p in [*sorted(folder.glob(f"{m}-*-?.csv")), folder / f"{m}-adapt.csv"]]
    clips = {domain: str(folder / f"{domain}.csv") for domain in DOMAINS}
    return evaluation.read(paths, clips, [str(folder / f"{m}-probe.csv") for m in "ab"])


def result(predictions, **keys):
    for key, value in keys.items():
        predictions = predictions[predictions[key] == value]
    return predictions


def test_every_prediction_has_its_speaker_and_a_result(predictions, folder):
    assert not predictions.isna().any().any()
    assert set(predictions["true"]) == set(EMOTIONS)
    some = result(predictions, model="a", approach="probe", test_domain="music", layer="02")
    with (folder / "a-music-2.csv").open() as stream:
        stored = list(csv.DictReader(stream))
    assert list(some["predicted"]) == [row["predicted"] for row in stored]
    speaker = {row["clip_id"]: row["speaker"] for row in csv.DictReader((folder / "music.csv").open())}
    assert list(some["speaker"]) == [speaker[row["clip_id"]] for row in stored]


def test_mean_and_selected_by_hand(predictions, folder):
    keys = {"model": "b", "approach": "probe", "test_domain": "speech", "protocol": "random"}
    of_layer = [
        np.mean(some["true"] == some["predicted"])
        for some in (result(predictions, **keys, layer=layer) for layer in ("01", "02"))
    ]
    mean = result(predictions, **keys, layer="mean")
    assert np.mean(mean["true"] == mean["predicted"]) == pytest.approx(np.mean(of_layer))
    probes = pd.read_csv(folder / "b-probe.csv")
    for seed in range(3):
        some = probes[(probes["domain"] == "speech") & (probes["protocol"] == "random") & (probes["seed"] == seed)]
        one, two = (some[some["layer"] == layer]["validation"].item() for layer in (1, 2))
        best = "01" if one >= two else "02"  # layer 0 is never chosen, the first of equals is
        chosen = result(predictions, **keys, layer="selected", seed=str(seed))
        expected = result(predictions, **keys, layer=best, seed=str(seed))
        assert list(chosen["predicted"]) == list(expected["predicted"])


def test_an_encoder_with_one_state_is_summarised_by_it(folder, tmp_path):
    probes = pd.read_csv(folder / "a-probe.csv", dtype=str)
    probes[probes["layer"] == "00"].to_csv(tmp_path / "probe.csv", index=False)
    paths = [str(folder / f"a-{domain}-0.csv") for domain in DOMAINS]
    found = evaluation.read(paths, {d: str(folder / f"{d}.csv") for d in DOMAINS}, [str(tmp_path / "probe.csv")])
    keys = {"test_domain": "speech", "protocol": "speaker"}
    expected = list(result(found, **keys, layer="00")["predicted"])
    for layer in ("mean", "selected"):
        assert list(result(found, **keys, layer=layer)["predicted"]) == expected


def test_metrics_agree_with_scikit_learn(predictions):
    table = pd.DataFrame(evaluation.measure(predictions, EMOTIONS))
    assert len(table) == (2 + len(EMOTIONS)) * len(predictions[evaluation.KEYS].drop_duplicates())
    for keys, some in list(predictions.groupby(evaluation.KEYS))[::7]:
        found = result(table, **dict(zip(evaluation.KEYS, keys, strict=True))).set_index("metric")
        true, predicted = some["true"], some["predicted"]
        assert found.loc["accuracy", "value"] == pytest.approx(accuracy_score(true, predicted))
        assert found.loc["uar", "value"] == pytest.approx(balanced_accuracy_score(true, predicted))
        recalls = recall_score(true, predicted, labels=EMOTIONS, average=None)
        assert list(found.loc[[f"recall_{e}" for e in EMOTIONS], "value"]) == pytest.approx(list(recalls))
        assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
        assert set(found["clips"]) == {some["clip_id"].nunique()} and set(found["speakers"]) == {6}
    assert not table[["value", "low", "high"]].isna().any().any()


def test_an_interval_by_resampling_rows(predictions):
    """The same samples of speakers, by stacking their clips instead of by counts."""
    keys = {"model": "a", "approach": "ws", "protocol": "random", "source": "music", "target": "speech"}
    some = result(predictions, **keys, test_domain="speech")
    found = pd.DataFrame(evaluation.measure(some, EMOTIONS)).set_index("metric")
    by_speaker = [rows for _, rows in some.groupby("speaker")]
    accuracies, uars = [], []
    for counts in inference.draw(6)[:400]:
        rows = pd.concat([part for part, count in zip(by_speaker, counts, strict=True) for _ in range(int(count))])
        accuracies.append(accuracy_score(rows["true"], rows["predicted"]))
        recalls = [np.mean(r["predicted"] == e) for e, r in rows.groupby("true")]
        uars.append(np.mean(recalls))
    accuracy = accuracy_score(some["true"], some["predicted"])
    wanted = {
        "accuracy": inference.share_interval(accuracy, np.array(accuracies), 6, some["clip_id"].nunique()),
        "uar": inference.interval(np.array(uars), 6),
    }
    for metric, bounds in wanted.items():
        assert tuple(found.loc[metric, ["low", "high"]]) == pytest.approx(bounds, abs=0.02)


def test_confusion_agrees_with_scikit_learn(predictions):
    some = result(predictions, model="b", approach="probe", protocol="speaker", test_domain="music", layer="01")
    found = pd.DataFrame(evaluation.confusion(some, EMOTIONS))
    counts = found.pivot(index="true", columns="predicted", values="count").loc[EMOTIONS, EMOTIONS].to_numpy()
    expected = confusion_matrix(some["true"], some["predicted"], labels=EMOTIONS)
    assert (counts == expected).all()
    shares = found.pivot(index="true", columns="predicted", values="share").loc[EMOTIONS, EMOTIONS].to_numpy()
    assert shares == pytest.approx(expected / expected.sum(axis=1, keepdims=True))


def test_leakage_is_random_minus_speaker(predictions):
    found = pd.DataFrame(evaluation.leakage(predictions))
    assert not found.isna().any().any()
    row = result(found, model="a", approach="probe", test_domain="music", layer="02").iloc[0]
    by_protocol = {
        protocol: result(predictions, model="a", approach="probe", test_domain="music", layer="02", protocol=protocol)
        for protocol in ("random", "speaker")
    }
    accuracy = {p: 100 * accuracy_score(some["true"], some["predicted"]) for p, some in by_protocol.items()}
    assert row["random"] == pytest.approx(accuracy["random"])
    assert row["difference"] == pytest.approx(accuracy["random"] - accuracy["speaker"])
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert evaluation.leakage(result(predictions, protocol="random")) == []


def test_leakage_knows_how_few_people_one_fold_has(predictions):
    """One fold has one speaker, and so no interval; two have a wide one, as `measure` gives."""
    some = predictions[(predictions["protocol"] == "random") | predictions["seed"].isin(["0", "1"])]
    some = result(some, model="a", approach="probe", test_domain="music", layer="02")
    (row,) = evaluation.leakage(some)
    of_speaker = evaluation.measure(result(some, protocol="speaker"), EMOTIONS)[0]
    assert row["speakers"] == of_speaker["speakers"] == 2
    assert row["speaker_high"] - row["speaker_low"] >= 0.8 * 100 * (of_speaker["high"] - of_speaker["low"])
    (row,) = evaluation.leakage(some[(some["protocol"] == "random") | (some["seed"] == "0")])
    assert np.isnan([row["speaker_low"], row["difference_low"]]).all() and not np.isnan(row["random_low"])


def test_comparisons_pair_what_they_should(predictions):
    chosen = predictions[predictions["layer"].isin(["", "selected"])]
    found = pd.DataFrame(evaluation.compare(chosen))
    tests = found[found["test"] == "sign-flip"]
    counts = tests.groupby("family").size()
    # 2 models x 2 approaches x 2 protocols x 2 directions
    for family in ("two-stage against direct", "two-stage against equal budget", "source after against before"):
        assert counts[family] == 16
    assert counts["approach against approach"] == 2 * 2 * 6  # models, protocols, stages
    assert counts["encoder against encoder"] == 2 * (2 + 2 * 6)  # protocols; domains of probes, stages
    assert set(found["test"]) == {"sign-flip", "mcnemar"}
    assert set(result(found, test="mcnemar", protocol="random")["seed"]) == {"0", "1", "2"}
    row = result(tests, a="b ws (music then speech)", b="b ws (speech)", protocol="random").iloc[0]
    a = result(
        chosen, model="b", approach="ws", protocol="random", source="music", target="speech", test_domain="speech"
    )
    b = result(chosen, model="b", approach="ws", protocol="random", source="speech", target="", stage="1")
    both = a.merge(b, on=["seed", "clip_id"], suffixes=("_a", "_b"))
    assert len(both) == len(a) == row["answers"]
    right_a, right_b = (both[f"true_{s}"] == both[f"predicted_{s}"] for s in "ab")
    assert row["difference"] == pytest.approx(100 * (right_a.mean() - right_b.mean()))
    assert (row["only_a"], row["only_b"]) == ((right_a & ~right_b).sum(), (right_b & ~right_a).sum())
    by_speaker = (right_a.astype(int) - right_b.astype(int)).groupby(both["speaker_a"]).sum().to_numpy()
    assert row["p"] == pytest.approx(inference.sign_flip(by_speaker))


def test_p_values_are_adjusted_within_their_family(predictions):
    found = pd.DataFrame(evaluation.compare(predictions[predictions["layer"].isin(["", "selected"])]))
    assert (found["p_adjusted"] >= found["p"]).all()
    for _, family in found.groupby(["family", "protocol", "test", "seed"]):
        assert list(family["p_adjusted"]) == pytest.approx(list(inference.holm(family["p"].to_numpy())))
