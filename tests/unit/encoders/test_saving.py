"""Encoders that are made here have the files and the names of the published ones."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from checkpoints import build
from speechsong.encoders import loading, saving


@pytest.mark.parametrize("layout", saving.RATES)
def test_what_is_saved_is_what_is_loaded(tmp_path, layout):
    model = build(layout)
    saving.save(tmp_path, layout, model.config.to_dict(), model.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == set(saving.FILES)
    encoder = loading.load(tmp_path, name="x", layers=3, window_seconds=30)
    assert encoder.rate == saving.RATES[layout]
    loaded = encoder.model.state_dict()
    for name, value in model.state_dict().items():
        # weight norm is folded when an encoder is loaded
        if "parametrizations" not in name:
            assert torch.equal(loaded[name], value), name


def test_mert_has_its_own_type_and_older_names(tmp_path):
    model = build("mert")
    before = dict(model.state_dict())
    saving.save(tmp_path, "mert", model.config.to_dict(), before)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "mert_model"
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {"encoder.pos_conv_embed.conv.weight_g", "encoder.pos_conv_embed.conv.weight_v"} <= names
    assert not any("parametrizations" in name for name in names)
    # the caller's weights are as they were
    assert before.keys() == model.state_dict().keys()
