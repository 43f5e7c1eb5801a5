"""Adapters on every family: none acts at the start, every listed part learns, padding and caching change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from peft import LoraConfig, inject_adapter_in_model

from checkpoints import FAMILIES, loaded
from speechsong.adaptation import adapters, checkpoints
from speechsong.adaptation.fronts import Clip, Fronts
from speechsong.encoders import devices, forward
from speechsong.encoders.loading import Encoder

SECONDS = (1.0, 0.31, 0.7)
ALL = ("q", "k", "v", "out")
IDENTITY = adapters.Settings(rank=4, alpha=8, targets=ALL, width=8, gate="identity", layers=(1, 2, 3))


def load(folders: dict[str, Path], family: str) -> Encoder:
    return loaded(folders[family], family, window_seconds=8 if family == "whisper" else 30)


@torch.no_grad()
def clips(encoder: Encoder, seconds=SECONDS) -> list[Clip]:
    rng = np.random.default_rng(1)
    waveforms = [(0.1 * rng.standard_normal(int(s * encoder.rate)) + 0.05).astype(np.float32) for s in seconds]
    return [[forward.front(encoder, w) for w in forward.prepare(encoder, x)] for x in waveforms]


@torch.no_grad()
def states(encoder: Encoder, some: list[Clip], after=None) -> list[list[torch.Tensor]]:
    """Hidden states of each clip of one window, its valid frames."""
    found = list(forward.blocks(encoder, [clip[0][0] for clip in some], after))
    return [[state[i, : clip[0][1]] for state in found] for i, clip in enumerate(some)]


@torch.no_grad()
def disturb(model: adapters.Adapted, only: str = "", size: float = 0.1) -> None:
    """Move trained parts away from their start."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.trained().items():
        if name.startswith(only):
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def loss_of(model: adapters.Adapted, some: list[Clip]) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(some), torch.arange(len(some)))


