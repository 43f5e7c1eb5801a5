"""Settings of a pre-training. Snakemake needs them early, so nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from speechsong.corpora.recordings import Recording


@dataclass(frozen=True)
class Settings:
    """What `encoders.{name}.pretrain` says; the schema describes each key.

    Attributes
    ----------
    domains : list of str
        Names from `corpora`.
    layout : str
        "hubert", "wav2vec2" or "mert": the architecture, its files and its sample rate. The training is the same.
    width, blocks : int
        Of the transformer.
    steps : int
        Of each iteration.
    seconds : float
        Length of the crops.
    batch_size : int
        Crops in a step.
    learning_rate : float
        The highest, after the warm-up.
    clusters : int
        Of k-means; the model predicts one of them for every masked frame.
    iterations : int
        1: the clusters are of log-mel spectra. 2: a second model learns clusters of the first one's states.
    seed : int
        Of the initial weights, the held-out speakers, the clusters, the crops and the masks.
    exclude_speakers : list of str
        Whose recordings are left out.
    """

    domains: list[str]
    layout: str
    width: int
    blocks: int
    steps: int
    seconds: float = 1.0
    batch_size: int = 16
    learning_rate: float = 0.002
    clusters: int = 100
    iterations: int = 1
    seed: int = 0
    exclude_speakers: list[str] = field(default_factory=list)

    def keep(self, recordings: list[Recording]) -> list[Recording]:
        """Leave out the recordings of `exclude_speakers`."""
        return [r for r in recordings if r.speaker not in self.exclude_speakers]
