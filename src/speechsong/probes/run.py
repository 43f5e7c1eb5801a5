"""Probes of one (model, domain, layer): train on every split of the domain, test on every domain, tabulate.

A probe that is tested on the domain that it was trained on says what the layer holds. One that is tested on the other
domain says how much of this holds there as well (zero-shot transfer).
"""

from __future__ import annotations

from pathlib import Path

from speechsong import metrics
from speechsong.embeddings import features
from speechsong.embeddings.store import arrange, read_common_maker
from speechsong.probes import converged
from speechsong.probes.train import Settings, train


def run(
    embeddings: dict[str, list[str]],
    splits: list[str],
    settings: Settings,
    fits: list[str],
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
        The embedding file of each emotion, for every domain.
    splits
        Split files, named {protocol}-{seed}.csv.
    settings
        Settings of the fit "paper".
    fits
        How probes are trained: "paper" is `train.train`, "converged" is `converged.train`.
    model, domain, layer, emotions
        What is probed; the classes are the emotions in this order.

    Returns
    -------
    table : list of dict
        One row per fit, split and tested domain: model, domain (trained on), layer, fit, protocol, seed, test_domain,
        accuracy, uar, best_epoch (empty if converged), n_train, n_validation, n_test, recall_{emotion}, validation (the
        accuracy on the domain's own validation part, which chose the epoch or the penalty), penalty (only if
        converged).
    predictions : list of dict
        One row per fit, split, tested domain and test clip: model, domain, layer, fit, protocol, seed, test_domain,
        clip_id, true, predicted, logit_{emotion}.

    Raises
    ------
    UserError
        If the files are not those of the model, domains, layer and emotions (`store.arrange`), a feature is not finite,
        or the training diverges.
    """
    read_common_maker(embeddings)
    clips = {
        name: features.read(arrange(paths, model=model, domain=name, layers=[layer], emotions=emotions)[layer])
        for name, paths in embeddings.items()
    }
    names = [Path(path).stem.rsplit("-", 1) for path in splits]
    parts = {name: _read_splits(splits, name, of_domain) for name, of_domain in clips.items()}
    own, table, predictions = clips[domain], [], []
    for fit in fits:
        if fit == "converged":
            probes = converged.train(own.means, own.labels, len(emotions), parts[domain])
        else:
            probes = train(own.means, own.labels, len(emotions), parts[domain], settings)
        for k, ((protocol, seed), probe) in enumerate(zip(names, probes, strict=True)):
            for name, tested in clips.items():
                rows = parts[name][k].test
                logits = probe.logits(tested.means[rows])
                true, predicted = tested.labels[rows], logits.argmax(axis=1)
                recalls = metrics.recalls(true, predicted, len(emotions))
                keys = {"model": model, "domain": domain, "layer": layer, "fit": fit}
                keys |= {"protocol": protocol, "seed": seed, "test_domain": name}
                table.append(
                    keys
                    | {
                        "accuracy": metrics.accuracy(true, predicted),
                        "uar": metrics.uar(true, predicted, len(emotions)),
                        "best_epoch": probe.best_epoch,
                        "n_train": len(parts[domain][k].train),
                        "n_validation": len(parts[domain][k].validation),
                        "n_test": len(rows),
                    }
                    | {f"recall_{emotion}": float(recall) for emotion, recall in zip(emotions, recalls, strict=True)}
                    | {"validation": probe.validation, "penalty": probe.penalty}
                )
                predictions += [
                    keys
                    | {"clip_id": tested.clips[row], "true": emotions[t], "predicted": emotions[p]}
                    | {f"logit_{emotion}": float(value) for emotion, value in zip(emotions, values, strict=True)}
                    for row, t, p, values in zip(rows, true, predicted, logits, strict=True)
                ]
    return table, predictions


def _read_splits(paths: list[str], domain: str, clips: features.Features) -> list[features.Split]:
    row_of = {clip: i for i, clip in enumerate(clips.clips)}
    return [features.read_split(path, domain, row_of, int(Path(path).stem.rsplit("-", 1)[1])) for path in paths]
