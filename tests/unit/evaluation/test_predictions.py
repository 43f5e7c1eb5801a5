"""Every answer has its speaker; layers are averaged and selected as by hand."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from common import one_line
from made_results import DOMAINS, EMOTIONS, pick, result
from mutations import edited, flipped, outcomes
from speechsong import files
from speechsong.errors import UserError
from speechsong.evaluation.predictions import COLUMNS, KEYS, gather, read, results

PAPER = {"fit": "paper", "protocol": "speaker"}


def clips_of(folder) -> dict[str, str]:
    return {domain: str(folder / f"{domain}.csv") for domain in DOMAINS}


def test_every_answer_has_its_speaker(predictions, folder):
    assert list(predictions) == COLUMNS
    assert not predictions.drop(columns="layer").isna().any().any()
    assert set(predictions["true"]) == set(EMOTIONS)
    answers = result(predictions, model="a", test_domain="music", protocol="speaker", layer=2)
    with (folder / "a-music-2.csv").open() as stream:
        stored = list(pick(pd.DataFrame(csv.DictReader(stream)), **PAPER, test_domain="music").to_dict("records"))
    assert list(answers["predicted"]) == [row["predicted"] for row in stored]
    speaker = {row["clip_id"]: row["speaker"] for row in csv.DictReader((folder / "music.csv").open())}
    assert list(answers["speaker"]) == [speaker[row["clip_id"]] for row in stored]


def test_only_probes_have_a_layer_that_may_be_selected(predictions):
    adapted, probed = (predictions[mask] for mask in (predictions["layer"].isna(), predictions["layer"].notna()))
    assert set(adapted["approach"]) == {"baseline", "ws"} and set(adapted["selected"]) == {""}
    assert set(probed["approach"]) == {"probe"} and set(probed["selected"]) == {"yes", "no"}
    chosen = probed[probed["selected"] == "yes"]
    # the same splits as there are, each with one layer
    splits = ["model", "source", "fit", "protocol", "seed"]
    assert set(chosen.groupby(splits)["layer"].nunique()) == {1}
    assert len(chosen[splits].drop_duplicates()) == len(probed[splits].drop_duplicates())


def test_mean_and_selected_by_hand(predictions, folder):
    keys = {"model": "b", "approach": "probe", "test_domain": "speech", "protocol": "random"}
    by_layer = {layer: result(predictions, **keys, layer=layer) for layer in (1, 2)}
    shares = [np.mean(answers["true"] == answers["predicted"]) for answers in by_layer.values()]
    mean = result(predictions, **keys, over="mean")
    assert np.mean(mean["true"] == mean["predicted"]) == pytest.approx(np.mean(shares))
    selected = result(predictions, **keys, over="selected")
    probes = pick(pd.read_csv(folder / "b-probe.csv"), domain="speech", protocol="random", fit="paper")
    # the probe's own validation part selects, wherever it is tested
    probes = pick(probes, test_domain="speech")
    for seed in range(3):
        one, two = (pick(probes, seed=seed, layer=layer)["validation"].item() for layer in (1, 2))
        best = 1 if one >= two else 2  # layer 0 is never chosen, the first of equals is
        expected = pick(by_layer[best], seed=seed)
        assert list(pick(selected, seed=seed)["predicted"]) == list(expected["predicted"])
        away = {"source": "speech", "test_domain": "music", "protocol": "random", "model": "b", "approach": "probe"}
        chosen = pick(result(predictions, **away, over="selected"), seed=seed)
        assert set(chosen["layer"]) == {best}


def test_results_come_in_the_order_of_layers_adaptation_mean_and_selected(predictions):
    found = [keys for keys, _ in results(predictions)]
    assert all(list(keys) == KEYS for keys in found)
    assert len({tuple(keys.values()) for keys in found}) == len(found)
    order = dict.fromkeys((keys["over"], keys["model"]) for keys in found)
    layers, adapted = [("layer", m) for m in "ab"], [("", m) for m in "ab"]
    assert list(order) == [*layers, *adapted, *((over, m) for m in "ab" for over in ("mean", "selected"))]
    assert {keys["layer"] for keys in found if keys["over"] == "layer"} == {0, 1, 2}
    assert {keys["layer"] for keys in found if keys["over"] != "layer"} == {None}


def test_an_encoder_with_one_state_is_summarised_by_it(folder, tmp_path):
    probes = pick(pd.read_csv(folder / "a-probe.csv"), layer=0)
    probes.to_csv(tmp_path / "probe.csv", index=False)
    paths = [str(folder / f"a-{domain}-0.csv") for domain in DOMAINS]
    table = gather(paths, clips_of(folder), [str(tmp_path / "probe.csv")])
    keys = {"test_domain": "speech", "protocol": "speaker"}
    expected = list(result(table, **keys, layer=0)["predicted"])
    for over in ("mean", "selected"):
        assert list(result(table, **keys, over=over)["predicted"]) == expected


def test_layers_may_have_leading_zeros(folder, tmp_path):
    table = pd.read_csv(folder / "a-music-2.csv", dtype=str, keep_default_na=False)
    table.assign(layer="02").to_csv(tmp_path / "old.csv", index=False)
    assert set(gather([str(tmp_path / "old.csv")], clips_of(folder), [])["layer"]) == {2}


@pytest.mark.parametrize("task", ["music-2", "adapt", None])
def test_a_gathered_table_is_read_as_it_was(folder, tmp_path, task):
    paths = [str(folder / f"a-{task}.csv")] if task else []  # an encoder may have no stages of adaptation
    table = gather(paths, clips_of(folder), [str(folder / "a-probe.csv")] if task == "music-2" else [])
    table.to_csv(tmp_path / "gathered.csv", index=False)
    pd.testing.assert_frame_equal(read([tmp_path / "gathered.csv"]), table, check_dtype=bool(paths))


def test_a_clip_that_is_not_in_the_corpus_is_refused(folder):
    clips = clips_of(folder) | {"music": str(folder / "speech.csv")}
    with pytest.raises(UserError) as caught:
        gather([str(folder / "a-speech-1.csv"), str(folder / "a-music-1.csv")], clips, [])
    message = one_line(caught)
    assert "-1.csv: clip `music-" in message and "`music`; delete the file" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "answers .* of the .* test clips of `music` in speaker-5"),
        (lambda rows: [*rows, rows[-1]], "has two answers to one clip"),
        (lambda rows: [rows[0] | {"true": "sae"}, *rows[1:]], "of another emotion among the clips"),
        (lambda rows: [{k: v for k, v in row.items() if k != "fit"} for row in rows], "lacks fit"),
    ],
)
def test_answers_that_are_missing_or_doubled_are_refused(folder, tmp_path, change, message):
    path = tmp_path / "a-music-2.csv"
    with (folder / "a-music-2.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    # the answers to the last split's clips come last
    files.write_rows(path, change(sorted(rows, key=lambda r: (r["test_domain"] == "music", r["seed"]))))
    paths = [str(folder / "a-music-1.csv"), str(path)]
    with pytest.raises(UserError, match=message) as caught:
        gather(paths, clips_of(folder), [])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "answers .* of the .* test clips"),
        (lambda rows: [*rows, rows[0]], "has two answers to one clip"),
        (lambda rows: [rows[0] | {"predicted": "sae"}, *rows[1:]], "answers `sae`, which no clip is"),
        (lambda rows: [rows[0] | {"true": "sad" if rows[0]["true"] != "sad" else "calm"}, *rows[1:]], "two emotions"),
        (lambda rows: [rows[0] | {"speaker": "x"}, *rows[1:]], "has two speakers"),
        (lambda rows: [rows[0] | {"clip_id": "x"}, *rows[1:]], "answers .* of the .* test clips"),
        (lambda rows: [rows[0] | {"selected": "nn"}, *rows[1:]], "selected is not yes, no or empty"),
        (lambda rows: [rows[0] | {"true": ""}, *rows[1:]], "has a row without true"),
        (lambda rows: [rows[0] | {"seed": "x"}, *rows[1:]], "is not the table that the workflow wrote"),
        (lambda rows: [{k: v for k, v in row.items() if k != "true"} for row in rows], "lacks true"),
    ],
)
def test_gathered_predictions_that_were_changed_are_refused(folder, tmp_path, change, message):
    paths = [str(folder / f"a-{domain}-{layer}.csv") for domain in DOMAINS for layer in (1, 2)]
    gather(paths, clips_of(folder), [str(folder / "a-probe.csv")]).to_csv(tmp_path / "whole.csv", index=False)
    with (tmp_path / "whole.csv").open() as stream:
        files.write_rows(tmp_path / "p.csv", change(list(csv.DictReader(stream))))
    with pytest.raises(UserError, match=message) as caught:
        read([str(tmp_path / "p.csv")])
    assert str(tmp_path / "p.csv") in str(caught.value) and "\n" not in str(caught.value)


def test_a_result_without_answers_and_a_clip_that_the_index_has_twice(folder, tmp_path):
    header = (folder / "a-music-2.csv").read_text().splitlines()[0]
    (tmp_path / "a-music-2.csv").write_text(header + "\n")
    with pytest.raises(UserError, match=r"a-music-2\.csv: has no row"):
        gather([str(tmp_path / "a-music-2.csv")], clips_of(folder), [])
    lines = (folder / "music.csv").read_text().splitlines()
    (tmp_path / "music.csv").write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UserError, match=r"music\.csv: has a clip twice"):
        gather([str(folder / "a-music-2.csv")], clips_of(folder) | {"music": str(tmp_path / "music.csv")}, [])


@pytest.mark.parametrize("damage", [flipped, edited])
@pytest.mark.parametrize("file", ["gathered.csv", "a-music-2.csv"])
def test_damage_to_predictions_is_noticed(folder, tmp_path, file, damage):
    (tmp_path / file).write_bytes((folder / "a-music-2.csv").read_bytes())
    paths = [str(folder / "a-music-1.csv"), str(tmp_path / "a-music-2.csv")]

    def read_gathered():
        return read([str(tmp_path / file)]).to_csv()

    def gather_again():
        return gather(paths, clips_of(folder), []).to_csv()

    if file == "gathered.csv":
        paths[1] = str(folder / "a-music-2.csv")
        gather(paths, clips_of(folder), []).to_csv(tmp_path / file, index=False)
    again = read_gathered if file == "gathered.csv" else gather_again
    found = outcomes(tmp_path / file, damage((tmp_path / file).read_bytes(), 30), again)
    assert (found["silent"], found["traceback"]) == (0, 0), found
    assert found["one line"] >= 15, found
