"""FAD of every layer by fadtk itself and by this workflow, from the same clips and encoder: time, and the values.

fadtk 1.1 (Gui et al. 2024, "Adapting Frechet Audio Distance for generative music evaluation") must lie in build/fadtk,
where `make build/fadtk` puts it. Its model loaders, statistics and FAD are used as they are. Its function that reads
files is not: torchaudio no longer reads them without further packages. Its resampler is called with its settings; the
time of that is not counted for fadtk.
"""

import argparse
import os

# before any import loads a BLAS
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2"))
# fadtk takes a GPU where there is one; this compares on the CPU
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import contextlib
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch
import torchaudio
import transformers
from threadpoolctl import threadpool_limits

from common import ROOT, Report, both_domains, parse, scratch, write_base_encoder, write_embeddings
from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording, speaker_blocks
from speechsong.distances import fad
from speechsong.embeddings.store import read_blocks
from speechsong.encoders import devices, loading

PEER = ROOT / "build" / "fadtk"
THREADS, BLOCKS, RATE, EMOTION = 2, 10, 16_000, "angry"
ENTRY = {"checkpoint": "wav2vec2-base, random weights", "window_seconds": 30}
torch.set_num_threads(THREADS)
transformers.utils.logging.disable_progress_bar()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20, help="clips of each domain (default 20)")
    parser.add_argument(
        "--many", type=int, default=184, help="clips of each domain in the large comparison (default 184)"
    )
    parser.add_argument("--states", type=int, default=2, help="states that fadtk measures of it (default 2)")
    options = parse(parser, clips=2, many=3)
    if not PEER.exists():
        print("peer: skipped, because fadtk is not in build/fadtk; `make build/fadtk` installs it there")
        return
    report = Report(
        "peer",
        "FAD of all hidden states (wav2vec2-base), extraction included: alone, as fadtk computes it, and with all "
        "columns (errors from 10 blocks, matched sizes, halves)",
        "fadtk 1.1: one pass of the encoder and one folder of frames for each hidden state; CPU seconds, because its "
        "pools of processes and the machine's other work share the cores",
        options.quick,
    )
    with scratch() as folder:
        layers = write_base_encoder(folder / "encoder", options.quick)
        # fadtk loads a tokenizer too
        tokens = {token: number for number, token in enumerate(("<pad>", "<s>", "</s>", "<unk>", "|"))}
        (folder / "encoder" / "vocab.json").write_text(json.dumps(tokens))
        fast = options.quick or devices.precision(torch.device("cpu"), "auto") == "bfloat16"
        precisions = ["float32", "bfloat16"] if fast else ["float32"]
        all_states = list(range(layers + 1))
        source, recordings = both_domains([EMOTION], options.many)
        few = {d: some[: options.clips] for d, some in recordings.items()}
        converted, of = compare(report, folder, few, layers, all_states, precisions)
        # the first states take fadtk as long as all others, which the first comparison shows
        compare(report, folder, recordings, layers, all_states[: options.states], ["float32"])
        table, worst = decomposition(folder / "encoder", few, converted, of, layers)
    report.figure("ours against fadtk's formula on equal frames", "of the traces", worst, "<=", 1e-6)
    report.note("FAD by hidden state, step by step from ours to fadtk's:\n" + table.round(4).to_string(index=False))
    report.facts |= {"recordings": source, "emotion": EMOTION, "threads": f"{THREADS}, and 1 for FAD"}
    report.facts["values"] = table.to_dict("records")
    report.write()