@pytest.mark.parametrize("gate", [name for name in adapters.GATES if name != "sigmoid"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_start_is_the_frozen_encoder(folders, family, gate):
    encoder = load(folders, family)
    some = clips(encoder)
    before = states(encoder, some)
    model = adapters.Adapted(encoder, replace(IDENTITY, gate=gate), 4, seed=0)
    for one, other in zip(before, states(encoder, some, model.adapt_output), strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a - b).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_every_listed_parameter_and_no_other_learns(folders, family):
    encoder = load(folders, family)
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    # at their start the zeros of one half hide the other half's gradient
    disturb(model)
    loss_of(model, clips(encoder)).backward()
    trained = model.trained()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trained.values())
    listed = {id(p) for p in trained.values()}
    assert all(p.grad is None and not p.requires_grad for p in model.parameters() if id(p) not in listed)
    assert checkpoints.count(trained) == {
        "lora": 3 * 4 * 2 * 4 * 48,
        "bottleneck": 3 * (2 * 8 * 48 + 8 + 48),
        "gate": 3 * 48,
        "layer_weights": 3,
        "head": 4 * 49,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_is_that_of_peft_and_does_something(folders, family):
    encoder = load(folders, family)
    some = clips(encoder)
    frozen = states(encoder, some)
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    disturb(model, "lora", size=0.2)
    ours = states(encoder, some, model.adapt_output)
    # peft's own merge into bare weights, run through the untouched code of the family
    plain = load(folders, family)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=[f"{t}_proj" for t in ALL])
    theirs = inject_adapter_in_model(config, plain.model)
    weights = {n: p for n, p in encoder.model.named_parameters() if "lora_" in n}
    assert theirs.load_state_dict(weights, strict=False).unexpected_keys == []
    for module in theirs.modules():
        if hasattr(module, "lora_A"):
            module.merge()
    for before, one, other in zip(frozen, ours, states(plain, some), strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, atol=5e-5 * max(1, b.abs().max().item()), rtol=0)
        assert (before[-1] - one[-1]).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_batches_are_single_clips(folders, family):
    encoder = load(folders, family)
    some = clips(encoder)
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    disturb(model)
    with torch.no_grad():
        alone = torch.cat([model([clip]) for clip in some])
        torch.testing.assert_close(model(some), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_close_and_gives_float32_gradients(folders, family):
    encoder = load(folders, family)
    some = clips(encoder)
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    disturb(model)
    with torch.no_grad():
        exact = model(some)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(some)
    assert logits.dtype == torch.float32
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.trained().values())
    torch.testing.assert_close(logits.detach(), exact, atol=0.1, rtol=0)


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_the_windows_of_a_long_clip_are_one_mean(folders, family):
    encoder = loaded(folders[family], family, window_seconds=1)
    (long,) = clips(encoder, (1.6,))
    assert len(long) == 2
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    with torch.no_grad():
        found = model([long, long[:1]])
        means = [
            torch.stack([states(encoder, [[w]], model.adapt_output)[0][k].mean(0) for k in (1, 2, 3)]) for w in long
        ]
        frames = torch.tensor([float(n) for _, n in long])
        whole = torch.einsum("w,wld->ld", frames / frames.sum(), torch.stack(means)).mean(0)
        torch.testing.assert_close(found[0], model.head(whole), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[1], model([long[:1]])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_kept_front_gives_logits_and_gradients_of_the_waveform(folders, tmp_path, family):
    encoder = load(folders, family)
    paths = []
    for i, seconds in enumerate(SECONDS):
        noise = 0.1 * np.random.default_rng(i).standard_normal(int(seconds * encoder.rate))
        paths.append(str(tmp_path / f"{i}.wav"))
        soundfile.write(paths[-1], noise, encoder.rate, subtype="FLOAT")
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    disturb(model)
    kept, never = Fronts(encoder, paths, 1e9), Fronts(encoder, paths, 0)
    assert kept[0] is kept[0]
    assert never[0] is not never[0]
    found = []
    for fronts in (kept, never):
        model.zero_grad()
        loss = loss_of(model, [fronts[i] for i in range(3)])
        loss.backward()
        found.append((loss.detach(), {n: p.grad.clone() for n, p in model.trained().items()}))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(found[0][1][n], found[1][1][n]) for n in found[0][1])
    # and once more through the whole model of transformers, with the adapters hung on its layers
    values = [forward.prepare(encoder, soundfile.read(p, dtype="float32")[0])[0] for p in paths]
    if family == "whisper":
        # padded to the window, whose later frames do not count; its last state is normed
        read = encoder.extractor(values, sampling_rate=encoder.rate, return_tensors="pt").input_features
        frames = [-(-len(one) // 320) for one in values]
        finish = encoder.model.layer_norm
    else:
        read = [torch.from_numpy(one) for one in values]
        frames, finish = [None] * len(values), torch.nn.Identity()
    layers = forward.stack(encoder).layers
    out = {}

    def hook(number):
        def adapt(_, __, output):
            hidden = output[0] if isinstance(output, tuple) else output
            out[number] = model.adapt_output(number, hidden)
            return (out[number], *output[1:]) if isinstance(output, tuple) else out[number]

        return adapt

    handles = [layer.register_forward_hook(hook(i)) for i, layer in enumerate(layers, start=1)]
    model.zero_grad()
    logits = []
    for one, count in zip(read, frames, strict=True):
        encoder.model(one[None])
        pooled = torch.stack([state[0, :count].mean(0) for state in (out[1], out[2], finish(out[3]))])
        logits.append(model.head(torch.einsum("l,ld->d", model.layer_weights.softmax(0), pooled)))
    loss = torch.nn.functional.cross_entropy(torch.stack(logits), torch.arange(3))
    loss.backward()
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(loss.detach(), found[0][0], atol=1e-5, rtol=1e-5)
    for name, parameter in model.trained().items():
        wanted = found[0][1][name]
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-5 + 1e-3 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_masked_or_dropped_in_training(folders, family):
    encoder = load(folders, family)
    config = encoder.model.config
    # as checkpoints have them, or worse
    for option in (
        "hidden_dropout",
        "attention_dropout",
        "activation_dropout",
        "layerdrop",
        "dropout",
        "encoder_layerdrop",
    ):
        if hasattr(config, option):
            setattr(config, option, 0.5)
    config.apply_spec_augment, config.mask_time_prob, config.mask_feature_prob = True, 0.5, 0.5
    for module in encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.5
        if isinstance(getattr(module, "activation_dropout", None), float):
            module.activation_dropout = 0.5
    model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
    some = clips(encoder)
    with torch.no_grad():
        first, second = model.train()(some), model.train()(some)
        assert torch.equal(first, second)
        assert torch.equal(first, model.eval()(some))


@pytest.mark.parametrize(("gate", "numbers"), [("identity", 48), ("block", 1), ("bottleneck", 48), ("sigmoid", 48)])
@torch.no_grad()
def test_what_a_gate_multiplies(folders, gate, numbers):
    encoder = load(folders, "hubert")
    model = adapters.Adapted(encoder, replace(IDENTITY, gate=gate), 4, seed=0)
    disturb(model, "bottleneck")
    w = torch.linspace(-2, 2, numbers)
    model.gate[0].copy_(w)
    hidden = torch.randn((1, 2, 48), generator=torch.Generator().manual_seed(0))
    adapter = model.bottleneck[0]
    added = adapter.up(torch.relu(adapter.down(hidden)))
    assert added.abs().min() > 0
    factor = (1 if gate == "sigmoid" else 2) / (1 + torch.exp(-w))
    expected = hidden + factor * added if gate == "bottleneck" else factor * (hidden + added)
    torch.testing.assert_close(model.adapt_output(1, hidden), expected)


def test_the_gate_sigmoid_starts_at_sigmoid_of_one(folders):
    model = adapters.Adapted(load(folders, "hubert"), replace(IDENTITY, gate="sigmoid"), 4, seed=0)
    hidden = torch.ones(1, 2, 48)
    torch.testing.assert_close(model.adapt_output(1, hidden), hidden * torch.sigmoid(torch.tensor(1.0)))


def test_chosen_projections_and_layers_only(folders):
    encoder = load(folders, "wavlm")
    model = adapters.Adapted(encoder, replace(IDENTITY, targets=("q", "out"), layers=(1, 2)), 4, seed=0)
    names = {n for n in model.trained() if n.startswith("lora")}
    assert names == {
        f"lora.encoder.layers.{i}.attention.{p}_proj.lora_{x}.weight"
        for i in (0, 1)
        for p in ("q", "out")
        for x in "AB"
    }
    disturb(model)
    loss_of(model, clips(encoder)).backward()
    assert all(p.grad.abs().max() > 0 for p in model.trained().values())


def test_the_same_seed_is_the_same_start_whatever_was_drawn_before(folders):
    starts = []
    for _ in range(2):
        torch.rand(7)
        starts.append(adapters.Adapted(load(folders, "hubert"), IDENTITY, 4, seed=5).trained())
    assert all(torch.equal(starts[0][n], starts[1][n]) for n in starts[0])
    other = adapters.Adapted(load(folders, "hubert"), IDENTITY, 4, seed=6).trained()
    assert not torch.equal(starts[0]["head.weight"], other["head.weight"])


OF_PART = {"lora": {"rank": 4, "alpha": 8, "targets": ALL}, "bottleneck": {"width": 8}, "gate": {"gate": "identity"}}
# of three blocks of width 48: two factors for each of four projections; two matrices and their biases; a factor
NUMBERS = {"lora": 3 * 4 * 2 * 4 * 48, "bottleneck": 3 * (2 * 8 * 48 + 8 + 48), "gate": 3 * 48}


@pytest.mark.parametrize("part", OF_PART)
@pytest.mark.parametrize("family", ["hubert", "wavlm", "whisper"])
def test_one_part_alone_trains_itself_and_nothing_else(folders, family, part):
    encoder = load(folders, family)
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    alone = adapters.Adapted(encoder, adapters.Settings(**OF_PART[part], layers=(1, 2, 3)), 3, seed=0)
    trained = alone.trained()
    assert {name.split(".")[0] for name in trained} == {part, "layer_weights", "head"}
    none = dict.fromkeys(checkpoints.PARTS, 0)
    assert checkpoints.count(trained) == none | {part: NUMBERS[part], "layer_weights": 3, "head": 3 * 49}
    others = set(OF_PART) - {part}
    assert not [name for name in alone.state_dict() if any(f"{o}." in name or f"{o}_" in name for o in others)]

    some = clips(encoder)
    start = {name: value.detach().clone() for name, value in trained.items()}
    optimiser = torch.optim.AdamW(trained.values(), 1e-2)
    for _ in range(3):
        loss = loss_of(alone, some)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(not torch.equal(value, start[name]) for name, value in trained.items())
    # LoRA renames the projections that it wraps
    after = {name.replace(".base_layer", ""): value for name, value in encoder.model.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())

    # the whole of peft does the same while its other parts are as they start
    whole = adapters.Adapted(load(folders, family), IDENTITY, 3, seed=1)
    with torch.no_grad():
        for name, value in trained.items():
            whole.trained()[name].copy_(value)
        torch.testing.assert_close(whole(some), alone(some), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_in_bfloat16_takes_nearly_the_same_step(folders, family):
    """Of trained parameters in float32."""
    moved = {}
    for precision in ("float32", "bfloat16"):
        encoder = load(folders, family)
        model = adapters.Adapted(encoder, IDENTITY, 4, seed=0)
        disturb(model)
        with devices.autocast(encoder.device, precision):
            loss = loss_of(model, clips(encoder))
        loss.backward()
        assert {p.grad.dtype for p in model.trained().values()} == {torch.float32}
        moved[precision] = torch.cat([p.grad.flatten() for p in model.trained().values()])
    apart = float((moved["bfloat16"] - moved["float32"]).norm() / moved["float32"].norm())
    assert 1e-6 < apart < 0.1
