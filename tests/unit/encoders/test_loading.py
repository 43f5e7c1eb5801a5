"""Incomplete or unknown checkpoints are refused; the digest is of the weights; random ones are always the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import FAMILIES, batched, build, noises, save
from speechsong.encoders import loading
from speechsong.errors import UserError

SECONDS = (0.03, 1.0, 0.31, 2.7, 0.5)


def test_a_ctc_checkpoint_loads_without_mask_embedding_and_with_its_head(tmp_path, folders):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights.pop("masked_spec_embed", None)
    weights = {f"wav2vec2.{k}": v for k, v in weights.items()}
    weights |= {"lm_head.weight": torch.zeros(5, 48), "lm_head.bias": torch.zeros(5)}
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    encoder = loading.load(folder, name="ctc", layers=3, window_seconds=30)
    plain = loading.load(folders["wav2vec2"], name="plain", layers=3, window_seconds=30)
    for a, b in zip(
        batched(encoder, noises(16000, SECONDS))[1], batched(plain, noises(16000, SECONDS))[1], strict=True
    ):
        np.testing.assert_array_equal(a, b)


def copy_with(target: Path, source: Path, weights: dict | None = None, **settings) -> Path:
    folder = target / "copy"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    if weights is None:
        weights = load_file(source / "model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "lost",
    [
        "feature_extractor.conv_layers.0.layer_norm.weight",
        "feature_projection.projection.weight",
        "encoder.layers.2.attention.q_proj.bias",
        "encoder.layer_norm.weight",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ],
)
def test_a_missing_weight_is_refused(tmp_path, folders, lost):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    del weights[lost]
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    with pytest.raises(UserError, match=r"copy: the checkpoint lacks 1 weights .*encoders\.x\.checkpoint"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


def test_an_unknown_weight_is_refused(tmp_path, folders):
    weights = load_file(folders["hubert"] / "model.safetensors") | {"encoder.layers.0.gate": torch.zeros(3)}
    with pytest.raises(UserError, match="belong to no part of the encoder"):
        loading.load(copy_with(tmp_path, folders["hubert"], weights), name="x", layers=3, window_seconds=30)


def test_another_number_of_layers_is_refused(folders):
    with pytest.raises(UserError, match=r"has 3 layers, `encoders\.x\.layers` says 12"):
        loading.load(folders["hubert"], name="x", layers=12, window_seconds=30)


def test_a_config_of_another_shape_is_refused(tmp_path, folders):
    folder = copy_with(tmp_path, folders["hubert"], hidden_size=64)
    with pytest.raises(UserError, match="cannot be loaded"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


@pytest.mark.parametrize("option", ["feature_extractor_cqt", "deepnorm"])
def test_a_mert_of_another_kind_is_refused(tmp_path, folders, option):
    folder = tmp_path / "mert"
    folder.mkdir()
    for file in folders["mert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {option: True}))
    with pytest.raises(UserError, match=option):
        loading.load(folder, name="x", layers=3, window_seconds=30)


def test_a_pickle_that_runs_code_is_refused(tmp_path, folders):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    folder = copy_with(tmp_path, folders["hubert"])
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="cannot be loaded"):
        loading.load(folder, name="x", layers=3, window_seconds=30)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("lost", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, folders, lost):
    folder = copy_with(tmp_path, folders["hubert"])
    (folder / lost).unlink()
    with pytest.raises(UserError, match=r"encoders\.x\.checkpoint"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


def test_an_unknown_family_is_named(tmp_path, folders):
    folder = copy_with(tmp_path, folders["hubert"], model_type="bert")
    with pytest.raises(UserError, match=r"'bert' are not supported \(known: wav2vec2"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


@pytest.mark.parametrize("control", [None, "random"])
def test_an_entry_of_the_catalogue_says_how_to_load(folders, control):
    entry = {"checkpoint": "a/b", "revision": "r", "layers": 3, "window_seconds": 8, "control": control}
    found = loading.load_entry(folders["hubert"], "x", entry, "cpu")
    wanted = loading.load(folders["hubert"], name="x", layers=3, window_seconds=8, random=control == "random")
    fields = ("name", "family", "rate", "layers", "window", "weights")
    assert [getattr(found, field) for field in fields] == [getattr(wanted, field) for field in fields]
    with pytest.raises(UserError, match=r"has 3 layers, `encoders\.x\.layers` says 12"):
        loading.load_entry(folders["hubert"], "x", entry | {"layers": 12}, "cpu")
    # a checkpoint of adaptation does not say
    del entry["layers"]
    assert loading.load_entry(folders["hubert"], "x", entry, "cpu").layers == 3


@pytest.mark.parametrize(("family", "seconds"), [("whisper", 0.01), ("whisper", 31), ("hubert", 0.01)])
def test_a_window_that_cannot_be_used_is_named(folders, family, seconds):
    with pytest.raises(UserError, match=r"config key `encoders\.x\.window_seconds`: ") as caught:
        loading.load(folders[family], name="x", layers=3, window_seconds=seconds)
    assert "\n" not in str(caught.value)
    assert f"{seconds:g}" in str(caught.value)


def test_a_gpu_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert loading.pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="config key `device`"):
        loading.pick_device("cuda")


@pytest.mark.parametrize(("gpus", "warned"), [(0, False), (1, True)])
def test_a_job_that_asked_for_a_gpu_and_has_none_says_so(folders, caplog, gpus, warned):
    encoder = loading.load(folders["hubert"], name="x", layers=3, window_seconds=30)
    with caplog.at_level("INFO", logger="speechsong"):
        loading.report_device(encoder, gpus)
    assert "computing on cpu" in caplog.messages
    assert [r.levelname == "WARNING" and "`device: cpu`" in r.message for r in caplog.records[1:]] == [True] * warned


# --- the digest of the weights


@pytest.mark.parametrize("family", FAMILIES)
def test_the_digest_is_of_the_weights_alone(folders, family):
    load = lambda **o: loading.load(folders[family], name="x", **{"layers": 3, "window_seconds": 30} | o)  # noqa: E731
    digests = {load().weights, load(layers=None, window_seconds=8).weights}
    assert len(digests) == 1
    assert len(digests.pop()) == 16


@pytest.mark.parametrize("name", ["encoder.layer_norm.bias", "encoder.pos_conv_embed.conv.bias", "masked_spec_embed"])
def test_one_other_number_is_another_digest(tmp_path, folders, name):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights[name][3] += 1e-3
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    before, after = (
        loading.load(f, name="x", layers=3, window_seconds=30).weights for f in (folders["wav2vec2"], folder)
    )
    # which is only for masks, and drawn at random where a checkpoint lacks it
    assert (before == after) == (name == "masked_spec_embed")


def test_random_weights_have_a_digest_of_their_own(folders):
    one, other = (
        loading.load(folders[f], name="x", layers=3, window_seconds=30, random=True).weights
        for f in ("hubert", "whisper")
    )
    assert one != other
    assert one != loading.load(folders["hubert"], name="x", layers=3, window_seconds=30).weights


# --- the control: random weights


def fresh(family: str, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A model as transformers makes it from a config alone, and a folder that holds it."""
    kind = build(family)
    with torch.random.fork_rng():
        torch.manual_seed(loading.RANDOM_SEED)
        model = type(kind)(kind.config)
    return model.eval(), save(model, folder / "fresh", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_are_those_that_transformers_starts_with(tmp_path, folders, monkeypatch, family):
    # that of the tests' checkpoints is 0
    monkeypatch.setattr(loading, "RANDOM_SEED", 7)
    window = 8 if family == "whisper" else 30
    options = {"name": family, "layers": 3, "window_seconds": window}
    trained = loading.load(folders[family], **options)
    control = loading.load(folders[family], **options, random=True)
    wanted = loading.load(fresh(family, tmp_path)[1], **options)
    for field in ("family", "rate", "hop", "least", "layers", "width", "window"):
        assert getattr(control, field) == getattr(trained, field)
    names = [name for name, _ in trained.model.named_parameters()]
    found, loaded, other = (dict(e.model.named_parameters()) for e in (control, wanted, trained))
    assert list(found) == list(loaded) == names
    assert all(torch.equal(found[name], loaded[name]) for name in names)
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in found.values())
    assert not control.model.training
    # biases start at zero and scales at one, whatever the seed
    weights = [name for name in names if found[name].ndim > 1 and len(found[name].unique()) > 1]
    weights = [name for name in weights if "embed_positions" not in name]
    assert len(weights) >= 20
    assert all(not torch.equal(found[name], other[name]) for name in weights)
    waveforms = noises(control.rate, SECONDS)
    for one, same, differs in zip(*(batched(e, waveforms) for e in (control, wanted, trained)), strict=True):
        for a, b, c in zip(one, same, differs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
            assert a.shape == c.shape
            assert np.isfinite(a).all()
            assert np.abs(a - c).max() > 0.01


def test_a_random_encoder_neither_depends_on_chance_nor_disturbs_it(folders):
    loaded = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        loaded.append(loading.load(folders["hubert"], name="x", layers=3, window_seconds=30, random=True))
        assert torch.equal(torch.get_rng_state(), before)
    one, other = (e.model.state_dict() for e in loaded)
    assert all(torch.equal(one[name], other[name]) for name in one)
    for a, b in zip(*(batched(e, noises(16000, SECONDS))[1] for e in loaded), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("weights", ["none", "rubbish"])
def test_a_random_encoder_reads_no_weights(tmp_path, folders, weights):
    # a dtype in the config is that of the weights that are not read
    folder = copy_with(tmp_path, folders["wav2vec2"], dtype="float16")
    if weights == "none":
        (folder / "model.safetensors").unlink()
    else:
        (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="cannot be loaded"):
        loading.load(folder, name="x", layers=3, window_seconds=30)
    control = loading.load(folder, name="x", layers=3, window_seconds=30, random=True)
    usual = loading.load(folders["wav2vec2"], name="x", layers=3, window_seconds=30, random=True)
    for a, b in zip(control.model.parameters(), usual.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32


def test_a_random_whisper_knows_its_positions(folders):
    encoder = loading.load(folders["whisper"], name="x", layers=3, window_seconds=8, random=True)
    # sin(t / 10000^(k / 23)), then cos, as published
    angles = np.arange(400)[:, None] / 10000.0 ** (np.arange(24) / 23)
    wanted = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(encoder.model.embed_positions.weight, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"), [({"model_type": "bert"}, "'bert'"), ({"num_hidden_layers": 2}, "has 2 layers")]
)
def test_a_random_encoder_is_checked_as_any_other(tmp_path, folders, changes, message):
    folder = copy_with(tmp_path, folders["hubert"], **changes)
    with pytest.raises(UserError, match=message):
        loading.load(folder, name="x", layers=3, window_seconds=30, random=True)
