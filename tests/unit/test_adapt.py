"""Training of a stage: what PyTorch does, resumed to the bit, refused where a file does not fit."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file

from speechsong import adapt, adapters, audio, checkpoints, cli, embeddings, encoders, files, splits
from speechsong import demo as voices
from speechsong.corpora import read_ravdess
from speechsong.files import UserError

sys.path.insert(0, str(Path(__file__).parents[1]))
from checkpoints import build, save

EMOTIONS = ["calm", "happy", "sad"]
CODE = {"calm": "02", "happy": "03", "sad": "04"}
PEFT = {"rank": 2, "alpha": 2, "targets": ("q", "k", "v", "out"), "width": 4, "gate": "sigmoid"}
N, D, LAYERS = 90, 16, 3


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    monkeypatch.setattr(adapt, "STATE_SECONDS", 0.0)


def settings(**changes) -> adapt.Training:
    return adapt.Training(**{"epochs": 6, "learning_rate": 1e-2, "weight_decay": 0.01, "batch_size": 16} | changes)


MAKER = {"family": "hubert", "weights": "0" * 16}


def domain(weighted: bool = True) -> adapt.Domain:
    rng = np.random.default_rng(2)
    answers = rng.integers(0, 3, N)
    inputs = rng.standard_normal((N, LAYERS, D)).astype(np.float32)
    inputs[:, 1] += rng.standard_normal((3, D)).astype(np.float32)[answers]
    split = adapt.Split(np.arange(50), np.arange(50, 70), np.arange(70, N), 0)
    return adapt.Domain([f"c{i}" for i in range(N)], answers, split, inputs if weighted else inputs.mean(axis=1), MAKER)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_learner_is_that_of_pytorch(weighted):
    data, training = domain(weighted), settings()
    learner = adapt.LinearLearner(weighted, D, 3, LAYERS, training, seed=1)
    start = {name: torch.from_numpy(value) for name, value in learner.parameters().items()}
    head = torch.nn.Linear(D, 3)
    layers = torch.nn.Parameter(torch.zeros(LAYERS))
    head.load_state_dict({"weight": start["head.weight"], "bias": start["head.bias"]})
    own = [*head.parameters(), *([layers] if weighted else [])]
    optimiser = torch.optim.AdamW(own, lr=1e-2, weight_decay=0.01)
    inputs, answers = torch.from_numpy(data.inputs), torch.from_numpy(data.answers)
    for epoch in range(1, 7):
        drawn = adapt.batches(data.split.train, None, 16, np.random.default_rng(epoch))
        losses = []
        for rows in drawn:
            x = layers.softmax(0) @ inputs[rows] if weighted else inputs[rows]
            loss = torch.nn.functional.cross_entropy(head(x), answers[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        np.testing.assert_allclose(learner.epoch(data, drawn), np.mean(losses), rtol=1e-5)
    found = learner.parameters()
    np.testing.assert_allclose(found["head.weight"], head.weight.detach(), atol=1e-5)
    np.testing.assert_allclose(found["head.bias"], head.bias.detach(), atol=1e-5)
    if weighted:
        np.testing.assert_allclose(found["layer_weights"], layers.detach(), atol=1e-5)
        assert np.abs(found["layer_weights"]).max() > 0.01


def test_batches_hold_every_row_once_and_like_lengths_together():
    rng = np.random.default_rng(0)
    lengths = rng.uniform(1, 6, 500)
    rows = np.arange(500)
    drawn = adapt.batches(rows, lengths, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(drawn)) == list(rows)
    assert sorted(map(len, drawn)) == [4] + [16] * 31
    plain = adapt.batches(rows, None, 16, np.random.default_rng(1))
    spread = [np.mean([np.ptp(lengths[b]) for b in some]) for some in (drawn, plain)]
    assert spread[0] < 0.35 * spread[1]
    again = adapt.batches(rows, lengths, 16, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    other = adapt.batches(rows, lengths, 16, np.random.default_rng(2))
    assert not all(np.array_equal(a, b) for a, b in itertools.zip_longest(drawn, other))


def test_the_first_of_the_best_epochs_is_kept_and_patience_stops():
    data = domain()
    learner = adapt.LinearLearner(True, D, 3, LAYERS, settings(), seed=1)
    progress = adapt.fit(learner, data, settings(epochs=40), (0, 1))
    assert len(progress.validation) == 40
    assert progress.best_epoch == int(np.argmax(progress.validation)) + 1
    for name, value in learner.parameters().items():
        np.testing.assert_array_equal(value, progress.best[name])
    learner = adapt.LinearLearner(True, D, 3, LAYERS, settings(), seed=1)
    stopped = adapt.fit(learner, data, settings(epochs=40, patience=3), (0, 1))
    assert len(stopped.validation) == stopped.best_epoch + 3 < 40
    assert stopped.validation == progress.validation[: len(stopped.validation)]


# ---- whole stages, on a few demo voices through a tiny encoder ----


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Recordings of two domains, a split of them, an encoder, and its embeddings."""
    base = tmp_path_factory.mktemp("corpus")
    recordings, rows = {}, []
    for name, channel in (("speech", "speech"), ("music", "song")):
        wanted = [
            n
            for n in voices.recordings(channel)
            if n.split("-")[-5] in CODE.values() and n.split("-")[-4] == "01" and int(n.split("-")[-1][:2]) <= 4
        ]
        for n in wanted:
            voices.write_voice(base / "voices", n)
        recordings[name] = sorted(read_ravdess([str(base / "voices" / n) for n in wanted], channel))
        for emotion in EMOTIONS:
            some = [r for r in recordings[name] if r.emotion == emotion]
            parts = ["train"] * (len(some) - 4) + ["validation"] * 2 + ["test"] * 2
            rows += [{"clip_id": r.clip_id, "domain": name, "part": p} for r, p in zip(some, parts, strict=True)]
    files.write_rows(base / "random-0.csv", rows)
    save(build("hubert"), base / "encoder", "hubert")
    encoder = load(base)
    for name, some in recordings.items():
        blocks = {speaker: 0 for speaker in {r.speaker for r in some}}
        for emotion in EMOTIONS:
            found = embeddings.extract(encoder, [r for r in some if r.emotion == emotion], blocks)
            for layer in range(4):
                said = embeddings.attributes(encoder, entry(base), emotion)
                embeddings.write(base / f"{name}/{layer}/{emotion}.h5", found, layer, said)
    return base, recordings


