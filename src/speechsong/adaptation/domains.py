"""What a stage learns from: the clips, classes, parts and inputs of each of its domains."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from speechsong.adaptation import fronts
from speechsong.adaptation.stages import Stage
from speechsong.corpora.recordings import Recording
from speechsong.corpora.splits import PARTS
from speechsong.embeddings.features import Split, read_split
from speechsong.embeddings.store import read_maker, read_pooled
from speechsong.errors import UserError


@dataclass(frozen=True)
class Domain:
    """The n clips of one domain: names, classes (n,), parts, what the learner makes logits from, and its encoder.

    The encoder is told by its family and the digest of its weights, both None for log-mel spectra.
    """

    clips: list[str]
    answers: np.ndarray
    split: Split
    inputs: object
    maker: dict[str, str | None]


def pooled_domains(stage: Stage, embeddings: dict[str, list[str]]) -> dict[str, Domain]:
    """Read what baseline and ws learn from.

    Parameters
    ----------
    stage
    embeddings
        For each domain of the stage its embedding files: layer by layer, in each the emotions in order.

    Returns
    -------
    dict of Domain
        Inputs are clip means, float32: (n, d) averaged over the layers for baseline, (n, N, d) otherwise.

    Raises
    ------
    UserError
        Where a mean is not finite, or the files were made with different weights.
    """
    domains = {}
    first, *others = itertools.chain.from_iterable(embeddings.values())
    maker = read_maker(first)
    for path in others:
        if read_maker(path) != maker:
            raise UserError(f"{path}: was made with other weights than {first}; delete both and run again")
    for name, paths in embeddings.items():
        per = len(stage.emotions)
        layers = []
        for i in range(0, len(paths), per):
            parts = [read_pooled(path) for path in paths[i : i + per]]
            for path, (_, pooled) in zip(paths[i : i + per], parts, strict=True):
                if not np.isfinite(pooled).all():
                    raise UserError(f"{path}: holds features that are not finite; delete the file and run again")
            layers.append(np.concatenate([pooled for _, pooled in parts]))
        clips = [clip for some, _ in parts for clip in some]
        answers = np.repeat(np.arange(per), [len(some) for some, _ in parts])
        inputs = np.mean(layers, axis=0) if stage.approach == "baseline" else np.stack(layers, axis=1)
        domains[name] = _domain(stage, name, clips, answers, inputs, maker)
    return domains


def recorded_domains(stage: Stage, encoder, recordings: dict[str, list[Recording]], limit: float) -> dict[str, Domain]:
    """List what peft learns from.

    Parameters
    ----------
    stage
    encoder : speechsong.encoders.Encoder
    recordings
        Of each domain of the stage.
    limit
        Bytes of fronts that are kept in memory, over all domains.

    Returns
    -------
    dict of Domain
        Inputs are `fronts.Fronts`.
    """
    domains = {}
    for name, some in recordings.items():
        # the domain that is trained on comes first and may take it all: the other one is only tested once
        kept = fronts.Fronts(encoder, [r.path for r in some], limit if name == stage.domains[0] else 0)
        answers = np.array([stage.emotions.index(r.emotion) for r in some])
        maker = {"family": encoder.family, "weights": encoder.weights}
        domains[name] = _domain(stage, name, [r.clip_id for r in some], answers, kept, maker)
    return domains


def _domain(stage: Stage, name: str, clips: list[str], answers: np.ndarray, inputs: object, maker: dict) -> Domain:
    split = read_split(stage.split, name, {clip: i for i, clip in enumerate(clips)}, stage.seed)
    # by name, so that an approach does not depend on the order in which clips are stored
    parts = (split.train, split.validation, split.test)
    by_name = [np.array(sorted(rows, key=lambda row: clips[row]), dtype=int) for rows in parts]
    for part, rows in zip(PARTS, by_name, strict=True):
        have = set(answers[rows])
        for k, emotion in enumerate(stage.emotions):
            if k not in have:
                raise UserError(
                    f"{stage.split}: domain `{name}` has no clip of `{emotion}` in its {part} part; add recordings, "
                    "leave the emotion out of `emotions`, or change `split`"
                )
    return Domain(clips, answers, Split(*by_name, stage.seed), inputs, maker)
