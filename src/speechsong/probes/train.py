"""Training of linear probes: many at once on the same features.

A probe is one linear layer under cross-entropy, trained by AdamW (Loshchilov and Hutter 2019) with PyTorch's defaults;
features are not scaled. The weights after the epoch with the best accuracy on the validation part are kept (of equally
good epochs, the first), and the test part is used once. The probes of all seeds and protocols train side by side, as a
stack of weights. Each has its own initial weights, shuffles and optimiser state, so the results equal those of one
probe after the other, up to rounding, but take less than a third of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong import metrics
from speechsong.embeddings.features import Split
from speechsong.errors import UserError


@dataclass(frozen=True)
class Settings:
    """How a probe is trained. The names are those of the config's `probe`."""

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int


@dataclass(frozen=True)
class Result:
    """A trained probe.

    Attributes
    ----------
    weights : ndarray (d + 1, C)
        The last row is the bias. They apply to features as they are.
    validation : float
        Accuracy on the validation part.
    best_epoch : int or None
        The epoch that was kept, counted from 1; None after `probes.converged.train`.
    penalty : float or None
        On the squared weights, of `probes.converged.train`.
    """

    weights: np.ndarray
    validation: float
    best_epoch: int | None = None
    penalty: float | None = None

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Compute the logits (n, C), of the type of the weights, of features (n, d)."""
        return add_ones(features.astype(self.weights.dtype)) @ self.weights


BETAS = (0.9, 0.999)
EPSILON = 1e-8


def start(width: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw weights (d, C) and bias (C,), float32, as `torch.nn.Linear` does: uniform within 1/sqrt(d)."""
    bound = width**-0.5
    weight = rng.uniform(-bound, bound, (width, classes)).astype(np.float32)
    return weight, rng.uniform(-bound, bound, classes).astype(np.float32)


def check_finite(features: np.ndarray) -> None:
    """Refuse features that hold NaN or infinities."""
    if not np.isfinite(features).all():
        raise UserError("features hold values that are not finite; delete the embedding file and run again")


def train(
    features: np.ndarray, labels: np.ndarray, classes: int, splits: list[Split], settings: Settings
) -> list[Result]:
    """Train one probe per split, all at once.

    Parameters
    ----------
    features : ndarray (n, d), float32
        One row per clip.
    labels : ndarray (n,), int
        Classes from 0 to `classes` - 1.
    classes
        C.
    splits
        P splits of the n clips.
    settings
        Settings of the training.

    Returns
    -------
    list of P Result
        In the order of the splits.

    Raises
    ------
    UserError
        If a feature is not finite, or the weights diverge.
    """
    check_finite(features)
    # Longest training part first: towards the end of an epoch, when some probes have no batch left, the others are the
    # first k, so one slice of the stacked weights can be updated in place.
    order = sorted(range(len(splits)), key=lambda p: -len(splits[p].train))
    ordered = [splits[p] for p in order]
    rngs = [np.random.default_rng(split.seed) for split in ordered]
    weights = np.stack([np.vstack(start(features.shape[1], classes, rng)) for rng in rngs])
    optimiser = AdamW(weights, settings)
    inputs, targets = _inputs(features), _targets(labels, classes)
    validation = [(inputs[split.validation], labels[split.validation]) for split in ordered]
    best_weights, best_epoch, best_accuracy = weights.copy(), np.zeros(len(order), int), np.full(len(order), -1.0)
    # a larger batch would only be filled up with zeros
    size = min(settings.batch_size, len(ordered[0].train))
    # NumPy need not warn of overflow: the weights are checked after each epoch
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(1, settings.epochs + 1):
            shuffled = [rng.permutation(split.train) for split, rng in zip(ordered, rngs, strict=True)]
            for first in range(0, len(shuffled[0]), size):
                rows, sizes = _batch(shuffled, first, size)
                optimiser.step(weights, _gradient(inputs[rows], targets[rows], sizes, weights))
            if not np.isfinite(weights).all():
                raise UserError(f"the probe's weights are not finite after epoch {epoch}; lower `probe.learning_rate`")
            accuracy = _validate(validation, weights)
            better = accuracy > best_accuracy
            best_weights[better], best_epoch[better], best_accuracy[better] = weights[better], epoch, accuracy[better]
    results = {p: Result(best_weights[k], float(best_accuracy[k]), int(best_epoch[k])) for k, p in enumerate(order)}
    return [results[p] for p in range(len(splits))]


