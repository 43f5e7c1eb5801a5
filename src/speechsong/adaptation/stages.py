"""Two-stage adaptation: train on one domain, continue on the other, and measure what is gained and what is forgotten.

Stage one trains on the source domain from random initial weights. It is tested on it, and on the other domain without
any training there. Stage two starts from the
checkpoint of stage one (its best epoch) with a fresh optimiser, trains on the target domain, and is tested on the
target and once more on the source. Joint training is one stage from random initial weights on both domains together,
tested on each of them. There are three approaches:

baseline : a linear classifier of clip means, averaged over the layers.
ws : the same, but the layers are weighted by a learnt softmax ("weighted sum").
peft : ws on an encoder with adapters in its blocks (`adapters`): LoRA, a bottleneck and a gate. With only one of them
    it is peft-lora, peft-bottleneck or peft-gate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from speechsong.adaptation import checkpoints


@dataclass(frozen=True)
class Training:
    """How a stage is trained. The names are those of the config's `adapt`, where they are explained."""

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    patience: int | None = None
    freeze_gate: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage: what is trained on what, and how.

    Attributes
    ----------
    model, approach, protocol : str
        Labels of the stage in every table.
    seed : int
        Seed of the split, the initial weights and the batches.
    source : str
        The domain of stage one; in joint training both domains, with a + between them.
    target : str or None
        The domain of stage two; None without a stage two.
    tested : list of str
        The domains that the stage is tested on; in joint training those that it trains on.
    encoder : dict
        The encoder's entry in the config.
    edits : dict
        What of a recording is kept, as in `corpora.edits.Edits`.
    emotions : list of str
        The C classes; their order is that of the logits.
    layers : list of int
        The N hidden states that are averaged or weighted; 0 is the input of the first block.
    training : Training
        Settings of the optimiser and the loop.
    adapters : dict
        Arguments of `adapters.Settings` except its layers; those of one part in peft-lora and so on; empty unless the
        approach is peft.
    split : str
        Path of the split's CSV.
    start : str or None
        Path of stage one's checkpoint; None in stage one.
    code : str
        Fingerprint of the code, written into the checkpoint.
    """

    model: str
    approach: str
    protocol: str
    seed: int
    source: str
    target: str | None
    tested: list[str]
    encoder: dict
    edits: dict
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
    def trained(self) -> str:
        """What the stage trains on: the target, or without a stage two the source."""
        return self.target or self.source

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
        """The part of the checkpoint's description that is known before training."""
        # JSON has no tuples
        adapters = {key: list(value) if isinstance(value, tuple) else value for key, value in self.adapters.items()}
        return self.labels() | {
            "encoder": checkpoints.encoder_identity(self.encoder),
            "window_seconds": self.encoder.get("window_seconds"),
            "blocks": self.encoder["layers"],
            "edits": dict(self.edits),
            "emotions": list(self.emotions),
            "layers": list(self.layers),
            "settings": asdict(self.training) | adapters,
            "code": self.code,
        }


def stage(params: dict, split: str, start_from: str | None, code: str) -> Stage:
    """Make a stage from `planning.targets.stage_params`, the paths of its files and the fingerprint of its code."""
    training = Training(**params["training"])
    adapters = {key: tuple(value) if isinstance(value, list) else value for key, value in params["adapters"].items()}
    return Stage(**params | {"training": training, "adapters": adapters}, split=split, start=start_from, code=code)
