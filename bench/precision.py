"""`precision: bfloat16` against float32: the time of an extraction, and what it does to FAD, ranks and accuracies."""

import argparse
import os

# before any import loads a BLAS
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import time
from collections import deque
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers

from common import WHISPER, Report, both_domains, parse, scratch, timed, write_base_encoder, write_embeddings
from speechsong.corpora.recordings import Recording, speaker_blocks
from speechsong.distances import fad
from speechsong.embeddings.extract import extract
from speechsong.embeddings.features import Split
from speechsong.encoders import devices, forward, loading
from speechsong.probes import converged

# as a job of extraction has where a run has two cores
THREADS, BLOCKS = 1, 10
PRECISIONS = ("float32", "bfloat16")
EMOTIONS = ["calm", "happy", "sad", "angry"]
torch.set_num_threads(THREADS)
transformers.utils.logging.disable_progress_bar()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20, help="clips of each emotion and domain (default 20)")
    parser.add_argument("--many", type=int, default=92, help="clips of each domain in the jobs timed (default 92)")
    options = parse(parser, clips=4, many=6)
    if not options.quick and devices.precision(torch.device("cpu"), "auto") == "float32":
        print("precision: skipped, because this processor has no instructions for bfloat16")
        return
    report = Report(
        "precision",
        "extraction in bfloat16: time of jobs of angry clips, one for each domain; results of four emotions",
        "the same in float32, job by job in turn; CPU seconds, which other processes change little",
        options.quick,
    )
    source, recordings = both_domains(EMOTIONS, options.clips)
    _, many = both_domains(["angry"], options.many)
    print(f"recordings: {source}", flush=True)
    with scratch() as folder:
        if WHISPER.exists() and not options.quick:
            # padded windows that fit RAVDESS
            compare(report, "whisper-tiny.en", WHISPER, 4, recordings, many, folder / "real", 8)
        layers = write_base_encoder(folder / "base", options.quick)
        name = "wav2vec2-base, random weights"
        compare(report, name, folder / "base", layers, recordings, many, folder / "random")
    report.facts |= {"recordings": source, "threads": THREADS, "capabilities": capabilities()}
    report.write()


def capabilities() -> str:
    """Name what this processor has for bfloat16."""
    able = torch.cpu.get_capabilities()
    return " ".join(name for name in ("avx512_bf16", "amx_bf16") if able.get(name)) or "no instructions for bfloat16"


def compare(
    report: Report,
    name: str,
    checkpoint: Path,
    layers: int,
    recordings: dict[str, list[Recording]],
    many: dict[str, list[Recording]],
    folder: Path,
    window_seconds: float = 30,
) -> None:
    """Extract in both precisions, and compare times and results."""
    entry = {"checkpoint": name, "layers": layers, "window_seconds": window_seconds}
    loaded = {p: loading.load_entry(checkpoint, "bench", entry | {"precision": p}, "cpu") for p in PRECISIONS}
    blocks = speaker_blocks({r.speaker for some in (*recordings.values(), *many.values()) for r in some}, BLOCKS)
    paths: dict[str, dict[str, list[str]]] = {p: {d: [] for d in recordings} for p in PRECISIONS}
    means: dict[str, dict[str, list[np.ndarray]]] = {p: {d: [] for d in recordings} for p in PRECISIONS}
    for encoder in loaded.values():
        # not measured: the first calls load code
        extract(encoder, next(iter(recordings.values()))[:1], blocks)
    spent: dict[str, dict[str, float]] = {size: dict.fromkeys(PRECISIONS, 0.0) for size in ("many", "few")}

    def job(size: str, precision: str, chosen: list[Recording], domain: str, emotion: str) -> tuple:
        place = folder / precision / size
        work = partial(write_embeddings, loaded[precision], entry, chosen, blocks, place, domain, emotion)
        seconds, done = timed(work, time.process_time)
        spent[size][precision] += seconds
        return done

    for domain, chosen in many.items():
        for precision in PRECISIONS:
            job("many", precision, chosen, domain, "angry")
    for domain, some in recordings.items():
        for emotion in EMOTIONS:
            chosen = [r for r in some if r.emotion == emotion]
            for precision in PRECISIONS:
                found, written = job("few", precision, chosen, domain, emotion)
                means[precision][domain].append(found.pooled)
                paths[precision][domain] += map(str, written)
    report.seconds[name] = spent
    ratios = {size: seconds["float32"] / seconds["bfloat16"] for size, seconds in spent.items()}
    clips = max(map(len, many.values()))
    report.figure(f"{name}: time of jobs of {clips} clips", "CPU ratio", ratios["many"], ">=", 1.7)
    report.note(", ".join(f"{precision} {seconds:.1f} s" for precision, seconds in spent["many"].items()))
    report.note(f"jobs of {len(chosen)} clips, too few to fill batches: ratio {ratios['few']:.2f}")
    windows = [w for r in chosen for w in forward.prepare(loaded["float32"], forward.read(loaded["float32"], r.path))]
    alone = {
        p: min(timed(partial(bare, e, windows), time.process_time)[0] for _ in range(2)) for p, e in loaded.items()
    }
    report.seconds[f"{name}, model alone"] = alone
    report.note(f"the model alone, without reading and moments: ratio {alone['float32'] / alone['bfloat16']:.2f}")
    distances(report, name, paths, layers)
    accuracies(report, name, means, recordings)


