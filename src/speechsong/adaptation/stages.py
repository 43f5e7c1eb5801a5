"""Two-stage adaptation: train on one domain, continue on the other, and see what was gained and what was forgotten.

Stage one trains on the source from a random start and is tested on it. Stage two starts from the best checkpoint of
stage one, with a fresh optimiser, trains on the target and is tested on the target and again on the source. Approaches:

baseline : a linear classifier on the mean of the layers.
ws : layers weighted by a learnt softmax.
peft : ws on an encoder with adapters (`adapters`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from speechsong.adaptation import checkpoints


@dataclass(frozen=True)
class Training:
    """How a stage is trained; names as in the config's `adapt`, where they are explained."""

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    patience: int | None = None
    freeze_gate: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of one row of the table.

    Attributes
    ----------
    model, approach, protocol, seed, source
        As in the table.
    target : str or None
        None in stage one.
    encoder : dict
        The encoder's entry in the catalogue.
    emotions : list of str
        The classes, in order.
    layers : list of int
        Hidden states that count.
    training : Training
    adapters : dict
        For `adapters.Settings`, all but its layers; empty unless the approach is peft.
    split : str
        The CSV of the split.
    start : str or None
        The checkpoint of stage one; None in stage one.
    code : str
        Fingerprint of the code.
    """

    model: str
    approach: str
    protocol: str
    seed: int
    source: str
    target: str | None
    encoder: dict
    emotions: list[str]
    layers: list[int]
    training: Training
    adapters: dict
    split: str
    start: str | None
    code: str

    @property
    def number(self) -> int:
        """1 or 2."""
        return 1 if self.target is None else 2

    @property
    def domains(self) -> list[str]:
        """The domain that is trained on, then the one whose forgetting is tested."""
        return list(dict.fromkeys([self.target or self.source, self.source]))

    def labels(self) -> dict:
        """The columns that name the stage in every table."""
        return {
            "model": self.model,
            "approach": self.approach,
            "protocol": self.protocol,
            "seed": self.seed,
            "source": self.source,
            "target": self.target or "",
            "stage": self.number,
        }

    def describe(self) -> dict:
        """What a checkpoint says of itself, as far as it is known before training."""
        training = asdict(self.training)
        return self.labels() | {
            "encoder": checkpoints.identity(self.encoder),
            "window_seconds": self.encoder.get("window_seconds"),
            "blocks": self.encoder["layers"],
            "emotions": list(self.emotions),
            "layers": list(self.layers),
            "settings": training | {k: list(v) if isinstance(v, tuple) else v for k, v in self.adapters.items()},
            "code": self.code,
        }


def stage(params: dict, split: str, start_from: str | None, code: str) -> Stage:
    """Make a stage from the rule's params and its files."""
    training = Training(**params["training"])
    adapters = {key: tuple(value) if isinstance(value, list) else value for key, value in params["adapters"].items()}
    return Stage(**params | {"training": training, "adapters": adapters}, split=split, start=start_from, code=code)
