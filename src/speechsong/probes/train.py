"""Training of linear probes: many at once on the same features.

The classifier is one linear layer under cross-entropy, trained by AdamW (Loshchilov and Hutter 2019) with PyTorch's
defaults; its features are not scaled. The epoch with the best accuracy on the validation part (the first of equals)
is kept, and the test part is used once. Many probes of the same features (seeds, protocols) train side by side: each
has its own weights, shuffles and optimiser state, so the result is that of one at a time, to rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong.embeddings.features import Split
from speechsong.errors import UserError


@dataclass(frozen=True)
class Settings:
    """How a probe is trained; names as in the config's `probe`."""

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int


@dataclass(frozen=True)
class Result:
    """A trained probe.

    Attributes
    ----------
    logits : ndarray (len(split.test), C), float32
        Of the test part, in its order.
    best_epoch : int
        Counted from 1.
    validation : float
        Accuracy on the validation part after that epoch.
    """

    logits: np.ndarray
    best_epoch: int
    validation: float


BETAS = (0.9, 0.999)
EPSILON = 1e-8


def start(width: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw weights (d, C) and bias (C,) as `torch.nn.Linear` does: uniform within 1/sqrt(d)."""
    bound = width**-0.5
    weight = rng.uniform(-bound, bound, (width, classes)).astype(np.float32)
    return weight, rng.uniform(-bound, bound, classes).astype(np.float32)


def train(
    features: np.ndarray, labels: np.ndarray, classes: int, splits: list[Split], settings: Settings
) -> list[Result]:
    """Train one probe a split, all at once.

    Parameters
    ----------
    features : ndarray (n, d), float32
    labels : ndarray (n,), int
        Classes from 0 to `classes` - 1.
    classes
        C.
    splits
        P splits of the n clips.
    settings
        Of the training.

    Returns
    -------
    list of P Result

    Raises
    ------
    UserError
        Where a feature is not finite, or a weight is not any more.
    """
    if not np.isfinite(features).all():
        raise UserError("features hold values that are not finite; delete the embedding file and run again")
    # probes with more batches an epoch come first, so that those which have a batch left are always a prefix
    order = sorted(range(len(splits)), key=lambda p: -len(splits[p].train))
    probes = [splits[p] for p in order]
    rngs = [np.random.default_rng(s.seed) for s in probes]
    n, d = features.shape
    # the bias is one more feature that is always 1: one product instead of two operations
    inputs = np.concatenate([features.astype(np.float32), np.ones((n, 1), np.float32)], axis=1)
    weights = np.stack([np.vstack(start(d, classes, rng)) for rng in rngs])
    optimiser = AdamW(weights, settings)
    targets = np.eye(classes, dtype=np.float32)[labels]
    best = [(-1.0, 0)] * len(probes)
    kept = weights.copy()
    sizes = np.array([len(s.train) for s in probes])
    steps = -(-sizes // settings.batch_size)
    # every probe's validation part is padded to the longest by its own first clip, which is not counted
    longest = max(len(s.validation) for s in probes)
    chosen = np.stack([np.resize(s.validation, longest) for s in probes])
    counted = np.arange(longest) < np.array([len(s.validation) for s in probes])[:, None]
    validation = inputs[chosen]
    answers = labels[chosen]
    # weights that grow beyond all bounds are looked for below
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(1, settings.epochs + 1):
            shuffled = [s.train[rng.permutation(len(s.train))] for s, rng in zip(probes, rngs, strict=True)]
            for step in range(steps[0]):
                active = int((steps > step).sum())
                lower = step * settings.batch_size
                rows = [order_[lower : lower + settings.batch_size] for order_ in shuffled[:active]]
                _step(inputs, targets, rows, weights, optimiser, settings.batch_size)
            if not np.isfinite(weights).all():
                raise UserError(f"the probe's weights are not finite after epoch {epoch}; lower `probe.learning_rate`")
            right = ((validation @ weights).argmax(axis=2) == answers) & counted
            accuracy = right.sum(axis=1) / counted.sum(axis=1)
            for p, value in enumerate(accuracy):
                if value > best[p][0]:
                    best[p] = (float(value), epoch)
                    kept[p] = weights[p]
    results: list[Result | None] = [None] * len(probes)
    for position, probe, weight, (accuracy, epoch) in zip(order, probes, kept, best, strict=True):
        results[position] = Result(inputs[probe.test] @ weight, epoch, accuracy)
    return results


class AdamW:
    """State of AdamW for P probes, those of a prefix stepping together."""

    def __init__(self, weights: np.ndarray, settings: Settings) -> None:
        self.settings = settings
        self.first = np.zeros_like(weights)
        self.second = np.zeros_like(weights)
        self.steps = np.zeros(len(weights))

    def step(self, weights: np.ndarray, gradient: np.ndarray) -> None:
        """Update the first len(gradient) probes in place."""
        k = len(gradient)
        first, second = self.first[:k], self.second[:k]
        self.steps[:k] += 1
        rate = self.settings.learning_rate
        weights = weights[:k]
        weights *= np.float32(1 - rate * self.settings.weight_decay)
        first += np.float32(1 - BETAS[0]) * (gradient - first)
        second *= np.float32(BETAS[1])
        second += np.float32(1 - BETAS[1]) * gradient * gradient
        size = (rate / (1 - BETAS[0] ** self.steps[:k])).astype(np.float32)[:, None, None]
        scale = np.sqrt(1 - BETAS[1] ** self.steps[:k]).astype(np.float32)[:, None, None]
        denominator = np.sqrt(second)
        denominator /= scale
        denominator += np.float32(EPSILON)
        np.divide(first, denominator, out=denominator)
        denominator *= size
        weights -= denominator


def _step(
    inputs: np.ndarray,
    targets: np.ndarray,
    rows: list[np.ndarray],
    weights: np.ndarray,
    optimiser: AdamW,
    batch_size: int,
) -> None:
    """Take one step of the probes that have a batch: gradient of the mean cross-entropy, then AdamW."""
    k = len(rows)
    sizes = np.array([len(r) for r in rows])
    index = np.zeros((k, batch_size), dtype=np.intp)
    for p, row in enumerate(rows):
        index[p, : len(row)] = row
    batch = inputs[index]
    logits = batch @ weights[:k]
    logits -= logits.max(axis=2, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=2, keepdims=True)
    logits -= targets[index]
    logits /= sizes[:, None, None].astype(np.float32)
    # rows beyond a short last batch count nothing
    logits[np.arange(batch_size) >= sizes[:, None]] = 0
    optimiser.step(weights, batch.transpose(0, 2, 1) @ logits)