def bare(encoder: loading.Encoder, windows: list[np.ndarray]) -> None:
    """Run the encoder over windows, one by one, and keep nothing."""
    with torch.inference_mode(), devices.autocast(encoder.device, encoder.precision):
        for window in windows:
            state, _ = forward.front(encoder, window)
            deque(forward.blocks(encoder, [state.float()]), maxlen=0)


def distances(report: Report, name: str, paths: dict, layers: int) -> None:
    """Compare FAD by layer, in its own size and in standard errors, and the order of the emotions."""
    rows, swapped, pairs = [], 0, 0
    # a few layers tell: each takes half a minute at width 768
    for layer in range(0, layers + 1, max(1, layers // 4)):
        of = {}
        for precision, by_domain in paths.items():
            chosen = {d: [p for p in some if f"/layer{layer:02d}/" in p] for d, some in by_domain.items()}
            table, _ = fad.run(chosen, model="bench", layer=layer, emotions=EMOTIONS, paired=True)
            of[precision] = pd.DataFrame(table).set_index("emotion")
        apart = of["bfloat16"]["fad"] - of["float32"]["fad"]
        rows.append(
            {
                "layer": layer,
                "of FAD, %": 100 * (apart / of["float32"]["fad"]).abs().max(),
                "of its standard error": (apart / of["float32"]["std_error"]).abs().max(),
            }
        )
        for a, b in combinations(EMOTIONS, 2):
            before, after = (of[p].loc[a, "fad"] < of[p].loc[b, "fad"] for p in PRECISIONS)
            swapped, pairs = swapped + (before != after), pairs + 1
    table = pd.DataFrame(rows)
    report.figure(f"{name}: largest change of a FAD", "standard errors", table["of its standard error"].max(), "<=", 1)
    report.note("largest change of an emotion's FAD, by layer:\n" + table.round(3).to_string(index=False))
    report.note(f"pairs of emotions in the other order: {swapped} of {pairs}, over these layers")
    report.facts[f"{name}: changes of FAD"] = rows
    report.facts[f"{name}: pairs in the other order"] = f"{swapped} of {pairs}"


def accuracies(report: Report, name: str, means: dict, recordings: dict[str, list[Recording]]) -> None:
    """Compare the accuracy of converged probes for new speakers, by layer."""
    apart = []
    for domain, some in recordings.items():
        labels = np.array([EMOTIONS.index(r.emotion) for r in some])
        # five folds of speakers, of which each is tested once
        fold = np.unique([r.speaker for r in some], return_inverse=True)[1] % 5
        splits = []
        for k in range(5):
            test, validation = fold == k, fold == (k + 1) % 5
            train, validation, test = map(np.flatnonzero, (~test & ~validation, validation, test))
            splits.append(Split(train, validation, test, seed=0))
        of = {}
        for precision in PRECISIONS:
            pooled = np.concatenate(means[precision][domain], axis=1)
            of[precision] = [_accuracy(layer, labels, splits) for layer in pooled]
        apart += [100 * (b - a) for a, b in zip(*(of[p] for p in PRECISIONS), strict=True)]
    report.note(
        f"accuracy for new speakers, {len(apart)} layers of both domains: changes by {np.mean(apart):+.2f} points on "
        f"average, by {np.abs(apart).max():.1f} at most"
    )
    report.facts[f"{name}: changes of accuracy, points"] = [round(value, 2) for value in apart]


def _accuracy(features: np.ndarray, labels: np.ndarray, splits: list[Split]) -> float:
    probes = converged.train(features, labels, len(EMOTIONS), splits)
    right = [
        probe.logits(features[split.test]).argmax(axis=1) == labels[split.test]
        for probe, split in zip(probes, splits, strict=True)
    ]
    return float(np.concatenate(right).mean())


if __name__ == "__main__":
    main()