def entry(base: Path) -> dict:
    return {"checkpoint": str(base / "encoder"), "revision": None, "layers": 3, "window_seconds": 30}


def stage(corpus, approach: str, source: str, target: str | None = None, start=None, **changes) -> adapt.Stage:
    base, _ = corpus
    params = {
        **{"model": "tiny", "approach": approach, "protocol": "random", "seed": 0, "source": source, "target": target},
        **{"encoder": entry(base), "emotions": EMOTIONS, "layers": [1, 2, 3], "adapters": {}},
        "training": {"epochs": 3, "learning_rate": 1e-2, "weight_decay": 0.01, "batch_size": 8, "patience": None},
    }
    if approach == "peft":
        params["adapters"] = {k: list(v) if isinstance(v, tuple) else v for k, v in PEFT.items()}
        params["training"] |= {"learning_rate": 3e-3}
    params["training"] |= changes.pop("training", {})
    return adapt.stage(params | changes, str(base / "random-0.csv"), start and str(start), "code")


def load(base: Path) -> encoders.Encoder:
    return encoders.load(base / "encoder", name="tiny", layers=3, window_seconds=30)


def embedded(base: Path, domain: str, layers: list[int]) -> list[str]:
    return [str(base / f"{domain}/{layer}/{emotion}.h5") for layer in layers for emotion in EMOTIONS]


