"""The command: what is exported does the same in `peft`, and recordings are named as the test named them."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from checkpoints import build, save
from made_stages import EMOTIONS, OF_PART, PEFT, copy, run, stage
from speechsong import cli
from speechsong.adaptation import adapters, checkpoints
from speechsong.adaptation.export import predict
from speechsong.corpora import audio
from speechsong.encoders import loading
from speechsong.encoders.forward import blocks, front
from speechsong.errors import UserError


@pytest.mark.parametrize(
    ("family", "control", "approach"),
    [
        *((family, None, "peft") for family in ("hubert", "wav2vec2-stable", "wavlm", "data2vec-audio", "whisper")),
        *((family, "random", "peft") for family in ("hubert", "whisper")),
        *((family, None, "peft-lora") for family in ("hubert", "wavlm")),
    ],
)
def test_exported_lora_does_the_same_in_peft(tmp_path, capsys, family, control, approach):
    from peft import PeftModel

    save(build(family), tmp_path / "encoder", family)
    random = control == "random"
    encoder = loading.load(tmp_path / "encoder", name="tiny", layers=3, window_seconds=30, random=random)
    settings = PEFT | {"gate": "identity"} if approach == "peft" else {key: PEFT[key] for key in OF_PART["lora"]}
    model = adapters.Adapted(encoder, adapters.Settings(**settings, layers=(1, 2, 3)), 3, seed=0)
    with torch.no_grad():
        for name, parameter in model.trained().items():
            if name.startswith("lora"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    what = {
        **{"approach": approach, "model": "tiny", "family": encoder.family, "emotions": EMOTIONS, "layers": [1, 2, 3]},
        **{"encoder": {"checkpoint": "a/b", "revision": "r", "control": control}, "settings": settings},
        **{"weights": encoder.weights, "window_seconds": 30},
    }
    named = {name: value.detach().numpy() for name, value in model.trained().items()}
    checkpoints.write(tmp_path / "c.safetensors", named, what)
    assert cli.main(["export", str(tmp_path / "c.safetensors"), str(tmp_path / "lora")]) == 0
    said = capsys.readouterr().out
    assert ("Not in it: bottleneck" if approach == "peft" else "Not in it: layer_weights (3 numbers), head") in said
    assert "head (147 numbers)" in said
    assert ("merge_adapter" in said) == (family == "wavlm")
    assert f"Load it onto transformers.{type(build(family)).__name__}: PeftModel.from_pretrained(" in said
    assert sorted(p.name for p in (tmp_path / "lora").iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors")
    ]

    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    bare = build(family)
    if random:
        # nobody is to hang it on the checkpoint's own weights
        assert config["base_model_name_or_path"] is None
        assert f"{type(bare).__name__}(its config) after torch.manual_seed(0)" in said
        torch.manual_seed(0)
        bare = type(bare)(bare.config).eval()
    else:
        assert (config["base_model_name_or_path"], config["revision"]) == ("a/b", "r")
    values = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32))
    if family == "whisper":
        mel = encoder.extractor(values.numpy(), sampling_rate=16000, return_tensors="pt").input_features
        forward = lambda m: m.get_encoder()(mel).last_hidden_state  # noqa: E731
    else:
        forward = lambda m: m(values[None]).last_hidden_state  # noqa: E731
    with torch.no_grad():
        frozen = forward(bare)
        loaded = PeftModel.from_pretrained(bare, tmp_path / "lora").eval()
        if family == "wavlm":
            loaded.merge_adapter()
        theirs = forward(loaded.get_base_model())
        state, _ = front(encoder, values.numpy())
        ours = list(blocks(encoder, [state], model.adapt_output))[-1]
        if family == "wav2vec2-stable":
            ours = encoder.model.encoder.layer_norm(ours)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (theirs - frozen).abs().max() > 0.01


def exported(tmp_path: Path, family: str) -> tuple[Path, adapters.Adapted]:
    """Save an encoder, and export LoRA away from its start that belongs to it."""
    base = save(build(family), tmp_path / "encoder", family)
    encoder = loading.load(base, name="tiny", layers=3, window_seconds=30)
    model = adapters.Adapted(encoder, adapters.Settings(**PEFT, layers=(1, 2, 3)), 3, seed=0)
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.trained().items()):
            if name.startswith("lora"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    named = {name: value.detach().numpy() for name, value in model.trained().items()}
    what = {
        **{"approach": "peft", "model": "tiny", "family": encoder.family, "emotions": EMOTIONS, "layers": [1, 2, 3]},
        **{
            "encoder": {"checkpoint": str(base), "revision": None},
            "settings": PEFT | {"targets": list(PEFT["targets"])},
        },
        **{"weights": encoder.weights, "window_seconds": 30},
    }
    checkpoints.write(tmp_path / "c.safetensors", named, what)
    assert cli.main(["export", str(tmp_path / "c.safetensors"), str(tmp_path / "lora")]) == 0
    return tmp_path / "lora", model


def merged(model: adapters.Adapted) -> dict[str, torch.Tensor]:
    """The weights of the projections with their LoRA, by their names in the encoder."""
    from peft.tuners.lora import Linear

    return {
        name: (module.base_layer.weight + module.get_delta_weight("default")).detach()
        for name, module in model.transformer.named_modules()
        if isinstance(module, Linear)
    }


@pytest.mark.parametrize("family", ["hubert", "wavlm", "data2vec-audio", "wav2vec2", "whisper"])
def test_the_readme_of_an_export_says_how_to_load_it(tmp_path, monkeypatch, family):
    folder, model = exported(tmp_path, family)
    wanted = merged(model)
    assert len(wanted) == 12
    monkeypatch.chdir(folder)
    bare, headed = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    for code in (bare, headed):
        names: dict = {}
        with warnings.catch_warnings():
            # which is how peft says that it found no weight of that name
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            exec(code, names)
        encoder = names["model"]
        if code == headed:
            assert type(encoder).__name__.endswith(("ForSequenceClassification", "ForConditionalGeneration"))
            encoder = getattr(encoder, encoder.base_model_prefix)
        found = dict((encoder.encoder if family == "whisper" else encoder).named_parameters())
        for name, weight in wanted.items():
            torch.testing.assert_close(found[f"{name}.weight"], weight, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_peft_finds_the_model_of_an_export_by_itself(tmp_path, monkeypatch, family):
    from peft import AutoPeftModel
    from peft.tuners.lora import Linear

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, model = exported(tmp_path, family)
    monkeypatch.setattr("peft.auto.check_file_exists_on_hf_hub", lambda **_: False)
    found = AutoPeftModel.from_pretrained(folder)
    deltas = [m.get_delta_weight("default") for m in found.modules() if isinstance(m, Linear)]
    ours = [m.get_delta_weight("default") for m in model.modules() if isinstance(m, Linear)]
    assert len(deltas) == len(ours) == 12
    for a, b in zip(deltas, ours, strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().max() > 0.01


def test_an_export_does_not_go_beside_a_model(trained, corpus, tmp_path, capsys):
    shutil.copytree(corpus[0] / "encoder", tmp_path / "encoder")
    before = sorted((tmp_path / "encoder").iterdir())
    assert cli.main(["export", str(trained), str(tmp_path / "encoder")]) == 1
    assert "encoder: holds a model (config.json); name a folder of its own" in capsys.readouterr().err
    assert sorted((tmp_path / "encoder").iterdir()) == before


@pytest.mark.parametrize("spoil", ["name", "shape", "missing", "rank", "blocks", "targets"])
def test_lora_that_does_not_fit_its_settings_is_not_exported(trained, tmp_path, capsys, spoil):
    parameters, description = checkpoints.read(trained)
    name = next(n for n in parameters if n.endswith("lora_A.weight"))
    if spoil == "name":
        parameters["lora.../x.lora_A.weight"] = parameters.pop(name)
    elif spoil == "shape":
        parameters[name] = parameters[name][:, 1:]
    elif spoil == "missing":
        del parameters[name]
    elif spoil == "rank":
        description["settings"]["rank"] = 3
    elif spoil == "blocks":
        description["layers"] = [1, 2, 4]
    else:
        description["settings"]["targets"] = ["q", "/etc"]
    checkpoints.write(tmp_path / "c.safetensors", parameters, description)
    assert cli.main(["export", str(tmp_path / "c.safetensors"), str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'c.safetensors'}: ")
    assert not (tmp_path / "out").exists()


def test_only_peft_can_be_exported(corpus, tmp_path, capsys):
    made = run(corpus, stage(corpus, "ws", "speech"), tmp_path, "speech")
    assert cli.main(["export", made["checkpoint"], str(tmp_path / "out")]) == 1
    assert "holds no LoRA (ws)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["bottleneck", "gate"])
def test_a_part_without_lora_says_what_can_be_done_with_it(corpus, tmp_path, capsys, part):
    made = run(corpus, stage(corpus, f"peft-{part}", "speech", training={"epochs": 1}), tmp_path, "speech")
    assert cli.main(["export", made["checkpoint"], str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"holds no LoRA (peft-{part}), and `peft` has no format for its {part} and layer_weights and head" in said
    assert said.endswith("`speechsong predict` uses them\n") and said.count("\n") == 1


def test_joint_training_is_exported_as_any_other(corpus, tmp_path, capsys):
    made = run(corpus, stage(corpus, "peft", "speech+music", training={"epochs": 1}), tmp_path, "speech+music")
    assert cli.main(["export", made["checkpoint"], str(tmp_path / "lora")]) == 0
    assert "LoRA of 12 projections" in capsys.readouterr().out


def test_a_file_is_no_folder_for_an_export(trained, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert cli.main(["export", str(trained), str(tmp_path / "taken")]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path / 'taken'}: is a file; name a folder for the files of the export\n"
    )
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft", "peft-lora", "peft-bottleneck", "peft-gate"])
def test_predict_says_what_the_test_said(corpus, tmp_path, capsys, approach):
    made = run(corpus, stage(corpus, approach, "speech"), tmp_path, "speech")
    guesses = pd.read_csv(made["predictions"])
    path_of = {r.clip_id: r.path for r in corpus[1]["speech"]}
    paths = [path_of[clip] for clip in guesses["clip_id"]]
    assert cli.main(["predict", made["checkpoint"], *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    logits = guesses[[f"logit_{e}" for e in EMOTIONS]].to_numpy()
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [one["file"] for one in found] == paths
    np.testing.assert_allclose([[one["probabilities"][e] for e in EMOTIONS] for one in found], wanted, atol=1e-5)
    assert cli.main(["predict", made["checkpoint"], *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", *EMOTIONS]
    np.testing.assert_allclose([float(v) for v in lines[1].split()[-3:]], wanted[0], atol=6e-4)


def test_predict_without_the_encoder_or_a_recording(trained, tmp_path, capsys):
    path = copy(trained, tmp_path, encoder={"checkpoint": "org/gone", "revision": "r"})
    assert cli.main(["predict", str(path), "a.wav"]) == 1
    assert "org/gone is not here; name its folder with --encoder" in capsys.readouterr().err
    assert cli.main(["predict", str(trained), "nowhere.wav"]) == 1
    assert "nowhere.wav" in capsys.readouterr().err


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
@pytest.mark.parametrize("other", ["family", "weights"])
def test_predict_with_another_encoder(corpus, tmp_path, capsys, approach, other):
    made = run(corpus, stage(corpus, approach, "speech", training={"epochs": 1}), tmp_path, "speech")
    recording = corpus[1]["speech"][0].path
    given = ["predict", made["checkpoint"], recording, "--encoder"]
    # the same weights elsewhere
    shutil.copytree(corpus[0] / "encoder", tmp_path / "copy")
    assert cli.main([*given, str(tmp_path / "copy")]) == 0
    capsys.readouterr()
    model = build("hubert" if other == "weights" else "wav2vec2")
    with torch.no_grad():
        model.encoder.layers[1].attention.k_proj.bias[0] += 0.5
    save(model, tmp_path / "other", "hubert")
    assert cli.main([*given, str(tmp_path / "other")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "other: this encoder (" in line
    assert f"is not the one that {made['checkpoint']} was trained on" in line
    assert "--encoder" in line


def test_predict_with_weights_that_were_replaced_in_place(corpus, trained, tmp_path, capsys):
    model = build("hubert")
    with torch.no_grad():
        model.feature_projection.projection.weight[0, 0] += 0.5
    folder = save(model, tmp_path / "encoder", "hubert")
    # a folder may have inherited a revision from the catalogue
    path = copy(trained, tmp_path, encoder={"checkpoint": str(folder), "revision": "r"})
    assert cli.main(["predict", str(path), "a.wav"]) == 1
    assert "is not the one that" in capsys.readouterr().err


def test_a_local_encoder_with_a_revision_is_found(corpus, trained, tmp_path):
    path = copy(trained, tmp_path, encoder={"checkpoint": str(corpus[0] / "encoder"), "revision": "r"})
    recording = corpus[1]["speech"][0].path
    np.testing.assert_array_equal(predict(path, [recording])[1], predict(trained, [recording])[1])
    gone = copy(trained, tmp_path, encoder={"checkpoint": str(tmp_path / "gone"), "revision": "r"})
    with pytest.raises(UserError, match="gone is not here; name its folder with --encoder"):
        predict(gone, [recording])


def test_an_encoder_that_is_no_folder(trained, capsys):
    assert cli.main(["predict", str(trained), "a.wav", "--encoder", "nope"]) == 1
    assert (
        capsys.readouterr().err
        == "error: --encoder nope: holds no config.json; name a folder in transformers' layout\n"
    )


@pytest.mark.parametrize("kind", ["ogg", "mp3", "stereo", "rate"])
def test_predict_on_files_of_any_kind(corpus, trained, tmp_path, kind):
    recording = corpus[1]["speech"][0].path
    samples, rate, _ = audio.read(recording)
    assert rate == 48000
    path = str(tmp_path / f"a.{kind if kind in ('ogg', 'mp3') else 'wav'}")
    # two channels whose mean is the recording
    soundfile.write(path, *{"stereo": (np.stack([0.5 * samples, 1.5 * samples], 1), rate)}.get(kind, (samples, rate)))
    if kind == "rate":
        soundfile.write(path, audio.load(recording, 16000), 16000, subtype="FLOAT")
    wanted, found = predict(trained, [recording, path])[1]
    np.testing.assert_allclose(found, wanted, atol=0.02 if kind in ("ogg", "mp3") else 1e-3)


def test_other_recordings_are_edited_as_in_training(trained, corpus, tmp_path):
    recording = corpus[1]["speech"][0].path
    samples, rate = soundfile.read(recording)
    keep = round(0.5 * rate)
    start = (len(samples) - keep) // 2
    soundfile.write(tmp_path / "middle.wav", samples[start : start + keep], rate, subtype="FLOAT")
    edited = copy(trained, tmp_path, edits={"trim": None, "seconds": 0.5, "bandwidth": None})
    found = predict(edited, [recording])[1]
    np.testing.assert_allclose(found, predict(trained, [str(tmp_path / "middle.wav")])[1], atol=1e-6)
    assert np.abs(found - predict(trained, [recording])[1]).max() > 1e-3
