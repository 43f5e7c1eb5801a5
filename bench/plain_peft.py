"""What the benchmarks of peft share: the workflow's way of training, and a plain one with the same result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from speechsong.adaptation import adapters, fronts, learners
from speechsong.adaptation.domains import Domain
from speechsong.adaptation.stages import Training
from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording
from speechsong.embeddings.features import Split
from speechsong.encoders import devices, loading
from speechsong.encoders.forward import prepare

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
# the paper's split of a domain, and its training
CLIPS, TRAIN, VALIDATION, EPOCHS = 1012, 607, 202, 300


def adapted(checkpoint: Path, device: str = "cpu") -> adapters.Adapted:
    """Load the encoder as the workflow does, and put the adapters in."""
    encoder = loading.load(checkpoint, name="bench", layers=None, window_seconds=30, device=device)
    layers = tuple(range(1, encoder.layers + 1))
    settings = adapters.Settings(
        rank=8, alpha=8, targets=("q", "k", "v", "out"), width=64, gate="identity", layers=layers
    )
    return adapters.Adapted(encoder, settings, len(EMOTIONS), seed=0)


def as_in_the_workflow(
    checkpoint: Path, recordings: list[Recording], training: Training, device: str = "cpu", precision: str = "float32"
) -> tuple[learners.Learner, Domain]:
    """Make what trains, and the domain that it trains on: all recordings, whose fronts are kept."""
    model = adapted(checkpoint, device)
    rows = np.arange(len(recordings))
    kept = fronts.Fronts(model.encoder, [r.path for r in recordings], 1e11)
    answers = np.array([EMOTIONS.index(r.emotion) for r in recordings])
    domain = Domain([r.clip_id for r in recordings], answers, Split(rows, rows, rows, 0), kept, {})
    return learners.Learner(model, training, precision), domain


class Plain:
    """The whole model of transformers on padded waveforms, with the adapters of an `Adapted` as hooks on its layers."""

    def __init__(
        self,
        checkpoint: Path,
        recordings: list[Recording],
        training: Training,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        self.parts, self.precision = adapted(checkpoint, device), precision
        self.states: list[torch.Tensor] = []
        for number, layer in enumerate(self.parts.transformer.encoder.layers, start=1):
            layer.register_forward_hook(lambda _, __, output, number=number: self._adapt(number, output))
        encoder = self.parts.encoder
        self.device = encoder.device
        self.waveforms = [torch.from_numpy(prepare(encoder, audio.load(r.path, encoder.rate))[0]) for r in recordings]
        self.answers = torch.tensor([EMOTIONS.index(r.emotion) for r in recordings])
        named = self.parts.trained().values()
        self.optimiser = torch.optim.AdamW(
            named, training.learning_rate, weight_decay=training.weight_decay, fused=True
        )

    def _adapt(self, number: int, output: torch.Tensor) -> torch.Tensor:
        self.states.append(self.parts.adapt_output(number, output))
        return self.states[-1]

    def loss(self, rows: np.ndarray) -> torch.Tensor:
        """Compute the loss of a batch of recordings."""
        self.states.clear()
        waveforms = [self.waveforms[row] for row in rows]
        lengths = torch.tensor([len(w) for w in waveforms])
        values = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True).to(self.device)
        mask = (torch.arange(values.shape[1]) < lengths[:, None]).long().to(self.device)
        model = self.parts.transformer
        with devices.autocast(self.device, self.precision):
            model(values, attention_mask=mask)
            hidden = torch.einsum("l,lbtd->btd", self.parts.layer_weights.softmax(0), torch.stack(self.states))
            valid = model._get_feature_vector_attention_mask(hidden.shape[1], mask)[..., None]
            logits = self.parts.head((hidden * valid).sum(dim=1) / valid.sum(dim=1))
        return cross_entropy(logits, self.answers[rows].to(self.device))

    def train_epoch(self, batches: list[np.ndarray]) -> float:
        """Take one step per batch; return the last loss."""
        for rows in batches:
            loss = self.loss(rows)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return float(loss.detach())