def prepare(corpus, what: adapt.Stage):
    base, recordings = corpus
    if what.approach == "peft":
        encoder = load(base)
        domains = adapt.recorded_domains(what, encoder, {d: recordings[d] for d in what.domains}, 1e9)
        return adapt.peft_learner(what, encoder), domains
    domains = adapt.pooled_domains(what, {d: embedded(base, d, what.layers) for d in what.domains})
    return adapt.linear_learner(what, domains), domains


def outputs(folder: Path, name: str) -> dict[str, str]:
    return {
        "checkpoint": str(folder / f"{name}.safetensors"),
        "table": str(folder / f"{name}.csv"),
        "predictions": str(folder / f"{name}-predictions.csv"),
    }


def run(corpus, what: adapt.Stage, folder: Path, name: str) -> dict[str, str]:
    learner, domains = prepare(corpus, what)
    made = outputs(folder, name)
    adapt.run(what, learner, domains, folder / "state" / f"{name}.safetensors", [what.split], made)
    return made


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
def test_two_stages(corpus, tmp_path, approach):
    first = run(corpus, stage(corpus, approach, "speech"), tmp_path, "speech")
    start = first["checkpoint"]
    second = run(corpus, stage(corpus, approach, "speech", "music", start), tmp_path, "speech-music")
    control = run(corpus, stage(corpus, approach, "speech", "speech", start), tmp_path, "speech-speech")
    table = pd.concat([pd.read_csv(made["table"]) for made in (first, second, control)])
    assert list(table["stage"]) == [1, 2, 2, 2]
    assert list(table["test_domain"]) == ["speech", "music", "speech", "speech"]
    assert list(table["target"].fillna("")) == ["", "music", "music", "speech"]
    assert table["accuracy"].between(0, 1).all()
    parts = [f"parameters_{part}" for part in checkpoints.PARTS]
    assert (table[parts].sum(axis=1) == table["trainable_parameters"]).all()
    wanted = {"baseline": 3 * 49, "ws": 3 * 49 + 3, "peft": 3 * 49 + 3 + 3 * (4 * 2 * 2 * 48 + 2 * 4 * 48 + 52 + 48)}
    assert set(table["trainable_parameters"]) == {wanted[approach]}
    for made, rows in ((first, 1), (second, 2)):
        guesses = pd.read_csv(made["predictions"])
        assert len(guesses) == rows * 6
        right = (guesses["true"] == guesses["predicted"]).groupby(guesses["test_domain"]).mean()
        for row in pd.read_csv(made["table"]).itertuples():
            assert row.accuracy == right[row.test_domain]
    parameters, description = checkpoints.read(second["checkpoint"])
    assert checkpoints.count(parameters) == description["trainable_parameters"]
    assert len(description["validation"]) == 3
    assert description["best_epoch"] == int(np.argmax(description["validation"])) + 1
    encoder = load(corpus[0])
    adapters_of = {k: list(v) if isinstance(v, tuple) else v for k, v in PEFT.items()} if approach == "peft" else {}
    assert (
        description.items()
        >= {
            **{"model": "tiny", "approach": approach, "protocol": "random", "seed": 0, "stage": 2, "code": "code"},
            **{"source": "speech", "target": "music", "emotions": EMOTIONS, "layers": [1, 2, 3], "window_seconds": 30},
            "encoder": {"checkpoint": str(corpus[0] / "encoder"), "revision": None, "control": None},
            **{"family": "hubert", "weights": encoder.weights},
        }.items()
    )
    training = {"epochs": 3, "weight_decay": 0.01, "batch_size": 8, "patience": None, "freeze_gate": False}
    rate = {"learning_rate": 3e-3 if approach == "peft" else 1e-2}
    assert description["settings"] == training | rate | adapters_of
    assert not list((tmp_path / "state").glob("*.safetensors"))


