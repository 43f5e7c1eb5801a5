"""Statistics of a whole run: time and memory for every metric, interval, comparison and claim."""

import argparse
import os

# before any import loads a BLAS; the jobs of the workflow have one thread too
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd

from common import Report, alternate, parse, peak_megabytes, scratch, speedup, timed
from speechsong import files
from speechsong.corpora import splits
from speechsong.distances import kad, ranking
from speechsong.embeddings import store
from speechsong.evaluation import claims, comparisons, intervals, predictions, scores, similarity, strata, transfer
from speechsong.evaluation.claims_rows import PAPER
from speechsong.report import tables

MODELS, DOMAINS = ["w2v2", "hubert", "mert"], ["speech", "music"]
EMOTIONS = {"neutral": 4, "calm": 8, "happy": 8, "sad": 8, "angry": 8, "fearful": 8}  # clips per speaker
SPEAKERS, SEEDS, BLOCKS, WIDTH = 23, 5, 10, 768
APPROACHES = ["baseline", "ws", "peft"]
BLOCK_OF = {f"{speaker:02d}": speaker % BLOCKS for speaker in range(SPEAKERS)}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of the ratio, the best counts (default 3)")
    parser.add_argument("--layers", type=int, default=13, help="hidden states of each encoder (default 13)")
    parser.set_defaults(speakers=SPEAKERS)
    options = parse(parser, rounds=1, layers=5, speakers=10)
    report = Report(
        "evaluation",
        f"{len(MODELS)} models, {options.layers} layers, 2 domains, 2 protocols, {SEEDS} seeds, "
        f"{len(APPROACHES)} approaches, {intervals.DRAWS} resamples, one process",
        "resampling the rows of the speakers drawn, for one result",
        options.quick,
    )
    with scratch() as folder:
        write_run(folder, np.random.default_rng(0), options.layers, options.speakers)
        clips = {domain: str(folder / f"{domain}.csv") for domain in DOMAINS}
        total = 0.0
        for name, work in works(folder, clips).items():
            spent, _ = timed(work, time.process_time)
            total += spent
            report.note(f"{name}: {spent:.1f} CPU seconds")
            report.seconds[name] = spent
        report.figure("all statistics", "CPU seconds", total, "<", 180)
        report.figure("memory", "MB", peak_megabytes(), "<", 2000)
        some = predictions.read([str(folder / "predictions/w2v2-probe.csv")])
        one = some[(some["protocol"] == "random") & (some["test_domain"] == "speech") & (some["layer"] == 2)]
        one = one[(one["source"] == "speech") & (one["fit"] == "paper")]
    few = 100
    seconds, found = alternate(
        options.rounds, ours=lambda: scores.measure(one, list(EMOTIONS)), reference=lambda: by_rows(one, few)
    )
    seconds["reference"] = [s * intervals.DRAWS / few for s in seconds["reference"]]
    report.figure("intervals of one result", "CPU ratio", speedup(seconds), ">=", 10)
    report.note(f"reference extrapolated from {few} resamples")
    accuracy = next(row for row in found["ours"] if row["metric"] == "accuracy")
    inside = np.mean((found["reference"] >= accuracy["low"]) & (found["reference"] <= accuracy["high"]))
    report.note(f"share of the reference's resamples inside our 95 % interval: {inside:.2f}")
    report.write()


