"""Learners: what is trained in a stage, with its optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from speechsong.adaptation.domains import Domain
from speechsong.adaptation.stages import Stage, Training
from speechsong.errors import UserError
from speechsong.probes.train import AdamW, start


class LinearLearner:
    """A linear classifier on clip means, whose layers are weighted by a softmax that is learnt, or just averaged.

    Parameters
    ----------
    weighted
        Whether the weights of the layers are learnt.
    width, classes, layers
        d, C and N.
    training
    seed
        Of the weights' start.
    """

    def __init__(self, weighted: bool, width: int, classes: int, layers: int, training: Training, seed: int) -> None:
        self.weighted, self.classes = weighted, classes
        # one vector of all parameters, so that the optimiser has one thing to do
        self.flat = np.zeros(classes * (width + 1) + (layers if weighted else 0), np.float32)
        self.named = _views(self.flat, classes, width, weighted)
        weight, bias = start(width, classes, np.random.default_rng(seed))
        self.named["head.weight"][:], self.named["head.bias"][:] = weight.T, bias
        self.optimiser = AdamW(self.flat[None, :, None], training)
        self.gradient = np.zeros_like(self.flat)
        self.slopes = _views(self.gradient, classes, width, weighted)

    def lengths(self, domain: Domain, rows: np.ndarray) -> None:
        """Clip means have no length."""

    def epoch(self, domain: Domain, drawn: list[np.ndarray]) -> float:
        """Take a step a batch; return the mean of their losses."""
        losses = [self._step(domain.inputs[rows], domain.answers[rows]) for rows in drawn]
        return float(np.mean(losses))

    def _step(self, inputs: np.ndarray, answers: np.ndarray) -> float:
        pooled, shares = self._pool(inputs)
        each = np.arange(len(answers))
        logits = pooled @ self.named["head.weight"].T + self.named["head.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        total = chances.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[each, answers]).mean()
        # the gradient of the mean cross-entropy at the logits
        slope = chances / total
        slope[each, answers] -= 1
        slope /= np.float32(len(answers))
        np.matmul(slope.T, pooled, out=self.slopes["head.weight"])
        slope.sum(axis=0, out=self.slopes["head.bias"])
        if self.weighted:
            back = slope @ self.named["head.weight"]
            at_shares = (inputs @ back[:, :, None]).sum(axis=0)[:, 0]
            self.slopes["layer_weights"][:] = shares * (at_shares - shares @ at_shares)
        self.optimiser.step(self.flat[None, :, None], self.gradient[None, :, None])
        return loss

    def _pool(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if not self.weighted:
            return inputs, None
        shares = np.exp(self.named["layer_weights"] - self.named["layer_weights"].max())
        shares /= shares.sum()
        return shares @ inputs, shares

    def logits(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Compute logits (len(rows), C)."""
        return self.classify(domain.inputs[rows])

    def classify(self, inputs: np.ndarray) -> np.ndarray:
        """Compute logits (n, C) of clip means (n, N, d), or (n, d) where layers are just averaged."""
        return self._pool(inputs)[0] @ self.named["head.weight"].T + self.named["head.bias"]

    def parameters(self) -> dict[str, np.ndarray]:
        """Copy the parameters."""
        return {name: value.copy() for name, value in self.named.items()}

    def optimised(self) -> dict[str, np.ndarray]:
        """Return the parameters that training changes."""
        return self.named

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Set the parameters."""
        for name, value in self.named.items():
            value[...] = parameters[name]

    def moments(self) -> dict[str, np.ndarray]:
        """Return the state of the optimiser."""
        return {"first": self.optimiser.first, "second": self.optimiser.second, "steps": self.optimiser.steps}

    def set_moments(self, moments: dict[str, np.ndarray]) -> None:
        """Set the state of the optimiser."""
        for name, value in self.moments().items():
            value[...] = moments[name]


def _views(flat: np.ndarray, classes: int, width: int, weighted: bool) -> dict[str, np.ndarray]:
    weight, bias, layers = np.split(flat, [classes * width, classes * (width + 1)])
    named = {"head.weight": weight.reshape(classes, width), "head.bias": bias}
    return named | {"layer_weights": layers} if weighted else named


class PeftLearner:
    """An adapted encoder on fronts; bf16 autocast on a GPU, float32 on a CPU.

    On a CPU the same run gives the same bits; a GPU may add up in another order.

    Parameters
    ----------
    model : speechsong.adapters.Adapted
    training
        With `freeze_gate` the gates stay as they are.
    """

    def __init__(self, model, training: Training) -> None:
        import torch

        self.model, self.size = model, training.batch_size
        self.device = model.source.device
        self.named = model.trained()
        if training.freeze_gate:
            for name, parameter in self.named.items():
                parameter.requires_grad_(not name.startswith("gate."))
        self.optimiser = torch.optim.AdamW(
            self.optimised().values(), training.learning_rate, weight_decay=training.weight_decay, fused=True
        )

    def lengths(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Return how long clips are, in seconds."""
        return np.array([domain.inputs.seconds(row) for row in rows])

    def _forward(self, domain: Domain, rows: np.ndarray):
        import torch

        # outside: the frozen front is float32, and kept as it is
        clips = [domain.inputs[row] for row in rows]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(clips)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        import torch

        # no smaller batches behind the user's back: their size is part of what is learnt, and it is in the checkpoint
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not hold {self.size} clips and what is kept for them; lower `adapt.batch_size` "
                "or `adapt.cache_gb`, or let nothing else use the GPU and run again"
            ) from error

    def epoch(self, domain: Domain, drawn: list[np.ndarray]) -> float:
        """Take a step a batch; return the mean of their losses."""
        import torch

        total = torch.zeros((), device=self.device)
        for rows in drawn:
            with self._memory():
                answers = torch.from_numpy(domain.answers[rows]).to(self.device)
                loss = torch.nn.functional.cross_entropy(self._forward(domain, rows), answers)
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
            # read once an epoch: a GPU is not to wait for Python
            total += loss.detach()
        return float(total) / len(drawn)

    def logits(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Compute logits (len(rows), C), in batches of like lengths."""
        import torch

        order = np.argsort(self.lengths(domain, rows), kind="stable")
        found = np.empty((len(rows), self.model.head.out_features), np.float32)
        with torch.no_grad(), self._memory():
            for first in range(0, len(order), self.size):
                some = order[first : first + self.size]
                found[some] = self._forward(domain, rows[some]).float().cpu().numpy()
        return found

    def parameters(self) -> dict[str, np.ndarray]:
        """Copy the parameters."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named.items()}

    def optimised(self) -> dict:
        """Return the parameters that training changes."""
        return {name: value for name, value in self.named.items() if value.requires_grad}

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Set the parameters."""
        from speechsong.adaptation import adapters

        adapters.load(self.model, parameters)

    def moments(self) -> dict[str, np.ndarray]:
        """Return the state of the optimiser."""
        return {
            f"{i}.{name}": value.cpu().numpy()
            for i, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }

    def set_moments(self, moments: dict[str, np.ndarray]) -> None:
        """Set the state of the optimiser."""
        import torch

        whole = self.optimiser.state_dict()
        for key, value in moments.items():
            i, name = key.split(".")
            whole["state"].setdefault(int(i), {})[name] = torch.from_numpy(np.array(value))
        self.optimiser.load_state_dict(whole)


def linear_learner(stage: Stage, domains: dict[str, Domain]) -> LinearLearner:
    """Make the learner of baseline or ws."""
    width = domains[stage.domains[0]].inputs.shape[-1]
    weighted = stage.approach == "ws"
    return LinearLearner(weighted, width, len(stage.emotions), len(stage.layers), stage.training, stage.seed)


def peft_learner(stage: Stage, encoder) -> PeftLearner:
    """Make the learner of peft from an encoder."""
    from speechsong.adaptation import adapters

    settings = adapters.Settings(**stage.adapters, layers=tuple(stage.layers))
    model = adapters.Adapted(encoder, settings, len(stage.emotions), stage.seed)
    return PeftLearner(model, stage.training)
