"""Extraction of embeddings: speed against fadtk's way and the bare encoder; memory and disk against corpus size."""

import argparse
import os

# before any import loads a BLAS
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2"))

import dataclasses
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers

from common import (
    Report,
    alternate,
    both_domains,
    parse,
    peak_megabytes,
    scratch,
    speedup,
    timed,
    waveforms,
    write_base_encoder,
    write_embeddings,
)
from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording, speaker_blocks
from speechsong.distances import fad
from speechsong.embeddings import store
from speechsong.embeddings.extract import Sums
from speechsong.embeddings.moments import Moments
from speechsong.encoders import loading

THREADS, BLOCKS = 2, 10
# at import, so that it also holds in the processes that measure memory
torch.set_num_threads(THREADS)
transformers.utils.logging.disable_progress_bar()
ENTRY = {"checkpoint": "wav2vec2-base, random weights", "window_seconds": 30}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=184, help="clips for ours against the bare encoder (default 184)")
    parser.add_argument("--subset", type=int, default=8, help="clips for ours against one pass per layer (default 8)")
    parser.add_argument("--memory", type=int, default=180, help="clips of the larger memory run (default 180)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, the best counts (default 2)")
    parser.set_defaults(short=24_000, stored=500, frames=1_000_000)
    options = parse(parser, clips=2, subset=2, memory=2, rounds=1, short=20, stored=5, frames=20_000)
    report = Report(
        "extraction",
        "read, resample, encode, average, gather moments and write the files of 13 hidden states (wav2vec2-base)",
        "(layers) one encoder pass per hidden state and clip, as fadtk does; (bare) model(input_values) clip by clip, "
        "inputs in memory, nothing kept; CPU seconds, which other processes change little; (memory) a tenth of the "
        "clips; (a clip) its means of all states, float32",
        options.quick,
    )
    with scratch() as folder:
        source, both = both_domains(["angry"], max(options.clips, options.subset, options.memory))
        recordings = sorted(both["speech"], key=lambda r: (r.speaker, r.clip_id))
        print(f"recordings: {source}", flush=True)
        layers = write_base_encoder(folder / "encoder", options.quick)
        encoder = load(folder / "encoder", layers)
        # not measured: the first calls load code
        ours(encoder, recordings[:1], folder)
        pass_a_layer(encoder, recordings[:1], folder / "frames", states=1)
        against_layers(report, encoder, recordings[: options.subset], folder, options.rounds)
        reading(report, recordings[: options.clips], encoder.rate)
        against_bare(report, encoder, recordings[: options.clips], folder, options.rounds)
        memory(report, folder / "encoder", recordings[: options.memory], folder, layers)
        memory_of_a_clip(report, folder, options.short)
        disk_of_a_tuple(report, folder, options.stored)
    for offset in (0, 100):
        moments_of(report, options.frames, offset)
    time_of_moments(report, options.frames // 20, options.rounds)
    report.facts |= {
        "recordings": source,
        "threads": THREADS,
        "rounds": f"{options.rounds}, best of",
    }
    report.write()


def load(checkpoint: Path, layers: int) -> loading.Encoder:
    """Load the encoder as the workflow does."""
    return loading.load_entry(checkpoint, "bench", ENTRY | {"layers": layers}, "cpu")


def ours(encoder: loading.Encoder, recordings: list, folder: Path, block_of: dict[str, int] | None = None):
    """Do what a job of the workflow does, and write its files."""
    block_of = block_of or speaker_blocks({r.speaker for r in recordings}, BLOCKS)
    return write_embeddings(encoder, ENTRY, recordings, block_of, folder, "speech", "angry")[0]


def pass_a_layer(encoder: loading.Encoder, recordings: list, folder: Path, states: int) -> None:
    """Encode every clip once for every hidden state and store the frames as .npy, as fadtk does."""
    for state in range(states):
        for recording in recordings:
            with torch.inference_mode():
                out = encoder.model(waveforms(encoder, recording.path), output_hidden_states=True)
            path = folder / f"state{state:02d}" / f"{recording.clip_id}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, out.hidden_states[state][0].numpy())


def against_layers(report: Report, encoder: loading.Encoder, recordings: list, folder: Path, rounds: int) -> None:
    """Compare with one pass per layer; the clips are of one or few speakers, so blocks are few and large."""
    frames = folder / "frames"
    seconds, results = alternate(
        rounds,
        ours=lambda: ours(encoder, recordings, folder),
        reference=lambda: pass_a_layer(encoder, recordings, frames, encoder.layers + 1),
    )
    report.seconds["layers"] = seconds
    report.figure("layers", "CPU ratio", speedup(seconds), ">=", 12)
    worst = 0.0
    for state, pooled in enumerate(results["ours"].pooled):
        stored = (np.load(frames / f"state{state:02d}" / f"{r.clip_id}.npy") for r in recordings)
        worst = max(worst, np.abs(pooled - np.stack([f.mean(axis=0, dtype=np.float64) for f in stored])).max())
    best = {name: min(values) for name, values in seconds.items()}
    report.note(
        f"ours {best['ours']:.1f} s, one pass per layer {best['reference']:.1f} s for {len(recordings)} clips; "
        f"their clip means differ by {worst:.1e} at most"
    )


def reading(report: Report, recordings: list, rate: int) -> None:
    """Measure how fast one core reads and resamples."""
    torch.set_num_threads(1)
    seconds, lengths = timed(lambda: [len(audio.load(r.path, rate)) / rate for r in recordings], time.process_time)
    torch.set_num_threads(THREADS)
    report.seconds["reading"] = seconds
    report.note(f"one core reads and resamples at {sum(lengths) / seconds:.0f} times real time")


def against_bare(report: Report, encoder: loading.Encoder, recordings: list, folder: Path, rounds: int) -> None:
    """Compare with the encoder alone."""
    inputs = [waveforms(encoder, r.path) for r in recordings]

    def bare() -> None:
        with torch.inference_mode():
            for values in inputs:
                encoder.model(values)

    seconds, _ = alternate(rounds, ours=lambda: ours(encoder, recordings, folder), reference=bare)
    report.seconds["bare"] = seconds
    report.figure("bare", "CPU ratio", speedup(seconds), ">=", 0.95)
    best = {name: min(values) for name, values in seconds.items()}
    audio_seconds = sum(v.shape[1] for v in inputs) / encoder.rate
    report.note(
        f"ours {best['ours']:.1f} s, bare encoder {best['reference']:.1f} s for {len(recordings)} clips "
        f"({audio_seconds:.0f} s of audio)"
    )


def memory(report: Report, checkpoint: Path, recordings: list, folder: Path, layers: int) -> None:
    """Compare the peak memory of fresh processes that extract few and many clips into the same number of blocks."""
    block_of = speaker_blocks({r.speaker for r in recordings}, BLOCKS)
    tenth = recordings[::10]  # of RAVDESS, all blocks have clips in both
    few, many = (_in_fresh_process(checkpoint, some, folder, block_of, layers) for some in (tenth, recordings))
    report.seconds["peak MB"] = {str(len(tenth)): few, str(len(recordings)): many}
    report.figure("memory", "ratio", many / few, "<=", 1.15)
    report.note(f"peak {few:.0f} MB for {len(tenth)} clips, {many:.0f} MB for {len(recordings)}")


def memory_of_a_clip(report: Report, folder: Path, most: int) -> None:
    """Measure the memory that each clip adds, with thousands of very short clips through a small encoder."""
    model = transformers.Wav2Vec2Config(
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
    )
    transformers.Wav2Vec2Model(model).save_pretrained(folder / "small")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "small")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 400)
    soundfile.write(folder / "short.wav", noise, 16000)
    one = Recording("", str(folder / "short.wav"), "angry", "")
    # so many that both runs fill their batches, and all that may be read ahead
    counts, means = (most // 2, most), 5 * 256 * 4 / 1000
    few, many = (
        _in_fresh_process(
            folder / "small",
            [dataclasses.replace(one, clip_id=f"clip{i}", speaker=f"{i % BLOCKS}") for i in range(count)],
            folder,
            {f"{block}": block for block in range(BLOCKS)},
            4,
        )
        for count in counts
    )
    each = 1000 * (many - few) / (counts[1] - counts[0])
    report.seconds["peak MB, short clips"] = {str(n): peak for n, peak in zip(counts, (few, many), strict=True)}
    report.figure("a clip", "kB", each, "<=", 2 * means)
    report.note(
        f"{few - counts[0] * each / 1000:.0f} MB beyond that; its means of 5 states of width 256: {means:.1f} kB"
    )


def disk_of_a_tuple(report: Report, folder: Path, count: int) -> None:
    """Measure the file of one layer for few and for ten times as many clips: moments, and one row of means per clip."""
    d, rng = 768, np.random.default_rng(0)
    sizes = []
    for n in (count, 10 * count):
        moments = (np.ones(BLOCKS, dtype=np.int64), np.zeros((1, BLOCKS, d)))
        scatter = rng.standard_normal((1, BLOCKS, d * (d + 1) // 2), dtype=np.float32)
        means = rng.standard_normal((1, n, d), dtype=np.float32)
        names = [f"03-01-05-01-01-01-{i:05}" for i in range(n)]
        result = store.Embeddings(names, np.ones(n, dtype=np.int64), means, *moments, scatter)
        store.write(folder / f"{n}.h5", result, 0, {})
        sizes.append((folder / f"{n}.h5").stat().st_size)
    each = (sizes[1] - sizes[0]) / (9 * count)
    report.facts["bytes of a layer"] = {str(n): size for n, size in zip((count, 10 * count), sizes, strict=True)}
    report.figure("disk: a clip in a layer", "times its means", each / (4 * d), "<=", 1.05)
    # scatter, packed in float32, and means of the blocks in float64
    constant = BLOCKS * (d * (d + 1) // 2 * 4 + d * 8)
    report.figure("disk: moments of a layer", "times their numbers", (sizes[0] - count * each) / constant, "<=", 1.01)


def moments_of(report: Report, frames: int, offset: float) -> None:
    """Compare the FAD of two made-up corpora from moments, whose products are in float32, with that in float64.

    The mean of a channel is `offset` times its standard deviation; variances span six orders of magnitude.
    """
    width, size = 256, 2000
    rng = np.random.default_rng(0)
    scale = 10 ** -np.linspace(0, 3, width)
    owner = torch.ones(1, size)
    sides = []
    deviation = np.sqrt(np.mean(scale**2))  # of a channel, after the rotation
    for corpus in range(2):
        mixing = np.linalg.qr(rng.standard_normal((width, width)))[0]
        ours, count = Sums(1, width, torch.device("cpu")), frames // 2 // size * size
        square, linear = (torch.zeros(shape, dtype=torch.float64) for shape in ((width, width), width))
        for _ in range(count // size):
            batch = (rng.standard_normal((size, width)) * scale) @ mixing
            batch += (offset + 0.3 * corpus) * deviation
            batch = torch.from_numpy(batch.astype(np.float32))
            ours.add(0, batch, owner)
            exact = batch.double() - offset * deviation
            square.addmm_(exact.T, exact)
            linear += exact.sum(dim=0)
        mean = (linear / count).numpy()
        found = ours.moments(0)
        upper = np.triu(found.scatter)
        sides.append(
            (
                Moments(count, found.mean, upper + np.triu(upper, 1).T),
                Moments(count, mean + offset * deviation, square.numpy() - count * np.outer(mean, mean)),
            )
        )
    fads = [fad.frechet(a, b).fad for a, b in zip(*sides, strict=True)]
    traces = sum(np.trace(exact.covariance) for _, exact in sides)
    name = f"FAD from moments of {frames:,} frames, means of {offset} deviations"
    report.figure(name, "error, of the traces", abs(fads[0] - fads[1]) / traces, "<=", 1e-6)


def time_of_moments(report: Report, frames: int, rounds: int) -> None:
    """Compare the time of moments, whose products are in float32, with the same in float64."""
    batch = torch.from_numpy(np.random.default_rng(0).standard_normal((1500, 768), dtype=np.float32))
    # eight clips
    owner = torch.repeat_interleave(torch.eye(8), torch.tensor([187] * 7 + [191]), dim=1)
    sums = {"ours": Sums(1, 768, torch.device("cpu")), "reference": Sums(1, 768, torch.device("cpu"))}

    def add(name: str) -> None:
        for _ in range(max(1, frames // len(batch))):
            if name == "ours":
                sums[name].add(0, batch, owner)
            else:
                sums[name].add(0, batch.double(), owner.double())

    # not measured: the first calls load code
    for name in sums:
        add(name)
    seconds, _ = alternate(rounds, ours=partial(add, "ours"), reference=partial(add, "reference"))
    report.seconds["moments"] = seconds
    report.figure("moments, products in float32", "CPU ratio to float64", speedup(seconds), ">=", 1)


def _in_fresh_process(*arguments) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, *arguments).result()


def _peak(checkpoint: Path, recordings: list, folder: Path, block_of: dict, layers: int) -> float:
    ours(load(checkpoint, layers), recordings, folder, block_of)
    return peak_megabytes()


if __name__ == "__main__":
    main()