def works(folder: Path, clips: dict[str, str]) -> dict:
    """The computations of the workflow's rules, by name."""
    probes = {model: str(folder / f"{model}-probe.csv") for model in MODELS}
    paths = {
        (model, task): sorted(str(p) for p in (folder / model / task).rglob("*.csv"))
        for model in MODELS
        for task in ("probe", "adapt")
    }

    kads: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    gathered = {key: str(folder / f"predictions/{'-'.join(key)}.csv") for key in paths}

    def gather() -> None:
        for (model, task), some in paths.items():
            table = predictions.gather(some, clips, [probes[model]] if task == "probe" else [])
            with files.atomic(gathered[model, task]) as temporary:
                table.to_csv(temporary, index=False)

    def evaluate() -> None:
        for path in gathered.values():
            table = predictions.read([path])
            scores.measure(table, list(EMOTIONS))
            scores.confusion(table, list(EMOTIONS))

    def compare() -> None:
        files.write_rows(folder / "comparisons.csv", comparisons.compare(predictions.read([*gathered.values()])))

    def transfers() -> None:
        for model in MODELS:
            of_model = predictions.read([gathered[model, task] for task in ("probe", "adapt")])
            files.write_rows(folder / "transfer.csv", transfer.transfer(of_model, list(EMOTIONS)))

    def check() -> None:
        fads, left_out = (pd.concat(parts) for parts in zip(*(distances(folder, m) for m in MODELS), strict=True))
        claims.check(
            predictions.read([*gathered.values()]),
            tables.read([*probes.values()]),
            fads,
            left_out,
            list(PAPER),
            DOMAINS,
            DOMAINS,
            [*EMOTIONS],
            True,
        )

    def measure_kad() -> None:
        layers = range(len(paths["w2v2", "probe"]) // len(DOMAINS))
        for _ in MODELS:
            # one encoder stands for all, which are as large
            of = {
                d: [str(folder / f"bench/{d}/layer{k:02d}/{e}.h5") for k in layers for e in EMOTIONS] for d in DOMAINS
            }
            blocks = dict.fromkeys(DOMAINS, BLOCK_OF)
            rows, left_out, _ = kad.run(of, clips, model="bench", emotions=list(EMOTIONS), paired=True, blocks=blocks)
            kads.append((pd.DataFrame(rows), pd.DataFrame(left_out)))

    def correlate() -> None:
        for model, kad_tables in zip(MODELS, kads, strict=True):
            of_model = predictions.read([gathered[model, task] for task in ("probe", "adapt")])
            both = {"fad": distances(folder, model), "kad": tuple(t.assign(model=model) for t in kad_tables)}
            similarity.similarity(of_model, both, dict.fromkeys(DOMAINS, BLOCK_OF), list(EMOTIONS))

    def stratify() -> None:
        known = pd.concat(pd.read_csv(path, dtype=str).assign(domain=domain) for domain, path in clips.items())
        for model in MODELS:
            labelled = strata.label(predictions.read([gathered[model, "probe"]]), known)
            strata.strata(labelled, ["gender", "statement"])
            strata.by_speaker(labelled)

    def rank() -> None:
        for model in MODELS:
            ranking.table(*distances(folder, model))

    return {
        "gathering of predictions": gather,
        "metrics and confusion": evaluate,
        "comparisons": compare,
        "transfer": transfers,
        "leakage": lambda: comparisons.leakage(predictions.read([*gathered.values()])),
        "claims": check,
        "ranking of emotions": rank,
        "KAD": measure_kad,
        "similarity and transfer": correlate,
        "strata and speakers": stratify,
    }


def distances(folder: Path, model: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the FADs of a model, and those with each block left out."""
    return tables.read([str(folder / f"{model}-fad.csv")]), tables.read([str(folder / f"{model}-left_out.csv")])


def by_rows(some: pd.DataFrame, draws: int) -> np.ndarray:
    """Resample the plain way: compute the metrics from the rows of the drawn speakers; return the accuracies."""
    rng = np.random.default_rng(1)
    groups = [group for _, group in some.groupby("speaker")]
    found = []
    for _ in range(draws):
        rows = pd.concat([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        right = rows["true"] == rows["predicted"]
        right.groupby(rows["true"]).mean().mean()
        found.append(right.mean())
    return np.array(found)


def write_run(folder: Path, rng: np.random.Generator, layers: int, speakers: int) -> None:
    """Write what the statistics of a run read: clips, predictions, probes and FADs, from made-up answers."""
    truth = {}
    for domain in DOMAINS:
        rows = [
            {"clip_id": f"{domain}-{speaker}-{emotion}-{i}", "speaker": f"{speaker:02d}", "emotion": emotion}
            | {"gender": ("female", "male")[speaker % 2], "statement": f"0{1 + i % 2}"}
            for speaker in range(speakers)
            for emotion, count in EMOTIONS.items()
            for i in range(count)
        ]
        files.write_rows(folder / f"{domain}.csv", rows)
        truth[domain] = rows
        for emotion in EMOTIONS:
            ids = [row["clip_id"] for row in rows if row["emotion"] == emotion]
            pooled = rng.standard_normal((1, len(ids), WIDTH)).astype(np.float32)
            nothing = np.zeros((1, 1, 1)), np.zeros((1, 1, 1), np.float32)
            for layer in range(layers):
                every = (np.repeat(part, layer + 1, axis=0) for part in nothing)
                whole = np.repeat(pooled, layer + 1, axis=0)
                made = store.Embeddings(ids, np.ones(len(ids), int), whole, np.ones(1, int), *every)
                said = {"model": "bench", "domain": domain, "emotion": emotion}
                store.write(folder / f"bench/{domain}/layer{layer:02d}/{emotion}.h5", made, layer, said)
    tested = {}
    for domain, seed in itertools.product(DOMAINS, range(SEEDS)):
        parts = splits.random_parts([r["clip_id"] for r in truth[domain]], [0.6, 0.2, 0.2], rng)
        tested[domain, "random", seed] = [r for r, part in zip(truth[domain], parts, strict=True) if part == "test"]
        tested[domain, "speaker", seed] = [r for r in truth[domain] if int(r["speaker"]) % SEEDS == seed]
    names = np.array(list(EMOTIONS))

    def answers(domain: str, protocol: str, seed: int, labels: dict) -> list[dict]:
        some = tested[domain, protocol, seed]
        right = rng.random(len(some)) < rng.uniform(0.4, 0.9)
        guesses = names[rng.integers(0, len(names), len(some))]
        return [
            labels
            | {"clip_id": row["clip_id"], "true": row["emotion"]}
            | {"predicted": row["emotion"] if ok else str(guess)}
            | {f"logit_{emotion}": 0.1234567 for emotion in EMOTIONS}
            for row, ok, guess in zip(some, right, guesses, strict=True)
        ]

    protocols = [(protocol, seed) for protocol in ("random", "speaker") for seed in range(SEEDS)]
    for model in MODELS:
        probes = []
        for domain, layer in itertools.product(DOMAINS, range(layers)):
            rows = []
            for fit, (protocol, seed) in itertools.product(("paper", "converged"), protocols):
                labels: dict = {"model": model, "domain": domain, "layer": f"{layer:02d}", "fit": fit}
                labels |= {"protocol": protocol, "seed": seed}
                chosen = {"validation": rng.random(), "best_epoch": int(rng.integers(1, 501))}
                for tested_on in DOMAINS:
                    here = labels | {"test_domain": tested_on}
                    rows += answers(tested_on, protocol, seed, here)
                    probes.append(here | chosen)
            files.write_rows(folder / f"{model}/probe/{domain}/layer{layer:02d}.csv", rows)
        files.write_rows(folder / f"{model}-probe.csv", probes)
        stages = [*((d, "") for d in [*DOMAINS, "+".join(DOMAINS)]), *itertools.product(DOMAINS, DOMAINS)]
        for approach, (protocol, seed), (source, target) in itertools.product(APPROACHES, protocols, stages):
            labels = {"model": model, "approach": approach, "protocol": protocol, "seed": seed}
            labels |= {"source": source, "target": target, "stage": 2 if target else 1}
            rows = []
            for domain in dict.fromkeys([*(target or source).split("+"), *([source] if target else DOMAINS)]):
                rows += answers(domain, protocol, seed, labels | {"test_domain": domain})
            files.write_rows(folder / f"{model}/adapt/{approach}/{protocol}-{seed}/{source}-{target}.csv", rows)
        fads, left_out = [], []
        for layer, emotion in itertools.product(range(layers), [*EMOTIONS, "all"]):
            keys = {"model": model, "layer": layer, "emotion": emotion}
            value = rng.uniform(5, 20)
            fads.append(keys | {"fad": value, "fad_corrected": value, "std_error": 1.0, "fad_matched": value})
            for block in range(BLOCKS):
                moved = value * rng.uniform(0.95, 1.05)
                left_out.append(keys | {"side": "both", "block": block, "frames": 100, "fad_left_out": moved})
        files.write_rows(folder / f"{model}-fad.csv", fads)
        files.write_rows(folder / f"{model}-left_out.csv", left_out)


if __name__ == "__main__":
    main()
