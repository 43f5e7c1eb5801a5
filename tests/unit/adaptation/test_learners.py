"""The learner is plain PyTorch on every model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from made_stages import LAYERS, D, domain, prepare, settings, stage
from speechsong.adaptation import fronts, learners
from speechsong.adaptation.training import batches
from speechsong.probes.train import start


@pytest.mark.parametrize("weighted", [False, True])
def test_linear_training_is_that_of_plain_pytorch(weighted):
    data, chosen = domain(weighted), settings()
    learner = learners.Learner(learners.LinearClassifier(D, 3, LAYERS if weighted else None, seed=1), chosen)
    initial = {name: torch.from_numpy(value) for name, value in learner.parameters().items()}
    head = torch.nn.Linear(D, 3)
    layers = torch.nn.Parameter(torch.zeros(LAYERS))
    head.load_state_dict({"weight": initial["head.weight"], "bias": initial["head.bias"]})
    own = [*head.parameters(), *([layers] if weighted else [])]
    optimiser = torch.optim.AdamW(own, lr=1e-2, weight_decay=0.01)
    inputs, answers = torch.from_numpy(data.inputs), torch.from_numpy(data.answers)
    for epoch in range(1, 7):
        drawn = batches(data.split.train, 16, np.random.default_rng(epoch))
        losses = []
        for rows in drawn:
            x = layers.softmax(0) @ inputs[rows] if weighted else inputs[rows]
            loss = torch.nn.functional.cross_entropy(head(x), answers[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        np.testing.assert_allclose(learner.train_epoch(data, drawn), np.mean(losses), rtol=1e-5)
    learnt = learner.parameters()
    np.testing.assert_allclose(learnt["head.weight"], head.weight.detach(), atol=1e-5)
    np.testing.assert_allclose(learnt["head.bias"], head.bias.detach(), atol=1e-5)
    if weighted:
        np.testing.assert_allclose(learnt["layer_weights"], layers.detach(), atol=1e-5)
        assert np.abs(learnt["layer_weights"]).max() > 0.01


def test_the_head_starts_where_the_probe_of_the_same_seed_does():
    weight, bias = start(D, 3, np.random.default_rng(4))
    model = learners.LinearClassifier(D, 3, LAYERS, seed=4)
    np.testing.assert_array_equal(model.head.weight.detach(), weight.T)
    np.testing.assert_array_equal(model.head.bias.detach(), bias)
    assert not model.layer_weights.any()


def test_only_a_gpu_computes_in_half_precision_and_never_the_front(corpus, monkeypatch):
    what = stage(corpus, "peft", "speech")
    learner, domains = prepare(corpus, what)
    rows = domains["speech"].split.validation
    plain = [fronts.front(learner.model.encoder, domains["speech"].inputs.paths[row]) for row in rows]
    autocast = torch.autocast
    with torch.no_grad():
        exact = learner.batch_logits(domains["speech"], rows)
        domains["speech"].inputs.kept.clear()
        # as on a GPU
        monkeypatch.setattr(
            torch, "autocast", lambda kind, **o: autocast(kind, **o | {"enabled": o.get("dtype") is not None})
        )
        half = learner.batch_logits(domains["speech"], rows)
    assert not torch.equal(exact, half)
    for row, clip in zip(rows, plain, strict=True):
        for (kept, _), (wanted, _) in zip(domains["speech"].inputs[row], clip, strict=True):
            assert kept.dtype == torch.float32
            assert torch.equal(kept, wanted)
