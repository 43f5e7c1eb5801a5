"""Incomplete or unknown checkpoints are refused; the digest is of the weights; random ones are always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import FAMILIES, batched, build, noises, save
from common import ROOT
from mutations import changed_json, outcomes
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
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        loading.load(folder, name="x", layers=3, window_seconds=30)
    assert not (tmp_path / "ran").exists()
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("model.safetensors", b"version https://git-lfs.github.com/", "model.safetensors is a Git LFS"),
        ("model.safetensors", b"<!doctype html>", "model.safetensors is a web page"),
        ("model.safetensors", b"PK\x03\x04" + bytes(60), "model.safetensors is a zip archive"),
        ("pytorch_model.bin", b"PK\x03\x04" + bytes(60), "pytorch_model.bin"),
        ("pytorch_model.bin", b"<html>", "pytorch_model.bin is a web page"),
    ],
)
def test_what_stands_in_the_place_of_weights(tmp_path, folders, name, content, part):
    folder = copy_with(tmp_path, folders["hubert"])
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=part if "is a" in part else "cannot be loaded") as caught:
        loading.load(folder, name="x", layers=3, window_seconds=30)
    # torch's advice would run the code in the file
    assert "weights_only" not in str(caught.value)


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


# --- only the files that are listed, with settings of our own


def test_an_adapter_beside_the_encoder_is_refused(tmp_path, folders):
    folder = copy_with(tmp_path, folders["hubert"])
    (folder / "adapter_config.json").write_text("{}")
    for random in (False, True):
        with pytest.raises(UserError, match=r"copy: holds an adapter beside the encoder"):
            loading.load(folder, name="x", layers=3, window_seconds=30, random=random)


# settings of transformers that name code, files, repositories or kernels, or change what a model returns
HOSTILE = {
    "attn_implementation": "someone/kernel",
    "_attn_implementation": "someone/kernel",
    "_attn_implementation_internal": "someone/kernel",
    "experts_implementation": "someone/kernel",
    "auto_map": {"AutoModel": "someone/code--module.Model", "AutoConfig": "module.Config"},
    "custom_pipelines": {"x": {"impl": "module.Pipeline"}},
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "compression_config": {"quant_method": "compressed-tensors"},
    "transformers_weights": "../elsewhere.safetensors",
    "name_or_path": "someone/model",
    "_name_or_path": "someone/model",
    "peft_config": {"base_model_name_or_path": "someone/model"},
    "fusion_config": {"patch": "someone/kernel"},
    "distributed_config": {"tp_size": 2},
    "dtype": "float16",
    "torch_dtype": "float16",
    "return_dict": False,
    "output_hidden_states": True,
    "chunk_size_feed_forward": 1,
    "id2label": {"0": "x"},
    "problem_type": "regression",
    "use_kernels": True,
    "kernel_config": {"x": "someone/kernel"},
    "generation_config": {"custom_generate": "someone/code"},
}
# files that transformers and peft look for
OPTIONAL = (
    *("generation_config.json", "tokenizer_config.json", "tokenizer.json", "vocab.json", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template.jinja", "processor_config.json", "video_preprocessor_config.json"),
    *("adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors", "quantize_config.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "model.safetensors.index.json", "model.fp16.safetensors"),
    *("tf_model.h5", "flax_model.msgpack", "model.gguf", "consolidated.safetensors", "modeling.py", "module.py"),
    *("configuration.py", "custom_generate/generate.py", "config.4.0.0.json", "training_args.bin", "__init__.py"),
)
WATCHED = """
import json, sys
from pathlib import Path
from speechsong.encoders import loading
loading._transformers().HubertModel, loading._transformers().Wav2Vec2FeatureExtractor
folder, random = Path(sys.argv[1]), sys.argv[2] == "random"
seen = []
def watch(event, arguments):
    if event in ("open", "import", "os.scandir", "os.listdir", "socket.connect", "socket.getaddrinfo", "exec",
                 "subprocess.Popen", "os.system", "pickle.find_class"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(watch)
encoder = loading.load(folder, name="x", layers=3, window_seconds=30, random=random)
found = list(seen)
inside = sorted({Path(n).name for e, n in found if n.startswith(str(folder))})
asked = sorted({e for e, n in found if e.startswith(("socket", "subprocess", "os.system", "pickle"))})
code = sorted(n for e, n in found if e == "import" and n.split(".")[0] in ("kernels", "bitsandbytes", "peft", "module"))
print(json.dumps({"inside": inside, "asked": asked, "code": code, "weights": encoder.weights,
                  "attention": encoder.model.config._attn_implementation}))
"""


@pytest.mark.parametrize("random", ["pretrained", "random"])
def test_nothing_else_is_opened_imported_or_asked_of_the_network(tmp_path, folders, random):
    folder = copy_with(tmp_path, folders["hubert"], **HOSTILE)
    extractor = json.loads((folder / "preprocessor_config.json").read_text())
    extractor |= {"auto_map": HOSTILE["auto_map"], "processor_class": "module.Processor", "padding_side": "left"}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    for name in OPTIONAL:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise SystemExit('was read')")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, folder, random], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # what safetensors opens is not told, but every file of weights that is not listed is rubbish
    assert found["inside"] == ["config.json", "preprocessor_config.json"]
    assert (found["asked"], found["code"], found["attention"]) == ([], [], "sdpa")
    usual = loading.load(folders["hubert"], name="x", layers=3, window_seconds=30, random=random == "random")
    assert found["weights"] == usual.weights


def test_the_settings_of_a_processor_will_do(tmp_path, folders):
    folder = copy_with(tmp_path, folders["mert"], load_file(folders["hubert"] / "model.safetensors"))
    extractor = folder / "preprocessor_config.json"
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "x", "feature_extractor": json.loads(extractor.read_text())})
    )
    extractor.unlink()
    assert loading.load(folder, name="x", layers=3, window_seconds=30).rate == 24000
    (folder / "processor_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"processor_config\.json: has no `feature_extractor`"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


# --- damage


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_weight_that_is_not_finite_is_named(tmp_path, folders, value):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights["encoder.layers.1.attention.k_proj.bias"][5] = float(value)
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    with pytest.raises(UserError, match=r"weight encoder\.layers\.1\.attention\.k_proj\.bias .* not finite"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


def test_weights_that_are_no_floating_point_are_refused(tmp_path, folders):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights["encoder.layer_norm.bias"] = weights["encoder.layer_norm.bias"].to(torch.int32)
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    with pytest.raises(UserError, match=r"encoder\.layer_norm\.bias is of int32, not of floating point"):
        loading.load(folder, name="x", layers=3, window_seconds=30)


@pytest.mark.parametrize("count", [15, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_damaged_settings_are_one_line(tmp_path, folders, file, count):
    folder = copy_with(tmp_path, folders["hubert"])
    found = outcomes(folder / file, changed_json((folder / file).read_bytes(), count), lambda: states(folder))
    # another number in its place is nothing that can be noticed
    assert found["traceback"] == 0, found
    assert found["one line"] > count // 4


def states(folder: Path) -> list[bytes]:
    """Everything that a short noise becomes."""
    encoder = loading.load(folder, name="x", layers=3, window_seconds=30)
    return [state.tobytes() for state in batched(encoder, noises(encoder.rate, (0.1,)))[0]]


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
