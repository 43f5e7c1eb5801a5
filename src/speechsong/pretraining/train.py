"""The training loop: a step predicts the clusters of the masked frames of a batch of crops."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import nn

from speechsong import logs
from speechsong.encoders import devices
from speechsong.errors import UserError
from speechsong.pretraining import clips as crops
from speechsong.pretraining import masks, state
from speechsong.pretraining.clips import Frames
from speechsong.pretraining.model import Predictor
from speechsong.pretraining.settings import Settings
from speechsong.pretraining.state import Progress

# AdamW and gradients as in HuBERT (Hsu et al. 2021, section IV-C, and its published configuration)
BETAS, EPSILON, WEIGHT_DECAY, LARGEST_GRADIENT = (0.9, 0.98), 1e-6, 0.01, 10.0
# share of the steps in which the learning rate rises, in proportion to the step; then it falls to zero in the same way
WARM_UP = 0.08
# crops of the held-out speakers, the same in each row of the curve, and the most rows of an iteration
CROPS, ROWS = 64, 20
# a loss that is this many times that of a guess diverges, even if it is finite
DIVERGED = 2.0
# a state is written at most every second, and at most in this share of the time: a large one takes long to write
STATE_SECONDS, STATE_SHARE = 1.0, 0.05


@dataclass(frozen=True)
class Clips:
    """What is learnt from.

    Attributes
    ----------
    samples : list of ndarray (n,), float32
        At least one crop each.
    targets : list of ndarray (T,), int
        The cluster of each frame.
    train, held_out : ndarray, int
        Clips that are trained on, and those of other speakers.
    """

    samples: list[np.ndarray]
    targets: list[np.ndarray]
    train: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Crops (B, n), float32, which of their frames are masked, (B, T), and the clusters (M,) of those."""

    samples: torch.Tensor
    masked: torch.Tensor
    answers: torch.Tensor


def batch(
    clips: Clips, chosen: np.ndarray, size: int, frames: Frames, seconds: float, rng: np.random.Generator
) -> Batch:
    """Draw crops of some clips, and their masks."""
    length = frames.count(round(seconds * frames.rate))
    counts = np.array([len(clips.targets[clip]) for clip in chosen])
    drawn = [(chosen[i], start) for i, start in crops.draw(counts, size, length, rng)]
    masked = masks.spans(size, length, rng)
    samples = [clips.samples[i][start * frames.hop :][: frames.samples(length)] for i, start in drawn]
    answers = np.stack([clips.targets[i][start : start + length] for i, start in drawn])
    return Batch(*(torch.from_numpy(array) for array in (np.stack(samples), masked, answers[masked])))


def rate(step: int, settings: Settings) -> float:
    """Compute the learning rate of a step, counted from 1: it rises to the highest one, then falls, both linearly."""
    warm = max(1, round(WARM_UP * settings.steps))
    share = min(step / warm, (settings.steps + 1 - step) / (settings.steps + 1 - warm))
    return settings.learning_rate * share


def optimiser_of(model: Predictor) -> torch.optim.AdamW:
    """Make the optimiser of all parameters."""
    return torch.optim.AdamW(model.parameters(), betas=BETAS, eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True)


def fit(
    model: Predictor,
    optimiser: torch.optim.AdamW,
    clips: Clips,
    frames: Frames,
    settings: Settings,
    precision: str,
    progress: Progress,
    file: Path,
    identity: str,
    key: str,
) -> None:
    """Take the steps of an iteration that are still to be taken.

    Parameters
    ----------
    model, optimiser
        As `progress` left them.
    clips
        With the targets of the iteration.
    frames, settings
    precision
        As from `devices.precision`.
    progress
        Step and curve, which are continued.
    file, identity
        Of the state: see `state.save`.
    key
        The key of the config that holds the settings, for messages.

    Raises
    ------
    UserError
        If the loss is not finite or far above that of a guess, or a batch does not fit the GPU's memory.
    """
    every = -(-settings.steps // ROWS)
    advance = logs.progress(settings.steps - progress.step, "steps")
    saved, pause = time.monotonic(), 0.0
    for step in range(progress.step + 1, settings.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, settings)
        # a generator of its own for each step: a resumed run draws the same crops and masks
        rng = np.random.default_rng([settings.seed, progress.iteration, step])
        drawn = batch(clips, clips.train, settings.batch_size, frames, settings.seconds, rng)
        try:
            loss, right = _step(model, optimiser, drawn, precision)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not hold {settings.batch_size} crops of {settings.seconds:g} s; lower "
                f"`{key}.batch_size` or `{key}.seconds`, or let nothing else use the GPU and run again"
            ) from error
        if not np.isfinite(loss):
            _stop_diverged(file, f"the loss is not a finite number in step {step}", key)
        progress.add(loss * len(drawn.answers), right, len(drawn.answers))
        progress.step = step
        if step % every == 0 or step == settings.steps:
            progress.curve.append(_row(model, clips, frames, settings, precision, progress))
            if (mean := progress.curve[-1]["loss"]) > DIVERGED * np.log(settings.clusters):
                _stop_diverged(file, f"the loss is {mean:.1f} nats by step {step}, far more than that of a guess", key)
            progress.sums = [0.0, 0, 0]
        now = time.monotonic()
        if now - saved >= pause:
            state.save(file, identity, model, optimiser, progress, clips.targets)
            saved = time.monotonic()
            pause = max(STATE_SECONDS, (saved - now) / STATE_SHARE)
        advance(1)


def _stop_diverged(file: Path, what: str, key: str) -> NoReturn:
    file.unlink(missing_ok=True)
    raise UserError(f"{what}; lower `{key}.learning_rate`")


def _step(model: Predictor, optimiser: torch.optim.AdamW, drawn: Batch, precision: str) -> tuple[float, int]:
    """Take a step; return the mean loss of the masked frames before it, and how many were predicted rightly."""
    model.train()
    loss, right = _predict(model, drawn, precision)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
    optimiser.step()
    return loss.item(), right


def _predict(model: Predictor, drawn: Batch, precision: str) -> tuple[torch.Tensor, int]:
    device = model.head.weight.device
    samples, masked, answers = (part.to(device) for part in (drawn.samples, drawn.masked, drawn.answers))
    with devices.autocast(device, precision):
        logits = model(samples, masked)
    logits = logits.float()
    return nn.functional.cross_entropy(logits, answers), int((logits.argmax(1) == answers).sum())


@torch.no_grad()
def _row(
    model: Predictor, clips: Clips, frames: Frames, settings: Settings, precision: str, progress: Progress
) -> dict:
    """Compute the row of the curve: means since the last row, and what held-out speakers give now."""
    model.eval()
    rng = np.random.default_rng([settings.seed, progress.iteration])
    loss, right, count = 0.0, 0, 0
    answers = []
    for _ in range(-(-CROPS // settings.batch_size)):
        drawn = batch(clips, clips.held_out, settings.batch_size, frames, settings.seconds, rng)
        mean, correct = _predict(model, drawn, precision)
        loss, right, count = loss + mean.item() * len(drawn.answers), right + correct, count + len(drawn.answers)
        answers.append(drawn.answers)
    frequent = torch.cat(answers).bincount().max().item() / count
    trained = progress.sums
    return {
        "iteration": progress.iteration,
        "step": progress.step,
        "loss": trained[0] / trained[2],
        "accuracy": trained[1] / trained[2],
        "held_out_loss": loss / count,
        "held_out_accuracy": right / count,
        "most_frequent": frequent,
    }