def compare(
    report: Report,
    folder: Path,
    recordings: dict[str, list[Recording]],
    layers: int,
    states: list[int],
    precisions: list[str],
) -> tuple[dict[str, list[Path]], dict[str, list[float]]]:
    """Measure fadtk, for some of the hidden states, and ours; return the files that fadtk read, and all values."""
    name = " + ".join(str(len(some)) for some in recordings.values()) + " clips"
    place = folder / f"{name}, {len(states)} states"
    converted = {d: [convert(r, place / "fadtk" / d) for r in some] for d, some in recordings.items()}
    # not measured: the first calls load code
    first = {d: [convert(some[0], place / "first" / d)] for d, some in recordings.items()}
    by_fadtk(folder / "encoder", first, states[:1])
    embed(folder / "encoder", {d: some[:1] for d, some in recordings.items()}, layers, place / "first", "float32")
    spent, of = {}, {}
    spent["fadtk"], (of["fadtk"], of_states) = measured(partial(by_fadtk, folder / "encoder", converted, states))
    scaled = (layers + 1) / len(states)
    report.note(f"{name}: CPU seconds of fadtk by hidden state: " + " ".join(f"{each:.1f}" for each in of_states))
    for precision in precisions:
        work = partial(embed, folder / "encoder", recordings, layers, place / precision, precision)
        spent[f"extraction in {precision}"], paths = measured(work)
        # as a job of FAD, which has one thread
        with threadpool_limits(1):
            spent[f"FAD alone, {precision}"], of[precision] = measured(partial(alone, paths))
            spent[f"FAD with all columns, {precision}"], _ = measured(partial(with_all_columns, paths))
        for kind in ("FAD alone", "FAD with all columns"):
            ours = spent[f"extraction in {precision}"]["CPU"] + spent[f"{kind}, {precision}"]["CPU"]
            ratio = spent["fadtk"]["CPU"] * scaled / ours
            report.figure(f"{name}: extraction in {precision}, {kind}", "CPU ratio to fadtk", ratio, ">=", 10)
    report.seconds[name] = spent
    for work_name, seconds in spent.items():
        share = f", {len(states)} of {layers + 1} hidden states" if work_name == "fadtk" and scaled > 1 else ""
        report.note(f"{work_name}: {seconds['CPU']:.1f} s of CPU, {seconds['wall']:.1f} s by the clock{share}")
    return converted, of


