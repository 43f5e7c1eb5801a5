"""The loop: its learning rate, its batches, and what it says of a loss that is not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common import one_line
from speechsong.errors import UserError
from speechsong.pretraining import state, train
from speechsong.pretraining.model import Predictor, frames_of

FRAMES = frames_of("hubert")


@pytest.fixture
def made() -> train.Clips:
    """Clips whose samples say which frame is which: the n-th sample of clip c is c * 100,000 + n."""
    counts = [30, 50, 40]
    samples = [(100_000 * c + np.arange(FRAMES.samples(n))).astype(np.float32) for c, n in enumerate(counts)]
    answers = [1000 * c + np.arange(n) for c, n in enumerate(counts)]
    return train.Clips(samples, answers, np.array([0, 2]), np.array([1]))


def test_the_learning_rate_rises_and_falls_linearly(small):
    settings = small(steps=100, learning_rate=2.0)
    rates = [train.rate(step, settings) for step in range(1, 101)]
    assert rates[:8] == pytest.approx(np.arange(1, 9) / 8 * 2)
    assert rates[7:] == pytest.approx(2 * np.arange(93, 0, -1) / 93)
    assert train.rate(1, small(steps=1, learning_rate=2.0)) == 2.0


def test_a_batch_asks_for_the_clusters_of_the_frames_that_it_masks(made):
    drawn = train.batch(made, made.train, 6, FRAMES, 0.5, np.random.default_rng(0))
    assert drawn.samples.shape == (6, FRAMES.samples(24))
    assert drawn.masked.shape == (6, 24)
    starts = drawn.samples[:, 0].numpy()
    assert {int(start // 100_000) for start in starts} == {0, 2}
    frame = starts % 100_000 / FRAMES.hop
    asked = [1000 * (start // 100_000) + first + np.arange(24) for start, first in zip(starts, frame, strict=True)]
    assert (np.stack(asked)[drawn.masked.numpy()] == drawn.answers.numpy()).all()


def test_only_masked_frames_are_predicted_and_not_from_themselves(small):
    model = Predictor(small(), 0).eval()
    masked = torch.zeros(1, 24, dtype=torch.bool)
    masked[0, 5:15] = True
    samples = torch.randn(1, FRAMES.samples(24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one = model(samples, masked)
        assert one.shape == (10, 8)
        assert (model(samples, ~masked).shape) == (14, 8)
        # the first convolution is normalised over time, so other samples matter a little through their level
        features = model.encoder.feature_extractor(samples).transpose(1, 2)
        hidden = model.encoder._mask_hidden_states(model.encoder.feature_projection(features), masked)
    assert (hidden[0, 5:15] == model.encoder.masked_spec_embed).all()


def test_a_loss_that_is_not_finite_names_the_step_and_the_key(small, made, tmp_path, monkeypatch):
    settings = small(steps=5)
    model = Predictor(settings, 0)
    plain = train._step

    def step(model, optimiser, drawn, device):
        loss, right = plain(model, optimiser, drawn, device)
        return (float("nan") if optimiser.param_groups[0]["lr"] == train.rate(3, settings) else loss), right

    monkeypatch.setattr(train, "_step", step)
    answers = [target % 8 for target in made.targets]
    clips = train.Clips(made.samples, answers, made.train, made.held_out)
    file = tmp_path / "state"
    with pytest.raises(UserError) as caught:
        optimiser = train.optimiser_of(model)
        train.fit(
            model, optimiser, clips, FRAMES, settings, "float32", state.Progress(), file, "", "encoders.x.pretrain"
        )
    assert one_line(caught) == ("the loss is not a finite number in step 3; lower `encoders.x.pretrain.learning_rate`")
    assert not file.exists()
