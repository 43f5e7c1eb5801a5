"""What a stage learns from: the clips, classes, split and inputs of each of its domains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechsong.adaptation.fronts import Fronts
from speechsong.adaptation.stages import Stage
from speechsong.corpora.recordings import Recording
from speechsong.corpora.splits import PARTS
from speechsong.embeddings import features
from speechsong.embeddings.features import Split
from speechsong.embeddings.store import arrange, read_common_maker
from speechsong.encoders.loading import Encoder
from speechsong.errors import UserError


@dataclass(frozen=True)
class Domain:
    """The clips of one domain.

    Attributes
    ----------
    clips : list of n str
        Names of the clips.
    answers : ndarray (n,), int
        The class of each clip.
    split : Split
        Rows of its parts, and the seed.
    inputs : ndarray or Fronts
        What the learner computes logits from: clip means, or the fronts of recordings.
    maker : dict
        What the inputs were computed with: family and weights' digest of the encoder, and the precision; None for
        log-mel spectra.
    """

    clips: list[str]
    answers: np.ndarray
    split: Split
    inputs: np.ndarray | Fronts
    maker: dict[str, str | None]


def pooled_domains(stage: Stage, embeddings: dict[str, list[str]]) -> dict[str, Domain]:
    """Read the domains that baseline and ws learn from.

    Parameters
    ----------
    stage
        Names the model, layers and emotions.
    embeddings
        The embedding files of each domain of the stage: one for each layer and emotion.

    Returns
    -------
    dict of Domain
        By name; joint training has one more, the union. Inputs are clip means, float32: (n, d) averaged over the layers
        for baseline, (n, N, d) for ws.

    Raises
    ------
    UserError
        If the files are not those of the stage (`store.arrange`), were made with different weights or from different
        clips, or hold a mean that is not finite.
    """
    maker = read_common_maker(embeddings)
    domains = {}
    for name, paths in embeddings.items():
        arranged = arrange(paths, model=stage.model, domain=name, layers=stage.layers, emotions=stage.emotions)
        layers = [features.read(arranged[layer]) for layer in stage.layers]
        first, *others = layers
        for layer, other in zip(stage.layers[1:], others, strict=True):
            if other.clips != first.clips:
                raise UserError(
                    f"{Path(paths[0]).parents[1]}: layers {stage.layers[0]} and {layer} are of different clips; delete "
                    "the folder and run again"
                )
        means = [layer.means for layer in layers]
        inputs = np.mean(means, axis=0) if stage.approach == "baseline" else np.stack(means, axis=1)
        domains[name] = _domain(stage, name, first.clips, first.labels, inputs, maker)
    if stage.trained not in domains:
        domains[stage.trained] = _union(domains, np.concatenate([domain.inputs for domain in domains.values()]))
    return domains


def recorded_domains(
    stage: Stage, encoder: Encoder, recordings: dict[str, list[Recording]], limit: float
) -> dict[str, Domain]:
    """List the domains that peft learns from.

    Parameters
    ----------
    stage
        Names the emotions and what is trained on.
    encoder
        It computes the fronts.
    recordings
        The recordings of each domain of the stage.
    limit
        How many bytes of fronts to keep in memory.

    Returns
    -------
    dict of Domain
        By name; joint training has one more, the union. Inputs are `fronts.Fronts`.
    """
    domains = {}
    for name, listed in recordings.items():
        # all the memory is for what is trained on: the rest is tested only once
        room = limit if name == stage.trained else 0
        inputs = Fronts(encoder, [r.path for r in listed], room, [r.edits for r in listed])
        answers = np.array([stage.emotions.index(r.emotion) for r in listed])
        maker: dict[str, str | None] = {key: getattr(encoder, key) for key in ("family", "weights", "precision")}
        domains[name] = _domain(stage, name, [r.clip_id for r in listed], answers, inputs, maker)
    if stage.trained not in domains:
        every = [r for listed in recordings.values() for r in listed]
        fronts = Fronts(encoder, [r.path for r in every], limit, [r.edits for r in every])
        domains[stage.trained] = _union(domains, fronts)
    return domains


def _union(domains: dict[str, Domain], inputs: np.ndarray | Fronts) -> Domain:
    """Join domains, whose inputs one after the other are `inputs`; each part is the union of theirs."""
    joined = list(domains.values())
    starts = np.cumsum([0, *(len(domain.clips) for domain in joined[:-1])])
    train, validation, test = (
        np.concatenate([getattr(domain.split, part) + start for domain, start in zip(joined, starts, strict=True)])
        for part in PARTS
    )
    clips = [clip for domain in joined for clip in domain.clips]
    answers = np.concatenate([domain.answers for domain in joined])
    return Domain(clips, answers, Split(train, validation, test, joined[0].split.seed), inputs, joined[0].maker)


def _domain(
    stage: Stage,
    name: str,
    clips: list[str],
    answers: np.ndarray,
    inputs: np.ndarray | Fronts,
    maker: dict[str, str | None],
) -> Domain:
    split = features.read_split(stage.split, name, {clip: i for i, clip in enumerate(clips)}, stage.seed)
    # sorted by name, so that no approach depends on the order in which clips are stored
    parts = (split.train, split.validation, split.test)
    by_name = [np.array(sorted(rows, key=lambda row: clips[row]), dtype=int) for rows in parts]
    for part, rows in zip(PARTS, by_name, strict=True):
        present = set(answers[rows])
        for k, emotion in enumerate(stage.emotions):
            if k not in present:
                raise UserError(
                    f"{stage.split}: domain `{name}` has no clip of `{emotion}` in its {part} part; add recordings, "
                    "leave the emotion out of `emotions`, or change `split`"
                )
    train, validation, test = by_name
    return Domain(clips, answers, Split(train, validation, test, stage.seed), inputs, maker)
