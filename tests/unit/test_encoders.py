"""Hidden states of batches are those of transformers, clip by clip; incomplete checkpoints are refused."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from speechsong import encoders
from speechsong.files import UserError

sys.path.insert(0, str(Path(__file__).parents[1]))
from checkpoints import FAMILIES, build, save

SECONDS = (0.03, 1.0, 0.31, 2.7, 0.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("checkpoints")
    return {family: save(build(family), base / family, family) for family in FAMILIES}


def clips(rate: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [(0.1 * rng.standard_normal(int(s * rate)) + 0.05).astype(np.float32) for s in SECONDS]


def batched(encoder: encoders.Encoder, waveforms: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Hidden states of each clip, computed in one padded batch."""
    with torch.inference_mode():
        parts = [encoders.front(encoder, encoders.prepare(encoder, w)[0]) for w in waveforms]
        states = list(encoders.blocks(encoder, [p[0] for p in parts]))
    return [[s[i, : parts[i][1]].numpy() for s in states] for i in range(len(waveforms))]


def reference(model: torch.nn.Module, folder: Path, family: str, waveform: np.ndarray, rate: int) -> list[np.ndarray]:
    """What transformers gives for one clip, all layers, no padding of ours."""
    with torch.inference_mode():
        if family == "whisper":
            extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
            mel = extractor(waveform, sampling_rate=rate, return_tensors="pt").input_features
            states = model.get_encoder()(mel, output_hidden_states=True).hidden_states
            return [s[0, : -(-len(waveform) // 320)].numpy() for s in states]
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
        values = extractor(waveform, sampling_rate=rate, return_tensors="pt").input_values
        return [s[0].numpy() for s in model(values, output_hidden_states=True).hidden_states]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_transformers_gives_clip_by_clip(folders, family):
    encoder = encoders.load(folders[family], name=family, layers=3, window_seconds=30)
    assert encoder.rate == (24000 if family == "mert" else 16000)
    waveforms = clips(encoder.rate)
    found = batched(encoder, waveforms)
    model = build(family)
    for waveform, states in zip(waveforms, found, strict=True):
        wanted = reference(model, folders[family], family, waveform, encoder.rate)
        assert len(states) == len(wanted) == encoder.layers + 1
        for ours, theirs in zip(states, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_a_batch_changes_nothing(folders, family):
    encoder = encoders.load(folders[family], name=family, layers=3, window_seconds=30)
    waveforms = clips(encoder.rate)
    forwards, backwards = batched(encoder, waveforms), batched(encoder, waveforms[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_layers_differ_so_that_the_comparison_means_something(folders):
    encoder = encoders.load(folders["hubert"], name="hubert", layers=3, window_seconds=30)
    states = batched(encoder, clips(16000))[1]
    for a, b in itertools.pairwise(states):
        assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_long_clips_are_cut_into_windows(folders, family):
    encoder = encoders.load(folders[family], name=family, layers=3, window_seconds=1.5)
    waveform = clips(16000)[3]
    windows = encoders.prepare(encoder, waveform)
    assert [len(w) for w in windows] == [24000, len(waveform) - 24000]
    with torch.inference_mode():
        frames = [encoders.front(encoder, w)[1] for w in windows]
    assert frames == ([75, 60] if family == "whisper" else [74, 59])


def test_a_rest_too_short_for_a_frame_is_left_out(folders):
    encoder = encoders.load(folders["wav2vec2"], name="w", layers=3, window_seconds=1)
    assert encoder.least == 400
    assert [len(w) for w in encoders.prepare(encoder, np.ones(16399, np.float32))] == [16000]
    assert [len(w) for w in encoders.prepare(encoder, np.ones(16400, np.float32))] == [16000, 400]


def test_whisper_with_a_shorter_window_is_whisper_with_a_shorter_table(folders):
    encoder = encoders.load(folders["whisper"], name="w", layers=3, window_seconds=8)
    waveform = clips(16000)[3]
    found = batched(encoder, [waveform])[0]
    full = build("whisper").get_encoder()
    config = full.config
    config.max_source_positions = 400
    short = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    weights = full.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][:400]
    short.load_state_dict(weights)
    extractor = transformers.WhisperFeatureExtractor(chunk_length=8)
    with torch.inference_mode():
        mel = extractor(waveform, sampling_rate=16000, return_tensors="pt").input_features
        wanted = short(mel, output_hidden_states=True).hidden_states
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs[0, : len(ours)].numpy(), atol=1e-5)


def test_a_ctc_checkpoint_loads_without_mask_embedding_and_with_its_head(tmp_path, folders):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights.pop("masked_spec_embed", None)
    weights = {f"wav2vec2.{k}": v for k, v in weights.items()}
    weights |= {"lm_head.weight": torch.zeros(5, 48), "lm_head.bias": torch.zeros(5)}
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    encoder = encoders.load(folder, name="ctc", layers=3, window_seconds=30)
    plain = encoders.load(folders["wav2vec2"], name="plain", layers=3, window_seconds=30)
    for a, b in zip(batched(encoder, clips(16000))[1], batched(plain, clips(16000))[1], strict=True):
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
        encoders.load(folder, name="x", layers=3, window_seconds=30)


def test_an_unknown_weight_is_refused(tmp_path, folders):
    weights = load_file(folders["hubert"] / "model.safetensors") | {"encoder.layers.0.gate": torch.zeros(3)}
    with pytest.raises(UserError, match="belong to no part of the encoder"):
        encoders.load(copy_with(tmp_path, folders["hubert"], weights), name="x", layers=3, window_seconds=30)


def test_another_number_of_layers_is_refused(folders):
    with pytest.raises(UserError, match=r"has 3 layers, `encoders\.x\.layers` says 12"):
        encoders.load(folders["hubert"], name="x", layers=12, window_seconds=30)


def test_a_config_of_another_shape_is_refused(tmp_path, folders):
    folder = copy_with(tmp_path, folders["hubert"], hidden_size=64)
    with pytest.raises(UserError, match="cannot be loaded"):
        encoders.load(folder, name="x", layers=3, window_seconds=30)


@pytest.mark.parametrize("option", ["feature_extractor_cqt", "deepnorm"])
def test_a_mert_of_another_kind_is_refused(tmp_path, folders, option):
    folder = tmp_path / "mert"
    folder.mkdir()
    for file in folders["mert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {option: True}))
    with pytest.raises(UserError, match=option):
        encoders.load(folder, name="x", layers=3, window_seconds=30)


def test_a_pickle_that_runs_code_is_refused(tmp_path, folders):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    folder = copy_with(tmp_path, folders["hubert"])
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="cannot be loaded"):
        encoders.load(folder, name="x", layers=3, window_seconds=30)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("lost", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, folders, lost):
    folder = copy_with(tmp_path, folders["hubert"])
    (folder / lost).unlink()
    with pytest.raises(UserError, match=r"encoders\.x\.checkpoint"):
        encoders.load(folder, name="x", layers=3, window_seconds=30)


def test_an_unknown_family_is_named(tmp_path, folders):
    folder = copy_with(tmp_path, folders["hubert"], model_type="bert")
    with pytest.raises(UserError, match=r"'bert' are not supported \(known: wav2vec2"):
        encoders.load(folder, name="x", layers=3, window_seconds=30)


def test_a_gpu_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert encoders.pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="config key `device`"):
        encoders.pick_device("cuda")


@pytest.mark.parametrize(("gpus", "warned"), [(0, False), (1, True)])
def test_a_job_that_asked_for_a_gpu_and_has_none_says_so(folders, caplog, gpus, warned):
    encoder = encoders.load(folders["hubert"], name="x", layers=3, window_seconds=30)
    with caplog.at_level("INFO", logger="speechsong"):
        encoders.report_device(encoder, gpus)
    assert "computing on cpu" in caplog.messages
    assert [r.levelname == "WARNING" and "`device: cpu`" in r.message for r in caplog.records[1:]] == [True] * warned


# --- the digest of the weights


@pytest.mark.parametrize("family", FAMILIES)
def test_the_digest_is_of_the_weights_alone(folders, family):
    load = lambda **o: encoders.load(folders[family], name="x", **{"layers": 3, "window_seconds": 30} | o)  # noqa: E731
    digests = {load().weights, load(layers=None, window_seconds=8).weights}
    assert len(digests) == 1
    assert len(digests.pop()) == 16


@pytest.mark.parametrize("name", ["encoder.layer_norm.bias", "encoder.pos_conv_embed.conv.bias", "masked_spec_embed"])
def test_one_other_number_is_another_digest(tmp_path, folders, name):
    weights = load_file(folders["wav2vec2"] / "model.safetensors")
    weights[name][3] += 1e-3
    folder = copy_with(tmp_path, folders["wav2vec2"], weights)
    before, after = (
        encoders.load(f, name="x", layers=3, window_seconds=30).weights for f in (folders["wav2vec2"], folder)
    )
    # which is only for masks, and drawn at random where a checkpoint lacks it
    assert (before == after) == (name == "masked_spec_embed")


def test_random_weights_have_a_digest_of_their_own(folders):
    one, other = (
        encoders.load(folders[f], name="x", layers=3, window_seconds=30, random=True).weights
        for f in ("hubert", "whisper")
    )
    assert one != other
    assert one != encoders.load(folders["hubert"], name="x", layers=3, window_seconds=30).weights


# --- the control: random weights


def fresh(family: str, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A model as transformers makes it from a config alone, and a folder that holds it."""
    kind = build(family)
    with torch.random.fork_rng():
        torch.manual_seed(encoders.RANDOM_SEED)
        model = type(kind)(kind.config)
    return model.eval(), save(model, folder / "fresh", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_are_those_that_transformers_starts_with(tmp_path, folders, monkeypatch, family):
    # that of the tests' checkpoints is 0
    monkeypatch.setattr(encoders, "RANDOM_SEED", 7)
    window = 8 if family == "whisper" else 30
    options = {"name": family, "layers": 3, "window_seconds": window}
    trained = encoders.load(folders[family], **options)
    control = encoders.load(folders[family], **options, random=True)
    wanted = encoders.load(fresh(family, tmp_path)[1], **options)
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
    waveforms = clips(control.rate)
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
        loaded.append(encoders.load(folders["hubert"], name="x", layers=3, window_seconds=30, random=True))
        assert torch.equal(torch.get_rng_state(), before)
    one, other = (e.model.state_dict() for e in loaded)
    assert all(torch.equal(one[name], other[name]) for name in one)
    for a, b in zip(*(batched(e, clips(16000))[1] for e in loaded), strict=True):
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
        encoders.load(folder, name="x", layers=3, window_seconds=30)
    control = encoders.load(folder, name="x", layers=3, window_seconds=30, random=True)
    usual = encoders.load(folders["wav2vec2"], name="x", layers=3, window_seconds=30, random=True)
    for a, b in zip(control.model.parameters(), usual.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32


def test_a_random_whisper_knows_its_positions(folders):
    encoder = encoders.load(folders["whisper"], name="x", layers=3, window_seconds=8, random=True)
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
        encoders.load(folder, name="x", layers=3, window_seconds=30, random=True)
