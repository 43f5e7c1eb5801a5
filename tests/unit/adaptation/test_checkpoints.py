"""Checkpoints that do not fit, or are none, are refused in one line wherever one is read."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from made_stages import copy, entry, run, stage
from mutations import changed_json, flipped, outcomes
from speechsong import cli
from speechsong.adaptation import checkpoints
from speechsong.adaptation.export import predict
from speechsong.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"checkpoint": "facebook/other", "revision": None}}, "was trained with encoder .*facebook/other"),
        ({"encoder": "random"}, "was trained with encoder .*'random'.* not .*None"),
        ({"emotions": ["calm", "happy", "angry"]}, "was trained with emotions .*angry"),
        ({"approach": "ws"}, "was trained with approach ws, not peft"),
        ({"weights": "0123456789abcdef"}, "was trained with encoder weights 0123456789abcdef, not "),
        ({"precision": "bfloat16"}, "was trained with precision bfloat16, not float32"),
    ],
)
def test_a_checkpoint_of_something_else(corpus, trained, tmp_path, changes, message):
    if changes.get("encoder") == "random":
        # the same checkpoint, of which nothing but the architecture was used
        changes = {"encoder": {k: entry(corpus[0])[k] for k in ("checkpoint", "revision")} | {"control": "random"}}
    path = copy(trained, tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        run(corpus, stage(corpus, "peft", "speech", "music", path), tmp_path, "speech-music")


def test_a_checkpoint_of_before_there_were_controls(corpus, trained, tmp_path):
    path = copy(trained, tmp_path, encoder={k: entry(corpus[0])[k] for k in ("checkpoint", "revision")})
    made = run(corpus, stage(corpus, "peft", "speech", "music", path), tmp_path, "speech-music")
    assert json.loads(Path(made["checkpoint"]).with_suffix(".json").read_text())["encoder"]["control"] is None


def test_a_checkpoint_of_other_shapes(corpus, trained, tmp_path):
    path = copy(trained, tmp_path)
    weights = load_file(path)
    save_file(weights | {"gate.0": weights["gate.0"][:5]}, path)
    with pytest.raises(UserError, match=r"gate\.0 has shape \(5,\), not \(48,\)"):
        run(corpus, stage(corpus, "peft", "speech", "music", path), tmp_path, "speech-music")
    del weights["gate.0"]
    save_file(weights, path)
    with pytest.raises(UserError, match=r"gate\.0 is missing"):
        predict(path, [])


@pytest.mark.parametrize("spoil", ["cut", "pickle", "torch", "nothing"])
def test_a_checkpoint_that_is_none(trained, tmp_path, capsys, spoil):
    path = copy(trained, tmp_path)
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif spoil == "pickle":
        path.write_bytes(pickle.dumps({"head.weight": Bomb()}))
    elif spoil == "torch":
        torch.save({"head.weight": torch.zeros(3)}, path)
    else:
        path.write_bytes(b"")
    for command in (["export", str(path), str(tmp_path / "out")], ["predict", str(path), "a.wav"]):
        assert cli.main(command) == 1
        assert "not a complete safetensors file" in capsys.readouterr().err


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


DAMAGE = {
    "cut": (lambda d: None, "not valid JSON"),
    "list": (lambda d: [1], "is not a JSON object"),
    "encoder": (lambda d: d | {"encoder": "x"}, "encoder cannot be 'x'"),
    "settings": (lambda d: d | {"settings": {}}, r"lacks settings\.rank, settings\.alpha"),
    "rank": (lambda d: d | {"settings": d["settings"] | {"rank": "8"}}, r"settings\.rank cannot be '8'"),
    "window": (lambda d: {k: v for k, v in d.items() if k != "window_seconds"}, "lacks window_seconds"),
    "weights": (lambda d: {k: v for k, v in d.items() if k != "weights"}, "lacks weights"),
    "family": (lambda d: d | {"family": None}, "family cannot be None"),
    "emotions": (lambda d: d | {"emotions": []}, r"emotions cannot be \[\]"),
    "layers": (lambda d: d | {"layers": ["1"]}, r"layers cannot be \['1'\]"),
}


@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_description_that_is_none(corpus, trained, tmp_path, capsys, spoil):
    path = copy(trained, tmp_path)
    beside = path.with_suffix(".json")
    change, message = DAMAGE[spoil]
    changed = change(json.loads(beside.read_text()))
    beside.write_text(beside.read_text()[:-30] if changed is None else json.dumps(changed))
    for command in (["export", str(path), str(tmp_path / "out")], ["predict", str(path), "a.wav"]):
        assert cli.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(rf"^error: .*speech\.json: .*{message}.*; let `snakemake` train", line), line
    with pytest.raises(UserError, match=message):
        run(corpus, stage(corpus, "peft", "speech", "music", path), tmp_path, "speech-music")


def test_damage_to_a_checkpoint_is_noticed(trained, tmp_path):
    path = tmp_path / trained.name
    for suffix in (".safetensors", ".json"):
        path.with_suffix(suffix).write_bytes(trained.with_suffix(suffix).read_bytes())

    def read():
        parameters, description = checkpoints.read(path)
        return description, sorted((name, value.tobytes()) for name, value in parameters.items())

    found = outcomes(path, flipped(path.read_bytes(), 100), read)
    assert (found["silent"], found["traceback"]) == (0, 0), found
    assert found["one line"] >= 95
    beside = path.with_suffix(".json")
    found = outcomes(beside, changed_json(beside.read_bytes(), 100), read)
    assert (found["silent"], found["traceback"]) == (0, 0), found
    assert found["one line"] >= 60


def test_parameters_of_another_kind_are_refused(trained, tmp_path):
    path = copy(trained, tmp_path)
    weights = load_file(path)
    for name, value, message in [
        ("head.bias", weights["head.bias"].astype(np.float16), r"head\.bias is float16, not float32"),
        ("gate.0", weights["gate.0"] * np.nan, r"gate\.0 is not finite"),
        ("head.weight", weights["head.weight"][:2], r"head\.weight has shape \(2, 48\)"),
        ("layer_weights", weights["layer_weights"][:2], r"layer_weights has shape \(2,\)"),
    ]:
        save_file(weights | {name: value}, path)
        with pytest.raises(UserError, match=message):
            checkpoints.read(path)


def test_a_description_needs_no_number_of_blocks(corpus, trained, tmp_path):
    path = copy(trained, tmp_path)
    described = json.loads(path.with_suffix(".json").read_text())
    del described["blocks"]
    path.with_suffix(".json").write_text(json.dumps(described))
    recording = corpus[1]["speech"][0].path
    np.testing.assert_array_equal(predict(path, [recording])[1], predict(trained, [recording])[1])


def test_a_checkpoint_without_its_description(trained, tmp_path):
    path = copy(trained, tmp_path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match=r"speech\.json: lacks approach"):
        checkpoints.read(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"speech\.json: missing"):
        checkpoints.read(path)
