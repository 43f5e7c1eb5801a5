"""Probes of one (model, domain, layer): read its features, train on every split, and list what came out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechsong import metrics
from speechsong.embeddings.features import read_split
from speechsong.embeddings.store import read_pooled
from speechsong.errors import UserError
from speechsong.probes.train import Settings, train


def run(
    embeddings: dict[str, str], splits: list[str], settings: Settings, labels: dict[str, str]
) -> tuple[list[dict], list[dict]]:
    """Train and test the probes of one (model, domain, layer).

    Parameters
    ----------
    embeddings
        For each emotion the embedding file.
    splits
        Split files, named {protocol}-{seed}.csv.
    settings
        Of the training.
    labels
        model, domain and layer, for the first columns.

    Returns
    -------
    table : list of dict
        A row a split: the labels, protocol, seed, accuracy, uar, best_epoch, n_train, n_validation, n_test,
        recall_{emotion}, validation (the accuracy on the validation part that chose the epoch).
    predictions : list of dict
        A row a split and test clip: the labels, protocol, seed, clip_id, true, predicted, logit_{emotion}.
    """
    emotions = list(embeddings)
    parts = [read_pooled(path) for path in embeddings.values()]
    clips = [clip for ids, _ in parts for clip in ids]
    for path, (_, pooled) in zip(embeddings.values(), parts, strict=True):
        if not np.isfinite(pooled).all():
            raise UserError(f"{path}: holds features that are not finite; delete the file and run again")
    features = np.concatenate([pooled for _, pooled in parts])
    answers = np.repeat(np.arange(len(emotions)), [len(ids) for ids, _ in parts])
    row_of = {clip: i for i, clip in enumerate(clips)}
    names = [Path(path).stem.rsplit("-", 1) for path in splits]
    parsed = [
        read_split(path, labels["domain"], row_of, int(seed)) for path, (_, seed) in zip(splits, names, strict=True)
    ]
    table, predictions = [], []
    results = train(features, answers, len(emotions), parsed, settings)
    for (protocol, seed), split, result in zip(names, parsed, results, strict=True):
        keys = labels | {"protocol": protocol, "seed": seed}
        true, predicted = answers[split.test], result.logits.argmax(axis=1)
        recall = metrics.recalls(true, predicted, len(emotions))
        table.append(
            keys
            | {
                "accuracy": metrics.accuracy(true, predicted),
                "uar": metrics.uar(true, predicted, len(emotions)),
                "best_epoch": result.best_epoch,
                "n_train": len(split.train),
                "n_validation": len(split.validation),
                "n_test": len(split.test),
            }
            | {f"recall_{emotion}": float(r) for emotion, r in zip(emotions, recall, strict=True)}
            | {"validation": result.validation}
        )
        for row, t, p, logits in zip(split.test, true, predicted, result.logits, strict=True):
            predictions.append(
                keys
                | {"clip_id": clips[row], "true": emotions[t], "predicted": emotions[p]}
                | {f"logit_{emotion}": float(v) for emotion, v in zip(emotions, logits, strict=True)}
            )
    return table, predictions
