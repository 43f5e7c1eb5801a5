"""Do batches of clips of similar lengths harm training? The same training, with such batches and with random ones.

In RAVDESS the length of a clip goes with its emotion, so a batch of similar lengths has fewer emotions than a random
one. Both ways train ws from the same initial weights, on the same clips and for the same epochs. Recordings and encoder
(whisper-tiny) lie beside the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from common import SHARED, WHISPER, Report, parse, timed
from speechsong.adaptation import fronts, learners, stages, training
from speechsong.adaptation.domains import Domain
from speechsong.corpora.readers import scan
from speechsong.embeddings.features import Split
from speechsong.encoders import loading

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
LAYERS, WIDTH = (1, 2, 3, 4), 384
BATCH = 32
# batches that are sorted together: some variety is left
POOL = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every so many-th clip")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=100)
    options = parse(parser, every=50, seeds=1, epochs=4)
    report = Report("batches", "accuracy with batches by length", "random batches", options.quick)
    if not (SHARED.is_dir() and WHISPER.is_dir()):
        report.note("left out: the recordings or the encoder are not beside the repository")
        return
    # windows of 8 s hold every clip
    encoder = loading.load(WHISPER, name="whisper8", layers=4, window_seconds=8)
    for name in ("speech", "song"):
        corpus = {"reader": "ravdess", "root": str(SHARED), "channel": name}
        listed = [r for r in scan(name, corpus) if r.emotion in EMOTIONS][:: options.every]
        kept = fronts.Fronts(encoder, [r.path for r in listed], 4e9)
        lengths = np.array([kept.seconds(i) for i in range(len(listed))])
        answers = np.array([EMOTIONS.index(r.emotion) for r in listed])
        report.note(f"{name}: {len(listed)} clips; emotion explains {explained(lengths, answers):.0%} of the variance")
        means = np.stack([fronts.clip_means(encoder, kept[i], [*LAYERS]) for i in range(len(listed))])
        none = np.array([], dtype=int)
        domain = Domain([r.clip_id for r in listed], answers, Split(none, none, none, 0), means, {})
        compare(report, name, options, domain, lengths)
    report.write()


def explained(lengths: np.ndarray, answers: np.ndarray) -> float:
    """Find the share of the variance of lengths that lies between emotions."""
    of_emotion = np.array([lengths[answers == k].mean() for k in range(len(EMOTIONS))])
    return float(of_emotion[answers].var() / lengths.var())


def compare(report: Report, name: str, options: argparse.Namespace, domain: Domain, lengths: np.ndarray) -> None:
    """Train ws both ways, with the workflow's rate and batch size; each seed draws four fifths of the clips for it."""
    ways: dict[str, Callable[..., list[np.ndarray]]] = {
        "by length": partial(by_length, lengths),
        "random": training.batches,
    }
    accuracies: dict[str, list[float]] = {way: [] for way in ways}
    emotions: dict[str, list[float]] = {way: [] for way in ways}
    total = 0.0
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(lengths))
        cut = round(0.8 * len(order))
        test = order[cut:]
        split = replace(domain, split=Split(order[:cut], test, test, seed))
        for way, draw in ways.items():
            model = learners.LinearClassifier(WIDTH, len(EMOTIONS), len(LAYERS), seed)
            learner = learners.Learner(model, stages.Training(options.epochs, 1e-3, 0.01, BATCH))
            seconds, (accuracy, effective) = timed(partial(train, learner, options.epochs, split, draw))
            total += seconds
            accuracies[way].append(100 * accuracy)
            emotions[way].append(effective)
    differences = np.subtract(accuracies["by length"], accuracies["random"])
    error = differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    in_batch = " and ".join(f"{np.mean(values):.2f} ({way})" for way, values in emotions.items())
    report.note(f"{name}: {in_batch} effective emotions in a batch; {total:.0f} s")
    shown = "; ".join(f"{way} {' '.join(f'{v:.1f}' for v in values)}" for way, values in accuracies.items())
    report.note(f"{name}: accuracy by seed, {shown}")
    report.note(f"{name}: by length minus random {differences.mean():.2f} points, standard error {error:.2f}")
    report.facts[name] = round(float(differences.mean()), 2)


def by_length(lengths: np.ndarray, rows: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw batches as `training.batches` does, but sort each pool of clips by length first."""
    order = rng.permutation(rows)
    pools = [order[i : i + POOL * size] for i in range(0, len(order), POOL * size)]
    order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    cut = [order[i : i + size] for i in range(0, len(order), size)]
    return [cut[i] for i in rng.permutation(len(cut))]


def train(
    learner: learners.Learner, epochs: int, domain: Domain, draw: Callable[..., list[np.ndarray]]
) -> tuple[float, float]:
    """Train; return the test accuracy, averaged over the last quarter of the epochs, and the emotions in a batch.

    Their number is effective: the exponential of the entropy of their shares, averaged over batches.
    """
    test = domain.split.test
    accuracies, effective = [], []
    for epoch in range(1, epochs + 1):
        drawn = draw(domain.split.train, BATCH, np.random.default_rng([domain.split.seed, 1, epoch]))
        for rows in drawn:
            shares = np.unique(domain.answers[rows], return_counts=True)[1] / len(rows)
            effective.append(float(np.exp(-(shares * np.log(shares)).sum())))
        learner.train_epoch(domain, drawn)
        if epoch > 0.75 * epochs:
            accuracies.append(float((learner.logits(domain, test).argmax(axis=1) == domain.answers[test]).mean()))
    return float(np.mean(accuracies)), float(np.mean(effective))


if __name__ == "__main__":
    main()
