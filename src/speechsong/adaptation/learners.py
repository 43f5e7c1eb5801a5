"""What a stage trains: a model and the optimiser that updates it.

There are two models: `LinearClassifier` for baseline and ws, `adapters.Adapted` for peft. Both are PyTorch modules that
compute the logits of a batch of clips, and whose `trained()` names the trained parameters. `Learner` trains either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from speechsong.adaptation.domains import Domain
from speechsong.adaptation.fronts import Clip, Fronts
from speechsong.adaptation.stages import Stage, Training
from speechsong.encoders import devices
from speechsong.errors import UserError


class LinearClassifier(nn.Module):
    """A linear classifier of clip means, whose layers may be weighted by a learnt softmax.

    Parameters
    ----------
    width
        d, the size of a hidden state.
    classes
        C, the number of emotions.
    layers : int or None
        N, the number of layers to weight (ws). None if the means are averaged over the layers already (baseline).
    seed
        Seed of the head's initial weights, uniform within 1/sqrt(d). Layer weights start at 0, so all are equal.
    """

    def __init__(self, width: int, classes: int, layers: int | None, seed: int = 0) -> None:
        super().__init__()
        self.layer_weights = None if layers is None else nn.Parameter(torch.zeros(layers))
        self.head = nn.Linear(width, classes)
        # PyTorch's own distribution, but drawn by NumPy: a probe with the same seed starts there too
        rng, bound = np.random.default_rng(seed), width**-0.5
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(rng.uniform(-bound, bound, (width, classes)).T))
            self.head.bias.copy_(torch.from_numpy(rng.uniform(-bound, bound, classes)))

    def trained(self) -> dict[str, nn.Parameter]:
        """Name the parameters: head.weight (C, d), head.bias (C,) and, in ws, layer_weights (N,)."""
        return dict(self.named_parameters())

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        """Compute logits (B, C) of clip means, float32: (B, N, d) in ws, (B, d) in baseline."""
        if self.layer_weights is not None:
            shares = self.layer_weights.softmax(0).expand(len(means), 1, -1)
            # bmm, because einsum copies the means first
            means = torch.bmm(shares, means).squeeze(1)
        return self.head(means)


class Learner:
    """A model with its optimiser, AdamW (Loshchilov and Hutter 2019) with PyTorch's betas and epsilon.

    On a CPU the same run gives the same bits; a GPU may add numbers in another order.

    Parameters
    ----------
    model : LinearClassifier or speechsong.adaptation.adapters.Adapted
        Its trained parameters are updated, except those that do not require a gradient.
    training
        Learning rate, weight decay and batch size.
    precision
        As from `devices.precision`.
    """

    def __init__(self, model: nn.Module, training: Training, precision: str = "float32") -> None:
        self.model, self.precision = model, precision
        self.batch_size = training.batch_size
        self.device = model.head.weight.device
        self.optimiser = torch.optim.AdamW(
            self.updated().values(), training.learning_rate, weight_decay=training.weight_decay, fused=True
        )

    def updated(self) -> dict[str, nn.Parameter]:
        """Name the parameters that the optimiser updates: all trained ones but frozen gates."""
        return {name: parameter for name, parameter in self.model.trained().items() if parameter.requires_grad}

    def train_epoch(self, domain: Domain, batches: list[np.ndarray]) -> float:
        """Take one step per batch (rows of the domain); return the mean of the batches' losses."""
        total = torch.zeros((), device=self.device)
        with self._explained_memory():
            for rows in batches:
                answers = torch.from_numpy(domain.answers[rows]).to(self.device)
                loss = nn.functional.cross_entropy(self.batch_logits(domain, rows), answers)
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                # added up on the device, because reading it at every step would make a GPU wait
                total += loss.detach()
        return float(total) / len(batches)

    def logits(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Compute logits (len(rows), C), float32, of any number of clips, in batches of similar lengths."""
        lengths = _clip_lengths(domain, rows)
        order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
        logits = np.empty((len(rows), self.model.head.out_features), np.float32)
        with torch.no_grad(), self._explained_memory():
            for first in range(0, len(rows), self.batch_size):
                batch = order[first : first + self.batch_size]
                logits[batch] = self.batch_logits(domain, rows[batch]).float().cpu().numpy()
        return logits

    def batch_logits(self, domain: Domain, rows: np.ndarray) -> torch.Tensor:
        """Compute logits (len(rows), C) of one batch of clips."""
        # not under autocast: the frozen front is computed, and kept, in float32
        clips = _read_clips(domain, rows)
        with devices.autocast(self.device, self.precision):
            return self.model(clips)

    def parameters(self) -> dict[str, np.ndarray]:
        """Copy the trained parameters, by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.model.trained().items()}

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Set the trained parameters."""
        load(self.model, parameters)

    def optimiser_state(self) -> dict[str, np.ndarray]:
        """Copy the optimiser's state: "0.exp_avg" is the moving average of parameter 0's gradient, and so on."""
        return {
            f"{number}.{name}": value.cpu().numpy().copy()
            for number, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_optimiser_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Set the optimiser's state from what `optimiser_state` returned."""
        state_dict = self.optimiser.state_dict()
        for key, value in arrays.items():
            number, name = key.split(".")
            state_dict["state"].setdefault(int(number), {})[name] = torch.from_numpy(np.array(value))
        self.optimiser.load_state_dict(state_dict)

    @contextmanager
    def _explained_memory(self) -> Iterator[None]:
        # no retry with smaller batches: their size affects what is learnt, and the checkpoint states it
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not hold {self.batch_size} clips and what is kept for them; lower "
                "`adapt.batch_size` or `adapt.cache_gb`, or let nothing else use the GPU and run again"
            ) from error


def _clip_lengths(domain: Domain, rows: np.ndarray) -> np.ndarray | None:
    """Return the lengths of recordings in seconds, (len(rows),); None for clip means, which are all of one size."""
    if isinstance(domain.inputs, Fronts):
        return np.array([domain.inputs.seconds(row) for row in rows])
    return None


def _read_clips(domain: Domain, rows: np.ndarray) -> torch.Tensor | list[Clip]:
    if isinstance(domain.inputs, Fronts):
        return [domain.inputs[row] for row in rows]
    return torch.from_numpy(domain.inputs[rows])


def load(model: nn.Module, parameters: dict[str, np.ndarray]) -> None:
    """Set the trained parameters of a model from arrays of the same names, such as those of a checkpoint."""
    with torch.no_grad():
        for name, parameter in model.trained().items():
            parameter.copy_(torch.from_numpy(np.array(parameters[name])))


def linear_learner(stage: Stage, domains: dict[str, Domain]) -> Learner:
    """Make the learner of baseline or ws, at its initial weights."""
    means = domains[stage.trained].inputs
    assert isinstance(means, np.ndarray)
    width = means.shape[-1]
    layers = len(stage.layers) if stage.approach == "ws" else None
    return Learner(LinearClassifier(width, len(stage.emotions), layers, stage.seed), stage.training)


def peft_learner(stage: Stage, encoder) -> Learner:
    """Make the learner of peft from a freshly loaded `encoders.loading.Encoder`, at its initial weights."""
    # imported here, because it takes seconds that baseline and ws need not spend
    from speechsong.adaptation import adapters

    settings = adapters.Settings(**stage.adapters, layers=tuple(stage.layers))
    model = adapters.Adapted(encoder, settings, len(stage.emotions), stage.seed)
    if stage.training.freeze_gate:
        model.gate.requires_grad_(False)
    return Learner(model, stage.training, encoder.precision)
