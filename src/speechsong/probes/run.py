"""Probes of one (model, domain, layer): read its features, train on every split, and tabulate the results."""

from __future__ import annotations

from pathlib import Path

from speechsong import metrics
from speechsong.embeddings import features
from speechsong.embeddings.store import arrange
from speechsong.probes.train import Settings, train


def run(
    embeddings: list[str],
    splits: list[str],
    settings: Settings,
    *,
    model: str,
    domain: str,
    layer: int,
    emotions: list[str],
) -> tuple[list[dict], list[dict]]:
    """Train and test the probes of one (model, domain, layer).

    Parameters
    ----------
    embeddings
        The embedding file of each emotion.
    splits
        Split files, named {protocol}-{seed}.csv.
    settings
        Settings of the training.
    model, domain, layer, emotions
        What the embedding files hold; the classes are the emotions in this order.

    Returns
    -------
    table : list of dict
        One row per split: model, domain, layer, protocol, seed, accuracy, uar, best_epoch, n_train, n_validation,
        n_test, recall_{emotion}, validation (the accuracy on the validation part that chose the epoch).
    predictions : list of dict
        One row per split and test clip: model, domain, layer, protocol, seed, clip_id, true, predicted,
        logit_{emotion}.

    Raises
    ------
    UserError
        If the files are not those of the model, domain, layer and emotions (`store.arrange`), a feature is not finite,
        or the training diverges.
    """
    arranged = arrange(embeddings, model=model, domain=domain, layers=[layer], emotions=emotions)
    clips = features.read(arranged[layer])
    row_of = {clip: i for i, clip in enumerate(clips.clips)}
    names = [Path(path).stem.rsplit("-", 1) for path in splits]
    parts = [
        features.read_split(path, domain, row_of, int(seed)) for path, (_, seed) in zip(splits, names, strict=True)
    ]
    table, predictions = [], []
    results = train(clips.means, clips.labels, len(emotions), parts, settings)
    for (protocol, seed), split, result in zip(names, parts, results, strict=True):
        keys = {"model": model, "domain": domain, "layer": layer, "protocol": protocol, "seed": seed}
        true, predicted = clips.labels[split.test], result.logits.argmax(axis=1)
        recalls = metrics.recalls(true, predicted, len(emotions))
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
            | {f"recall_{emotion}": float(recall) for emotion, recall in zip(emotions, recalls, strict=True)}
            | {"validation": result.validation}
        )
        for row, t, p, logits in zip(split.test, true, predicted, result.logits, strict=True):
            predictions.append(
                keys
                | {"clip_id": clips.clips[row], "true": emotions[t], "predicted": emotions[p]}
                | {f"logit_{emotion}": float(logit) for emotion, logit in zip(emotions, logits, strict=True)}
            )
    return table, predictions