def measured(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Call `work`; return its seconds, of the CPU with those of its processes and by the clock, and what it returns."""
    times, start = os.times(), time.perf_counter()
    result = work()
    wall, after = time.perf_counter() - start, os.times()
    return {"CPU": sum(after[:4]) - sum(times[:4]), "wall": wall}, result


def convert(recording: Recording, folder: Path) -> Path:
    """Resample a recording to 16 bits with the settings of fadtk, to where fadtk looks for it."""
    path = folder / "convert" / str(RATE) / f"{recording.clip_id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    samples, rate = soundfile.read(recording.path, dtype="float32", always_2d=True)
    resampler = torchaudio.transforms.Resample(
        rate,
        RATE,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    resampled = resampler(torch.from_numpy(samples).mean(dim=1)).clamp(-1, 1)
    soundfile.write(path, resampled.numpy(), RATE, subtype="PCM_16")
    return folder / path.name


def by_fadtk(checkpoint: Path, converted: dict[str, list[Path]], states: list[int]) -> tuple[list[float], list[float]]:
    """Compute FAD of hidden states as fadtk does, one model of it for each; return FADs and CPU seconds."""
    if str(PEER) not in sys.path:
        sys.path.append(str(PEER))
    from fadtk.fad import FrechetAudioDistance
    from fadtk.model_loader import W2V2Model

    logging.disable()

    def work(layer: int) -> float:
        model = W2V2Model("base", layer)
        model.huggingface_id = str(checkpoint)
        measure = FrechetAudioDistance(model, audio_load_worker=THREADS)
        for path in (path for some in converted.values() for path in some):
            measure.cache_embedding_file(path)
        # one thread, as ours
        with threadpool_limits(1):
            return float(measure.score(*(some[0].parent for some in converted.values())))

    # progress bars
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        found = [measured(partial(work, layer)) for layer in states]
    logging.disable(logging.NOTSET)
    torch.set_grad_enabled(True)
    return [value for _, value in found], [seconds["CPU"] for seconds, _ in found]


def embed(
    checkpoint: Path, recordings: dict[str, list[Recording]], layers: int, folder: Path, precision: str
) -> dict[str, list[Path]]:
    """Extract both domains as the workflow does; return the file of each hidden state."""
    entry = ENTRY | {"layers": layers, "precision": precision}
    encoder = loading.load_entry(checkpoint, "bench", entry, "cpu")
    blocks = speaker_blocks({r.speaker for some in recordings.values() for r in some}, BLOCKS)
    return {d: write_embeddings(encoder, entry, some, blocks, folder, d, EMOTION)[1] for d, some in recordings.items()}


def alone(paths: dict[str, list[Path]]) -> list[float]:
    """Compute the FAD of every hidden state."""
    return [
        fad.frechet(*(read_blocks(path)[0].merge() for path in both)).fad for both in zip(*paths.values(), strict=True)
    ]


def with_all_columns(paths: dict[str, list[Path]]) -> None:
    """Compute what the workflow keeps of every hidden state."""
    for layer, both in enumerate(zip(*paths.values(), strict=True)):
        of_domain = {domain: [str(path)] for domain, path in zip(paths, both, strict=True)}
        fad.run(of_domain, model="bench", layer=layer, emotions=[EMOTION], paired=True)


def decomposition(
    checkpoint: Path,
    recordings: dict[str, list[Recording]],
    converted: dict[str, list[Path]],
    of: dict[str, list[float]],
    layers: int,
) -> tuple[pd.DataFrame, float]:
    """Go from our FAD to that of fadtk in steps, each by fadtk's own formula on frames that are held in memory.

    What is left after the last step is that fadtk rounds the mean of each clip to float16.

    Returns
    -------
    table : DataFrame
        One row per hidden state.
    worst : float
        The largest difference between our FAD and that of the formula on the same frames, in units of the two traces.
    """
    from fadtk.fad import calc_embd_statistics, calc_frechet_distance

    encoder = loading.load_entry(checkpoint, "bench", ENTRY | {"layers": layers}, "cpu")
    # as we read a recording; then with the resampler and the 16 bits of fadtk
    read = {d: [audio.load(r.path, RATE) for r in some] for d, some in recordings.items()}
    read_16 = {
        d: [soundfile.read(path.parent / "convert" / str(RATE) / path.name)[0].astype(np.float32) for path in some]
        for d, some in converted.items()
    }
    rows, worst = [], 0.0
    frames, frames_16 = ([_frames(encoder, some) for some in samples.values()] for samples in (read, read_16))
    for layer in range(layers + 1):
        steps = {}
        for name, sides, kind in (
            ("its formula", frames, np.float64),
            ("and float16", frames, np.float16),
            ("and its recordings", frames_16, np.float16),
        ):
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                statistics = [calc_embd_statistics(side[layer].astype(kind).astype(np.float64)) for side in sides]
                steps[name] = float(np.real(calc_frechet_distance(*statistics[0], *statistics[1])))
            if kind == np.float64:
                traces = sum(np.trace(covariance) for _, covariance in statistics)
        worst = max(worst, abs(of["float32"][layer] - steps["its formula"]) / traces)
        ends = {f"ours, {precision}": of[precision][layer] for precision in ("bfloat16", "float32") if precision in of}
        rows.append({"state": layer} | ends | steps | {"fadtk": of["fadtk"][layer]})
    return pd.DataFrame(rows), worst


def _frames(encoder: loading.Encoder, clips: list[np.ndarray]) -> list[np.ndarray]:
    """Run clips through transformers' model one by one; return the frames (m, d) of every hidden state."""
    parts = []
    with torch.inference_mode():
        for samples in clips:
            values = encoder.extractor(samples, sampling_rate=RATE, return_tensors="pt").input_values
            parts.append(encoder.model(values, output_hidden_states=True).hidden_states)
    return [torch.cat(same, dim=1)[0].numpy() for same in zip(*parts, strict=True)]


if __name__ == "__main__":
    main()
