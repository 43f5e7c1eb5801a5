"""The encoders of the tests load like the real ones, hear differences, and are the same bytes twice."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from scipy.signal import decimate

from speechsong import files
from speechsong.demo.voices import recordings, synthesise
from tiny_encoders import write_encoder


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    for family in ("wav2vec2", "hubert", "mert"):
        write_encoder(root / family, family)
    return root


def load(folder):
    """The bare model, by transformers' own classes, and what it says about the keys."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2Model

    if folder.name == "wav2vec2":
        model, report = Wav2Vec2Model.from_pretrained(folder, output_loading_info=True)
    else:
        config = HubertConfig.from_pretrained(folder)
        model, report = HubertModel.from_pretrained(folder, config=config, output_loading_info=True)
    assert model.dtype == torch.float32
    return model.eval(), report


def test_encoder_files(encoders, tmp_path):
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    for family in ("wav2vec2", "hubert", "mert"):
        names = sorted(path.name for path in (encoders / family).iterdir())
        assert names == ["config.json", "model.safetensors", "preprocessor_config.json"]
        # as readable as any other new file
        assert {path.stat().st_mode for path in (encoders / family).iterdir()} == {usual}
    assert sorted(path.name for path in encoders.iterdir()) == ["hubert", "mert", "wav2vec2"]


def test_encoder_keys(encoders):
    from safetensors import safe_open

    def keys(family):
        with safe_open(encoders / family / "model.safetensors", "pt") as file:
            return set(file.keys())

    wav2vec2, hubert, mert = map(keys, ("wav2vec2", "hubert", "mert"))
    assert {"lm_head.weight", "lm_head.bias"} < wav2vec2
    assert all(key.startswith(("wav2vec2.", "lm_head.")) for key in wav2vec2)
    assert not any("masked_spec_embed" in key for key in wav2vec2)
    assert "encoder.layers.1.attention.q_proj.weight" in hubert
    conv = "encoder.pos_conv_embed.conv."
    assert mert - hubert == {conv + "weight_g", conv + "weight_v"}
    assert {key for key in hubert - mert if "original" not in key} == set()


def test_encoder_configs(encoders):
    config = {family: json.loads((encoders / family / "config.json").read_text()) for family in ("wav2vec2", "mert")}
    mert = config["mert"]
    assert config["wav2vec2"]["model_type"] == "wav2vec2"
    assert mert["model_type"] == "mert_model"
    assert (mert["feature_extractor_cqt"], mert["deepnorm"], mert["attention_relax"]) == (False, False, -1.0)
    assert "auto_map" not in mert
    for family, rate in (("wav2vec2", 16_000), ("hubert", 16_000), ("mert", 24_000)):
        extractor = json.loads((encoders / family / "preprocessor_config.json").read_text())
        assert (extractor["sampling_rate"], extractor["do_normalize"]) == (rate, True)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "mert"])
def test_encoder_loads_and_hears_a_difference(encoders, family):
    import torch
    from transformers import Wav2Vec2FeatureExtractor

    model, report = load(encoders / family)
    bare = family == "wav2vec2"
    assert {key.split(".")[-1] for key in report["missing_keys"]} == ({"masked_spec_embed"} if bare else set())
    assert set(report["unexpected_keys"]) == ({"lm_head.weight", "lm_head.bias"} if bare else set())
    assert not report["mismatched_keys"]

    extractor = Wav2Vec2FeatureExtractor.from_pretrained(encoders / family)
    rate = extractor.sampling_rate
    pooled = []
    for name in recordings("speech")[:2] + recordings("song")[-2:]:
        clip = decimate(synthesise(name), 48_000 // rate)
        values = extractor(clip, sampling_rate=rate, return_tensors="pt").input_values.float()
        with torch.no_grad():
            states = model(values, output_hidden_states=True).hidden_states
        assert len(states) == 3
        assert states[0].shape[-1] == 32
        for state in states:
            assert torch.isfinite(state).all()
            # neither the same in all frames nor the same in all channels
            assert state[0].std(dim=0).median() > 0.05
            assert state[0].std(dim=1).median() > 0.05
        for before, after in pairwise(states):
            assert (after - before).norm() > 0.2 * before.norm()
        pooled.append(torch.stack([state[0].mean(dim=0) for state in states]))
    pooled = torch.stack(pooled)
    assert all(torch.pdist(pooled[:, layer]).min() > 0.02 for layer in range(3))


def test_encoders_are_the_same_bytes_twice_and_leave_the_generator_alone(encoders, tmp_path):
    import torch

    torch.manual_seed(7)
    before = torch.get_rng_state()
    for family in ("wav2vec2", "hubert", "mert"):
        write_encoder(tmp_path / family, family)
        for path in (encoders / family).iterdir():
            assert digest(path) == digest(tmp_path / family / path.name), path
    assert torch.equal(before, torch.get_rng_state())


def test_config_comes_last(tmp_path, monkeypatch):
    order = []
    atomic = files.atomic
    monkeypatch.setattr(files, "atomic", lambda path: (order.append(Path(path).name), atomic(path))[1])
    write_encoder(tmp_path / "hubert", "hubert")
    assert order[-1] == "config.json"
    assert len(order) == 3
