"""The state of an unfinished pre-training: one file, from which a killed run resumes to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from speechsong import states
from speechsong.logs import log
from speechsong.pretraining.model import Predictor


@dataclass
class Progress:
    """How far a pre-training has come.

    Attributes
    ----------
    iteration : int
        From 1.
    step : int
        The last one that was taken in the iteration.
    curve : list of dict
        Rows of the curve, over all iterations.
    sums : list
        Loss, right predictions and masked frames, summed since the last row.
    """

    iteration: int = 1
    step: int = 0
    curve: list[dict] = field(default_factory=list)
    sums: list = field(default_factory=lambda: [0.0, 0, 0])

    def add(self, loss: float, right: int, frames: int) -> None:
        """Count a step."""
        self.sums = [self.sums[0] + loss, self.sums[1] + right, self.sums[2] + frames]


@dataclass
class Saved:
    """What a state file holds: weights of the model, state of the optimiser, and the targets of the clips."""

    progress: Progress
    weights: dict[str, torch.Tensor]
    optimiser: dict[int, dict[str, torch.Tensor]]
    targets: list[np.ndarray]


def save(
    file: Path,
    identity: str,
    model: Predictor,
    optimiser: torch.optim.AdamW,
    progress: Progress,
    targets: list[np.ndarray],
) -> None:
    """Write a state.

    Parameters
    ----------
    file
        Replaced as a whole, so that a kill never leaves half a state.
    identity
        Digest of all that the training depends on.
    model, optimiser, progress, targets
        Targets too, because those of a second iteration come from a model that is gone by then.
    """
    groups = {
        "weights": _arrays(model.state_dict()),
        "optimiser": {
            f"{number}/{name}": value
            for number, held in optimiser.state_dict()["state"].items()
            for name, value in _arrays(held).items()
        },
        "targets": {
            "clusters": np.concatenate(targets).astype(np.int32),
            "lengths": np.array([len(target) for target in targets]),
        },
    }
    states.write(file, identity, groups, asdict(progress))


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy() for name, value in tensors.items()}


def read(file: Path, identity: str) -> Saved | None:
    """Read a state; None where there is none, or it is damaged or of another training."""
    found = states.read(file, identity)
    if found is None:
        return None
    groups, facts = found
    optimiser: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in groups["optimiser"].items():
        number, name = key.split("/")
        optimiser.setdefault(int(number), {})[name] = torch.from_numpy(value)
    ends = groups["targets"]["lengths"].cumsum()
    targets = np.split(groups["targets"]["clusters"].astype(np.int64), ends[:-1])
    progress = Progress(**facts)
    log.info("resumed after step %d of iteration %d", progress.step, progress.iteration)
    weights = {name: torch.from_numpy(value) for name, value in groups["weights"].items()}
    return Saved(progress, weights, optimiser, targets)


def restore(saved: Saved, model: Predictor, optimiser: torch.optim.AdamW) -> None:
    """Set model and optimiser to a saved state."""
    model.load_state_dict(saved.weights)
    optimiser.load_state_dict(optimiser.state_dict() | {"state": saved.optimiser})
