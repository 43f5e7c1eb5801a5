"""Made-up clips for probes, and a probe in PyTorch to compare with."""

from __future__ import annotations

import numpy as np
import torch

from speechsong.embeddings.features import Split
from speechsong.probes.train import Settings

SETTINGS = Settings(epochs=40, learning_rate=1e-2, weight_decay=0.01, batch_size=32)


def clouds(n: int, d: int, classes: int, seed: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Make clips of each class around a centre of its own."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    centres = apart * rng.standard_normal((classes, d))
    return (centres[labels] + rng.standard_normal((n, d))).astype(np.float32), labels


def cut(n: int, sizes: tuple[int, int, int], seed: int) -> Split:
    """Draw the parts of a split of n rows."""
    rows = np.random.default_rng(1000 + seed).permutation(n)[: sum(sizes)]
    return Split(*(np.sort(part) for part in np.split(rows, np.cumsum(sizes)[:2])), seed)


def by_torch(features, labels, classes, split, chosen) -> tuple[np.ndarray, int]:
    """Train one probe by torch.nn.Linear and torch.optim.AdamW, with the random numbers of the split's seed."""
    rng = np.random.default_rng(split.seed)
    layer = torch.nn.Linear(features.shape[1], classes)
    bound = 1 / np.sqrt(features.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.uniform(-bound, bound, (features.shape[1], classes)).T))
        layer.bias.copy_(torch.from_numpy(rng.uniform(-bound, bound, classes)))
    optimiser = torch.optim.AdamW(layer.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay)
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    best, kept, epoch_of_best = -1.0, None, 0
    for epoch in range(1, chosen.epochs + 1):
        rows = split.train[rng.permutation(len(split.train))]
        for start in range(0, len(rows), chosen.batch_size):
            batch = rows[start : start + chosen.batch_size]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            accuracy = (layer(x[split.validation]).argmax(1) == y[split.validation]).float().mean().item()
            if accuracy > best:
                best, kept, epoch_of_best = accuracy, layer(x[split.test]).numpy(), epoch
    return kept, epoch_of_best