def test_stage_two_starts_where_stage_one_was_best(corpus, tmp_path):
    first = run(corpus, stage(corpus, "peft", "speech"), tmp_path, "speech")
    # a stage that learns nothing gives stage one's answers again
    still = stage(
        corpus, "peft", "speech", "music", first["checkpoint"], training={"learning_rate": 1e-30, "epochs": 1}
    )
    second = run(corpus, still, tmp_path, "speech-music")
    once = pd.read_csv(first["predictions"])
    again = pd.read_csv(second["predictions"])
    again = again[again["test_domain"] == "speech"]
    for emotion in EMOTIONS:
        np.testing.assert_allclose(again[f"logit_{emotion}"], once[f"logit_{emotion}"], atol=1e-6)


def test_a_frozen_gate_stays_and_is_not_counted(corpus, tmp_path):
    first = run(corpus, stage(corpus, "peft", "speech"), tmp_path, "speech")
    frozen = stage(corpus, "peft", "speech", "music", first["checkpoint"], training={"freeze_gate": True})
    second = run(corpus, frozen, tmp_path, "speech-music")
    before, after = load_file(first["checkpoint"]), load_file(second["checkpoint"])
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith("gate."), name
    assert set(pd.read_csv(second["table"])["parameters_gate"]) == {0}


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_stage_goes_on_to_the_same_bits(corpus, tmp_path, monkeypatch, approach, after):
    what = stage(corpus, approach, "music", training={"epochs": 4})
    whole = run(corpus, what, tmp_path / "whole", "music")
    kind = adapt.PeftLearner if approach == "peft" else adapt.LinearLearner
    plain, calls = kind.epoch, []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) > after:
            # in the middle of an epoch: parameters have moved
            plain(self, *arguments)
            raise KeyboardInterrupt
        return plain(self, *arguments)

    monkeypatch.setattr(kind, "epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, what, tmp_path / "killed", "music")
    assert not (tmp_path / "killed" / "music.csv").exists()
    calls.clear()

    def counts(self, *arguments):
        calls.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(kind, "epoch", counts)
    resumed = run(corpus, what, tmp_path / "killed", "music")
    assert len(calls) == 4 - after
    for key in ("checkpoint", "predictions"):
        assert Path(resumed[key]).read_bytes() == Path(whole[key]).read_bytes()
    assert Path(resumed["checkpoint"]).with_suffix(".json").read_bytes() == (tmp_path / "whole/music.json").read_bytes()


@pytest.mark.parametrize("spoil", ["settings", "bytes"])
def test_a_state_of_another_training_is_not_gone_on_with(corpus, tmp_path, monkeypatch, spoil):
    what = stage(corpus, "ws", "music")
    whole = run(corpus, what, tmp_path / "whole", "music")
    state = tmp_path / "other" / "state" / "music.safetensors"
    learner, domains = prepare(corpus, what)
    adapt.fit(learner, domains["music"], settings(epochs=1), (9, 9), state, "something else")
    if spoil == "bytes":
        state.write_bytes(state.read_bytes()[:100])
    again = run(corpus, what, tmp_path / "other", "music")
    assert Path(again["checkpoint"]).read_bytes() == Path(whole["checkpoint"]).read_bytes()


@pytest.mark.parametrize("approach", ["ws", "peft"])
def test_a_loss_that_is_no_number_stops_and_keeps_the_best(corpus, tmp_path, monkeypatch, approach):
    what = stage(corpus, approach, "music", training={"epochs": 9})
    kind = adapt.PeftLearner if approach == "peft" else adapt.LinearLearner
    plain, calls = kind.epoch, []

    def diverges(self, *arguments):
        calls.append(1)
        return plain(self, *arguments) if len(calls) < 3 else float("nan")

    monkeypatch.setattr(kind, "epoch", diverges)
    with pytest.raises(UserError, match=rf"epoch 3.*`adapt\.learning_rate\.{approach}`.*music-best") as caught:
        run(corpus, what, tmp_path, "music")
    assert "\n" not in str(caught.value)
    _, description = checkpoints.read(tmp_path / "state/music-best.safetensors")
    assert len(description["validation"]) == 2
    assert not (tmp_path / "music.csv").exists()


def test_a_real_overflow_is_found(corpus, tmp_path):
    what = stage(corpus, "ws", "music", training={"learning_rate": 1e38})
    with pytest.raises(UserError, match="not a finite number in epoch 1"):
        run(corpus, what, tmp_path, "music")


@pytest.mark.parametrize("where", ["epoch", "logits"])
def test_a_gpu_out_of_memory_names_the_size_of_the_batch(corpus, tmp_path, monkeypatch, where):
    what = stage(corpus, "peft", "music")
    learner, domains = prepare(corpus, what)
    plain = learner.model.forward

    def forward(clips):
        import torch

        if torch.is_grad_enabled() == (where == "epoch"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(clips)

    monkeypatch.setattr(learner.model, "forward", forward)
    with pytest.raises(UserError, match=r"8 clips.*`adapt\.batch_size`") as caught:
        adapt.run(what, learner, domains, tmp_path / "state", [what.split], outputs(tmp_path, "music"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "music.csv").exists()


def test_a_class_without_validation_clips(corpus, tmp_path):
    base, _ = corpus
    rows = files.read_rows(base / "random-0.csv")
    for row in rows:
        if row["part"] == "validation" and row["domain"] == "music" and row["clip_id"].split("-")[2] == CODE["sad"]:
            row["part"] = "train"
    files.write_rows(tmp_path / "random-0.csv", rows)
    what = adapt.Stage(**{**vars(stage(corpus, "ws", "music")), "split": str(tmp_path / "random-0.csv")})
    with pytest.raises(UserError, match=r"random-0\.csv: domain `music` has no clip of `sad` in its validation part"):
        prepare(corpus, what)


# ---- checkpoints that do not fit ----


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A peft checkpoint with every part away from its start."""
    folder = tmp_path_factory.mktemp("trained")
    return Path(run(corpus, stage(corpus, "peft", "speech"), folder, "speech")["checkpoint"])


def copy(trained: Path, folder: Path, **changes) -> Path:
    path = folder / trained.name
    path.write_bytes(trained.read_bytes())
    description = json.loads(trained.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(description | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"checkpoint": "facebook/other", "revision": None}}, "its encoder is .*facebook/other"),
        ({"encoder": "random"}, "its encoder is .*'random'.* not .*None"),
        ({"emotions": ["calm", "happy", "angry"]}, "its emotions is .*angry"),
        ({"approach": "ws"}, "its approach is ws, not peft"),
        ({"weights": "0123456789abcdef"}, "its encoder's digest is 0123456789abcdef, not "),
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
    with pytest.raises(UserError, match=r"gate\.0 is on one side only"):
        cli.predict(path, [])


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
        assert "no whole safetensors file" in capsys.readouterr().err


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


DAMAGE = {
    "cut": (lambda d: None, "not valid JSON"),
    "list": (lambda d: [1], "is no JSON object"),
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


def test_a_description_needs_no_number_of_blocks(corpus, trained, tmp_path):
    path = copy(trained, tmp_path)
    described = json.loads(path.with_suffix(".json").read_text())
    del described["blocks"]
    path.with_suffix(".json").write_text(json.dumps(described))
    recording = corpus[1]["speech"][0].path
    np.testing.assert_array_equal(cli.predict(path, [recording])[1], cli.predict(trained, [recording])[1])


def test_a_checkpoint_without_its_description(trained, tmp_path):
    path = copy(trained, tmp_path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match=r"speech\.json: lacks approach"):
        checkpoints.read(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"speech\.json: missing"):
        checkpoints.read(path)


# ---- the command ----


@pytest.mark.parametrize(
    ("family", "control"),
    [
        *((family, None) for family in ("hubert", "wav2vec2-stable", "wavlm", "data2vec-audio", "whisper")),
        *((family, "random") for family in ("hubert", "whisper")),
    ],
)
def test_exported_lora_does_the_same_in_peft(tmp_path, capsys, family, control):
    from peft import PeftModel

    save(build(family), tmp_path / "encoder", family)
    random = control == "random"
    encoder = encoders.load(tmp_path / "encoder", name="tiny", layers=3, window_seconds=30, random=random)
    model = adapters.Adapted(encoder, adapters.Settings(**PEFT | {"gate": "identity"}, layers=(1, 2, 3)), 3, seed=0)
    with torch.no_grad():
        for name, parameter in model.trained().items():
            if name.startswith("lora"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    what = {
        **{"approach": "peft", "model": "tiny", "family": encoder.family, "emotions": EMOTIONS, "layers": [1, 2, 3]},
        **{"encoder": {"checkpoint": "a/b", "revision": "r", "control": control}, "settings": PEFT},
        **{"weights": encoder.weights, "window_seconds": 30},
    }
    named = {name: value.detach().numpy() for name, value in model.trained().items()}
    checkpoints.write(tmp_path / "c.safetensors", named, what)
    assert cli.main(["export", str(tmp_path / "c.safetensors"), str(tmp_path / "lora")]) == 0
    said = capsys.readouterr().out
    assert "Not in it: bottleneck" in said
    assert "head (147 numbers)" in said
    assert ("merge_adapter" in said) == (family == "wavlm")
    assert f"Load it onto transformers.{type(build(family)).__name__}: PeftModel.from_pretrained(" in said
    assert sorted(p.name for p in (tmp_path / "lora").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]

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
        front, _ = encoders.front(encoder, values.numpy())
        ours = list(encoders.blocks(encoder, [front], model._after))[-1]
        if family == "wav2vec2-stable":
            ours = encoder.model.encoder.layer_norm(ours)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (theirs - frozen).abs().max() > 0.01


def test_only_peft_can_be_exported(corpus, tmp_path, capsys):
    made = run(corpus, stage(corpus, "ws", "speech"), tmp_path, "speech")
    assert cli.main(["export", made["checkpoint"], str(tmp_path / "out")]) == 1
    assert "holds no LoRA (ws)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_an_export(trained, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert cli.main(["export", str(trained), str(tmp_path / "taken")]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path / 'taken'}: is a file; name a folder for the two files of the export\n"
    )
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
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
    np.testing.assert_array_equal(cli.predict(path, [recording])[1], cli.predict(trained, [recording])[1])
    gone = copy(trained, tmp_path, encoder={"checkpoint": str(tmp_path / "gone"), "revision": "r"})
    with pytest.raises(UserError, match="gone is not here; name its folder with --encoder"):
        cli.predict(gone, [recording])


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
    wanted, found = cli.predict(trained, [recording, path])[1]
    np.testing.assert_allclose(found, wanted, atol=0.02 if kind in ("ogg", "mp3") else 1e-3)


def test_only_a_gpu_computes_in_half_precision_and_never_the_front(corpus, monkeypatch):
    what = stage(corpus, "peft", "speech")
    learner, domains = prepare(corpus, what)
    rows = domains["speech"].split.validation
    plain = [adapters.front(learner.model.source, domains["speech"].inputs.paths[row]) for row in rows]
    autocast = torch.autocast
    with torch.no_grad():
        exact = learner._forward(domains["speech"], rows)
        domains["speech"].inputs.kept.clear()
        # as on a GPU
        monkeypatch.setattr(
            torch, "autocast", lambda kind, **o: autocast(kind, **o | {"enabled": o.get("dtype") is not None})
        )
        half = learner._forward(domains["speech"], rows)
    assert not torch.equal(exact, half)
    for row, clip in zip(rows, plain, strict=True):
        for (kept, _), (wanted, _) in zip(domains["speech"].inputs[row], clip, strict=True):
            assert kept.dtype == torch.float32
            assert torch.equal(kept, wanted)


def test_features_that_are_not_finite_are_refused(corpus, tmp_path):
    paths = [shutil.copy(p, tmp_path / f"{i}.h5") for i, p in enumerate(embedded(corpus[0], "speech", [1, 2]))]
    with h5py.File(paths[4], "a") as h5:
        h5["pooled"][0, 0] = np.nan
    with pytest.raises(UserError, match=r"/4\.h5: holds features that are not finite; delete the file and run again"):
        adapt.pooled_domains(stage(corpus, "ws", "speech"), {"speech": paths})


def test_embeddings_of_different_weights_are_refused(corpus, tmp_path):
    paths = [shutil.copy(p, tmp_path / f"{i}.h5") for i, p in enumerate(embedded(corpus[0], "speech", [1, 2]))]
    with h5py.File(paths[4], "a") as h5:
        h5.attrs["weights"] = "0123456789abcdef"
    with pytest.raises(UserError, match=r"/4\.h5: was made with other weights than .*/0\.h5"):
        adapt.pooled_domains(stage(corpus, "ws", "speech"), {"speech": paths})


@pytest.mark.parametrize("paired", [True, False])
def test_the_speaker_split_trains_and_tests_on_different_people(corpus, tmp_path, paired):
    rng = np.random.default_rng(0)
    clips, domains = {}, {}
    for name in ("speech", "music"):
        clips[name] = [
            {"clip_id": f"{name}-{s}-{e}-{i}", "speaker": f"{s}", "gender": "fm"[s % 2], "emotion": e}
            for e in EMOTIONS
            for s in range(10)
            for i in range(2)
        ]
        domains[name] = []
        for k, e in enumerate(EMOTIONS):
            ids = [c["clip_id"] for c in clips[name] if c["emotion"] == e]
            pooled = (rng.standard_normal((1, 20, D)) + 4 * np.eye(D)[k]).astype(np.float32)
            none = np.zeros((1, 1, 1))
            found = embeddings.Embeddings(ids, np.ones(20, int), pooled, np.ones(1, int), none, none)
            domains[name].append(str(tmp_path / f"{name}-{e}.h5"))
            embeddings.write(domains[name][-1], found, 0, MAKER)
    rows = splits.split(clips, "speaker", 3, fractions=[0.6, 0.2, 0.2], paired=paired)
    files.write_rows(tmp_path / "speaker-3.csv", rows)
    changes = {"protocol": "speaker", "seed": 3, "layers": [0]}
    start = None
    for target in (None, "music"):
        what = stage(
            corpus, "baseline", "speech", target, start, training={"epochs": 20, "learning_rate": 0.1}, **changes
        )
        what = dataclasses.replace(what, split=str(tmp_path / "speaker-3.csv"))
        read = adapt.pooled_domains(what, {d: domains[d] for d in what.domains})
        made = outputs(tmp_path, "-".join(filter(None, ("speech", target))))
        adapt.run(what, adapt.linear_learner(what, read), read, tmp_path / "state", [], made)
        start = made["checkpoint"]
        people = {d: [{read[d].clips[i].split("-")[1] for i in part} for part in parts_of(read[d])] for d in read}
        for train, validation, test in people.values():
            assert (len(train), len(validation), len(test)) == (6, 2, 2)
            assert len(train | validation | test) == 10
        assert not paired or len({frozenset(test) for *_, test in people.values()}) == 1
    guesses = pd.read_csv(made["predictions"], dtype=str)
    for name in ("music", "speech"):
        some = guesses[guesses["test_domain"] == name]
        assert set(some["clip_id"].str.split("-").str[1]) == people[name][2]
        assert len(some) == 12
    table = pd.read_csv(made["table"])
    assert set(table["protocol"]) == {"speaker"}
    assert (table["accuracy"] == 1).all()


def parts_of(domain: adapt.Domain):
    return domain.split.train, domain.split.validation, domain.split.test
