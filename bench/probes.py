"""Linear probes: ten at once against the same ten one after the other in plain PyTorch."""

import argparse
import os

# before any import loads a BLAS
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import torch

from common import Report, alternate, parse, speedup
from speechsong.corpora import splits
from speechsong.embeddings.features import Split
from speechsong.probes import train as probe

WIDTH = 768
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=500, help="epochs of training (default 500)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, the best counts (default 2)")
    options = parse(parser, epochs=3, rounds=1)
    torch.set_num_threads(1)
    report = Report(
        "probes",
        "training and testing the probes of a (model, domain, layer), 2 protocols x 5 seeds, at once",
        "the same probes one after the other with torch.nn.Linear and torch.optim.AdamW, same start and shuffles",
        options.quick,
    )
    features, labels, parts = problem(np.random.default_rng(0))
    settings = probe.Settings(epochs=options.epochs, learning_rate=1e-3, weight_decay=0.01, batch_size=32)
    # not measured: the first calls load code
    brief = probe.Settings(epochs=1, learning_rate=1e-3, weight_decay=0.01, batch_size=32)
    probe.train(features, labels, len(EMOTIONS), parts, brief)
    one_by_one(features, labels, parts[0], brief)
    seconds, results = alternate(
        options.rounds,
        ours=lambda: probe.train(features, labels, len(EMOTIONS), parts, settings),
        reference=lambda: [one_by_one(features, labels, part, settings) for part in parts],
    )
    report.seconds["ten probes"] = seconds
    report.figure("ten probes", "CPU ratio", speedup(seconds), ">=", 3.5)
    pairs = list(zip(results["ours"], results["reference"], strict=True))
    clips = sum(len(part.test) for part in parts)
    logits = [[result.logits(features[part.test]) for result in pair] for pair, part in zip(pairs, parts, strict=True)]
    agree = sum(int((o.argmax(axis=1) == r.argmax(axis=1)).sum()) for o, r in logits)
    same = sum(o.best_epoch == r.best_epoch for o, r in pairs)
    report.figure("test predictions", "agreeing", agree, ">=", clips)
    report.figure("best epochs", "agreeing", same, ">=", len(parts))
    right = sum(
        int((ours.argmax(axis=1) == labels[part.test]).sum()) for (ours, _), part in zip(logits, parts, strict=True)
    )
    report.note(f"ours {min(seconds['ours']):.2f} s, one by one {min(seconds['reference']):.2f} s")
    report.facts |= {
        "d": WIDTH,
        "classes": len(EMOTIONS),
        "sizes": " ".join(sorted({f"{len(p.train)}/{len(p.validation)}/{len(p.test)}" for p in parts})),
        "epochs": options.epochs,
        "test accuracy": f"{right / clips:.2f}",
        "largest difference of logits": f"{max(np.abs(o - r).max() for o, r in logits):.1e}",
        "threads": 1,
        "rounds": f"{options.rounds}, best of",
    }
    report.write()


def problem(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[Split]]:
    """Make features of 23 speakers with 44 clips each, and the splits that the workflow would draw.

    Features are Gaussian about the sum of an emotion's and a speaker's mean, with a spread that decays over the axes.
    """
    people = [f"{actor:02d}" for actor in range(1, 25) if actor != 18]
    rows = []
    for person in people:
        for emotion in EMOTIONS:
            for k in range(4 if emotion == "neutral" else 8):
                name = f"{person}-{emotion}-{k}"
                gender = "male" if int(person) % 2 else "female"
                rows.append({"clip_id": name, "speaker": person, "gender": gender, "emotion": emotion, "sha256": name})
    labels = np.array([EMOTIONS.index(row["emotion"]) for row in rows])
    speakers = np.array([people.index(row["speaker"]) for row in rows])
    spread = 0.5 * np.arange(1, WIDTH + 1) ** -0.5

    def draw(count: int, share: float) -> np.ndarray:
        return share * spread * rng.standard_normal((count, WIDTH))

    features = draw(len(EMOTIONS), 0.15)[labels] + draw(len(people), 0.5)[speakers] + draw(len(rows), 1.0)
    features = (features @ np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]).astype(np.float32)
    found = []
    for protocol in ("random", "speaker"):
        for seed in range(5):
            drawn = splits.split({"speech": rows}, protocol, seed, fractions=[0.6, 0.2, 0.2], paired=True)
            part = np.array([row["part"] for row in drawn])
            train, validation, test = (np.flatnonzero(part == name) for name in splits.PARTS)
            found.append(Split(train, validation, test, seed))
    return features, labels, found


def one_by_one(features: np.ndarray, labels: np.ndarray, split: Split, settings: probe.Settings) -> probe.Result:
    """Train and test one probe the usual way."""
    rng = np.random.default_rng(split.seed)
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    model = torch.nn.Linear(WIDTH, len(EMOTIONS))
    weight, bias = probe.start(WIDTH, len(EMOTIONS), rng)
    model.load_state_dict({"weight": torch.from_numpy(weight.T), "bias": torch.from_numpy(bias)})
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    validation, answers = x[split.validation], y[split.validation]
    best, best_epoch, kept = -1, 0, {}
    for epoch in range(1, settings.epochs + 1):
        shuffled = torch.from_numpy(split.train[rng.permutation(len(split.train))])
        for rows in shuffled.split(settings.batch_size):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            right = int((model(validation).argmax(dim=1) == answers).sum())
        if right > best:
            best, best_epoch = right, epoch
            kept = {name: values.clone() for name, values in model.state_dict().items()}
    model.load_state_dict(kept)
    with torch.no_grad():
        weights = torch.cat([model.weight.T, model.bias[None]]).numpy()
        return probe.Result(weights, best / len(answers), best_epoch)


if __name__ == "__main__":
    main()