def add_ones(features: np.ndarray) -> np.ndarray:
    """Return features (n, d) with a last column of ones, so that the last row of the weights is the bias."""
    return np.concatenate([features, np.ones_like(features[:, :1])], axis=1)


def _inputs(features: np.ndarray) -> np.ndarray:
    """Return features (n + 1, d + 1): a last column of ones, and a row of zeros.

    The row of zeros fills up batches that are too short; it adds nothing to a gradient.
    """
    with_ones = add_ones(features)
    return np.concatenate([with_ones, np.zeros_like(with_ones[:1])])


def _targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return one-hot labels (n + 1, C); the last row goes with the row of zeros."""
    return np.eye(classes, dtype=np.float32)[np.append(labels, 0)]


def _batch(shuffled: list[np.ndarray], first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the batch that begins at `first` from the clips of each of the k probes that have any left.

    Returns
    -------
    rows : ndarray (k, size), int
        Padded with -1, the row of zeros.
    sizes : ndarray (k,), int
        How many of a probe's rows are clips.
    """
    parts = [rows[first : first + size] for rows in shuffled if first < len(rows)]
    batch = np.full((len(parts), size), -1)
    for rows, part in zip(batch, parts, strict=True):
        rows[: len(part)] = part
    return batch, np.array([len(part) for part in parts])


def _gradient(x: np.ndarray, targets: np.ndarray, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the gradient (k, d + 1, C) of the mean cross-entropy of the first k probes.

    Parameters
    ----------
    x, targets : ndarray (k, B, d + 1), (k, B, C)
        A batch of each probe.
    sizes : ndarray (k,)
        How many of the B are clips.
    weights : ndarray (P, d + 1, C)
        The weights of all probes.
    """
    logits = x @ weights[: len(x)]
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    at_logits = (probabilities - targets) / sizes[:, None, None].astype(np.float32)
    return x.transpose(0, 2, 1) @ at_logits


class AdamW:
    """The optimiser's state for P probes, whose weights (P, d + 1, C) are one array.

    The order of operations is that of `torch.optim.AdamW`.
    """

    def __init__(self, weights: np.ndarray, settings: Settings) -> None:
        self.settings = settings
        self.mean = np.zeros_like(weights)
        self.mean_square = np.zeros_like(weights)
        self.steps = np.zeros(len(weights))

    def step(self, weights: np.ndarray, gradient: np.ndarray) -> None:
        """Update the weights of the first len(gradient) probes in place."""
        k = len(gradient)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        weights, mean, mean_square = weights[:k], self.mean[:k], self.mean_square[:k]
        self.steps[:k] += 1
        weights *= np.float32(1 - rate * decay)
        mean += np.float32(1 - BETAS[0]) * (gradient - mean)
        mean_square *= np.float32(BETAS[1])
        mean_square += np.float32(1 - BETAS[1]) * gradient * gradient
        # corrections of the two averages, which began at zero
        mean_correction, square_correction = (1 - beta ** self.steps[:k, None, None] for beta in BETAS)
        update = np.sqrt(mean_square)
        update /= np.sqrt(square_correction).astype(np.float32)
        update += np.float32(EPSILON)
        np.divide(mean, update, out=update)
        update *= (rate / mean_correction).astype(np.float32)
        weights -= update


def _validate(validation: list[tuple[np.ndarray, np.ndarray]], weights: np.ndarray) -> np.ndarray:
    """Compute the accuracy (P,) of each probe on its own validation part."""
    return np.array(
        [metrics.accuracy(labels, (x @ w).argmax(axis=1)) for (x, labels), w in zip(validation, weights, strict=True)]
    )
