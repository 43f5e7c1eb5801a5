"""Fréchet audio distance: speed and error against scipy's matrix square root; the time of a whole run and of KAD."""

import argparse
import os

# before any import loads a BLAS; the workflow's FAD jobs have one thread each too
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import dataclasses
import multiprocessing
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.linalg import sqrtm
from scipy.stats import wishart

from common import Report, alternate, parse, scratch, speedup, timed
from speechsong import files
from speechsong.distances import fad, kad, pairs
from speechsong.embeddings import moments, store

WIDTH = 768
EMOTIONS = {"neutral": 4, "calm": 8, "happy": 8, "sad": 8, "angry": 8, "fearful": 8}  # clips per speaker
SPEAKERS, BLOCKS, FRAME_RATE = 23, 10, 50
SECONDS = {"speech": 3.7, "music": 4.6}  # mean length of a clip
LAYERS = 39  # 13 hidden states of 3 encoders
PROCESSES = 2


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, the best counts (default 5)")
    parser.add_argument("--layers", type=int, default=4, help="layers measured for the time of all (default 4)")
    parser.add_argument("--full", action="store_true", help=f"measure all {LAYERS} layers instead of extrapolating")
    # wider than the number of frames of the rank-deficient pair, with --quick too
    parser.set_defaults(width=WIDTH, kad_layers=LAYERS // 3)
    options = parse(parser, rounds=1, layers=1, width=192, kad_layers=1)
    report = Report(
        "distances",
        f"one FAD of width {options.width} from moments; all 273 FADs of a run, each with {BLOCKS} blocks left out, at "
        "matched sizes and between halves of the speakers; FAD of all pairs of emotions, with and without blocks "
        "left out; KAD of all layers and emotions of one encoder",
        "scipy.linalg.sqrtm of the product of the covariances, as in fadtk; the error of both from a pair of "
        "covariances whose root has a known trace (S_b = T S_a T), evaluated in long double",
        options.quick,
    )
    rng = np.random.default_rng(0)
    one_distance(report, rng, options.width, "full rank", 20_000, options.rounds, 5)
    one_distance(
        report, rng, options.width, "rank d - 1, as after a layer norm", 20_000, options.rounds, 5, normed=True
    )
    one_distance(report, rng, options.width, "rank-deficient", 184, options.rounds, 4)
    whole_run(report, rng, options.width, LAYERS if options.full else min(options.layers, LAYERS))
    all_pairs(report, rng, options.width, LAYERS if options.full else min(options.layers, LAYERS))
    kernel_audio_distance(report, rng, options.width, options.rounds, options.kad_layers)
    report.facts |= {
        "d": options.width,
        "frames": "20000, 20000 and 184",
        "threads": 1,
        "rounds": f"{options.rounds}, best of",
    }
    report.write()


def spectrum(width: int) -> np.ndarray:
    """Variances along the principal axes, decaying as a power of the rank."""
    return np.arange(1, width + 1) ** -1.5


def rotation(rng: np.random.Generator, width: int) -> np.ndarray:
    """Draw an orthogonal matrix."""
    return np.linalg.qr(rng.standard_normal((width, width)))[0]


def carrier(rng: np.random.Generator, width: int) -> np.ndarray:
    """Draw a symmetric positive definite T with eigenvalues between 0.5 and 2."""
    axes = rotation(rng, width)
    carry = (axes * np.exp(rng.uniform(-0.7, 0.7, width))) @ axes.T
    return (carry + carry.T) / 2


def known_pair(
    rng: np.random.Generator, width: int, frames: int, normed: bool
) -> tuple[moments.Moments, moments.Moments, float]:
    """Make two sets of moments and their true FAD; with `normed`, the dimensions of every frame sum to zero.

    T carries the Gaussian of covariance S_a optimally to that of covariance S_b = T S_a T, for symmetric positive
    definite T, so that tr (S_a S_b)^(1/2) = tr S_a T whatever the rank of S_a.
    """
    axes, carry = rotation(rng, width), carrier(rng, width)
    drawn = (rng.standard_normal((frames, width)) * np.sqrt(spectrum(width))) @ axes
    a = moments.of_frames(drawn - drawn.mean(axis=1, keepdims=True) if normed else drawn)
    exact_a, exact_carry = a.scatter.astype(np.longdouble), carry.astype(np.longdouble)
    exact_b = exact_carry @ (exact_a @ exact_carry)
    exact_b = (exact_b + exact_b.T) / 2
    shift = (0.2 * rng.standard_normal(width) * np.sqrt(spectrum(width))) @ axes
    b = moments.Moments(frames, a.mean + shift, exact_b.astype(np.float64))
    apart = a.mean.astype(np.longdouble) - b.mean
    traces = np.trace(exact_a) + np.trace(exact_b) - 2 * (exact_a * exact_carry).sum()
    return a, b, float(apart @ apart + traces / (frames - 1))


def by_sqrtm(mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray) -> float:
    """Compute a FAD as fadtk does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = sqrtm(covariance_a @ covariance_b)
        if not np.isfinite(root).all():
            offset = 1e-6 * np.eye(len(covariance_a))
            root = sqrtm((covariance_a + offset) @ (covariance_b + offset))
    apart = mean_a - mean_b
    return float(apart @ apart + np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.trace(root.real))


def one_distance(
    report: Report,
    rng: np.random.Generator,
    width: int,
    name: str,
    frames: int,
    rounds: int,
    target: float,
    normed: bool = False,
) -> None:
    """Compare speed and error for one pair of sets."""
    a, b, truth = known_pair(rng, width, frames, normed)
    given = (a.mean, a.covariance, b.mean, b.covariance)
    fad.frechet(a, b)
    seconds, found = alternate(rounds, ours=lambda: fad.frechet(a, b).fad, reference=lambda: by_sqrtm(*given))
    report.seconds[name] = seconds
    report.figure(name, "CPU ratio", speedup(seconds), ">=", target)
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    if frames > width and not normed:
        scale, of, limit = truth, "FAD", 1e-10
    else:
        scale, of, limit = traces, "traces", 1e-7
    report.figure(name, f"error relative to the {of}", abs(found["ours"] - truth) / scale, "<", limit)
    report.note(
        f"sqrtm: error relative to the {of} {abs(found['reference'] - truth) / scale:.2g}; "
        f"ours {min(seconds['ours']):.3f} s, sqrtm {min(seconds['reference']):.3f} s; "
        f"the FAD is {truth / traces:.2g} of the traces"
    )


def all_pairs(report: Report, rng: np.random.Generator, width: int, layers: int) -> None:
    """Time the jobs of all pairs of emotions, two at once; each layer is read again."""
    every = LAYERS * len(EMOTIONS) ** 2
    how = "measured" if layers == LAYERS else f"extrapolated from {layers} of {LAYERS} layers"
    with scratch() as folder:
        paths = write_layer(rng, width, folder)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            list(pool.map(_nothing, range(PROCESSES), chunksize=1))
            seconds, _ = alternate(
                1,
                time.perf_counter,
                plain=lambda: list(pool.map(_pairs, [paths] * layers, chunksize=1)),
                left_out=lambda: list(pool.map(_pairs_left_out, [paths] * layers, chunksize=1)),
            )
    for name, words, target in (("plain", "", 300), ("left_out", ", with blocks left out", 1200)):
        report.seconds[f"all pairs{words}"] = seconds[name]
        spent = seconds[name][0] * LAYERS / layers
        report.figure(f"FADs of {every} pairs{words} ({how})", "seconds", spent, "<", target)


def _pairs(paths: dict[str, list[str]]) -> None:
    pairs.run(paths, model="bench", layer=0, emotions=list(EMOTIONS), paired=True, leave_out=False)


def _pairs_left_out(paths: dict[str, list[str]]) -> None:
    pairs.run(paths, model="bench", layer=0, emotions=list(EMOTIONS), paired=True)


def whole_run(report: Report, rng: np.random.Generator, width: int, layers: int) -> None:
    """Time the FAD jobs of a run, two at once, all on the same files; each computes all tables of a layer."""
    with scratch() as folder:
        paths = write_layer(rng, width, folder)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            list(pool.map(_nothing, range(PROCESSES), chunksize=1))  # both have started
            seconds, _ = timed(lambda: list(pool.map(_layer, [paths] * layers, chunksize=1)))
    sets = len(EMOTIONS) + 1
    fads, every = layers * sets, LAYERS * sets
    report.seconds["whole run"] = seconds
    how = "measured" if layers == LAYERS else f"extrapolated from {fads} of {every}"
    report.figure(f"all {every} FADs ({how})", "seconds", seconds * LAYERS / layers, "<", 300)
    report.facts |= {"FADs measured": fads, "processes": PROCESSES, "blocks": BLOCKS}


def _nothing(_: int) -> None:
    pass


def _layer(paths: dict[str, list[str]]) -> None:
    fad.run(paths, model="bench", layer=0, emotions=list(EMOTIONS), paired=True)


def kernel_audio_distance(report: Report, rng: np.random.Generator, width: int, rounds: int, layers: int) -> None:
    """Time the KAD job of one encoder, which reads and compares files of clip means, layer by layer."""
    with scratch() as folder:
        paths, index = write_clips(rng, width, folder, layers)
        emotions = list(EMOTIONS)
        blocks = {domain: {f"{i:02d}": i % BLOCKS for i in range(SPEAKERS)} for domain in paths}
        seconds, _ = alternate(
            rounds, ours=lambda: kad.run(paths, index, model="bench", emotions=emotions, paired=True, blocks=blocks)
        )
    report.seconds["KAD"] = seconds["ours"]
    sets = layers * (len(EMOTIONS) + 1)
    report.figure(f"KAD, {sets} sets of one encoder", "CPU seconds", min(seconds["ours"]), "<", 30)


def write_clips(
    rng: np.random.Generator, width: int, folder: Path, layers: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Write embedding files that hold clip means, and the clips CSVs, for as many clips as RAVDESS has."""
    paths: dict[str, list[str]] = {}
    index = {}
    for domain in SECONDS:
        rows = []
        for emotion, clips in EMOTIONS.items():
            ids = [f"{emotion}{i:03d}" for i in range(SPEAKERS * clips)]
            rows += [{"clip_id": name, "speaker": f"{i % SPEAKERS:02d}"} for i, name in enumerate(ids)]
            made = store.Embeddings(
                ids,
                np.full(len(ids), 200),
                rng.standard_normal((1, len(ids), width)).astype(np.float32),
                np.array([len(ids)]),
                np.zeros((1, 1, 1)),
                np.zeros((1, 1, 1), np.float32),
            )
            for layer in range(layers):
                paths.setdefault(domain, []).append(write(folder, made, domain, layer, emotion))
        index[domain] = str(folder / f"{domain}.csv")
        files.write_rows(index[domain], rows)
    return paths, index


def write(folder: Path, made: store.Embeddings, domain: str, layer: int, emotion: str) -> str:
    """Write one hidden state as the file of a layer, in its place below a folder; return the path."""
    path = folder / f"bench/{domain}/layer{layer:02d}/{emotion}.h5"
    every: dict = {name: np.repeat(getattr(made, name), layer + 1, axis=0) for name in ("pooled", "mean", "scatter")}
    store.write(
        path,
        dataclasses.replace(made, **every),
        layer,
        {"model": "bench", "domain": domain, "emotion": emotion},
    )
    return str(path)


def write_layer(rng: np.random.Generator, width: int, folder: Path) -> dict[str, list[str]]:
    """Write the embedding files of one layer, with as many frames in each block as RAVDESS has."""
    axes, carry = rotation(rng, width), carrier(rng, width)
    scale = (axes * spectrum(width)) @ axes.T
    scales = {"speech": scale, "music": carry @ scale @ carry}
    people = np.bincount(np.arange(SPEAKERS) % BLOCKS)
    paths: dict[str, list[str]] = {}
    for emotion, clips in EMOTIONS.items():
        for domain, seconds in SECONDS.items():
            counts = (people * clips * seconds * FRAME_RATE).astype(np.int64)
            means = 0.1 * rng.standard_normal((BLOCKS, width)) @ np.linalg.cholesky(scales[domain]).T
            scatter = np.stack([wishart.rvs(n - 1, scales[domain], random_state=rng) for n in counts])
            n = SPEAKERS * clips
            made = store.Embeddings(
                [f"{i:03d}" for i in range(n)],
                np.full(n, round(seconds * FRAME_RATE)),
                np.zeros((1, n, width), np.float32),
                counts,
                means[None],
                moments.pack(scatter)[None],
            )
            paths.setdefault(domain, []).append(write(folder, made, domain, 0, emotion))
    return paths


if __name__ == "__main__":
    main()
