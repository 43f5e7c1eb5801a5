"""On a GPU: extraction of RAVDESS and a stage of peft, beside plain transformers and plain peft.

It measures wall-clock time, the peak of the GPU's memory, and the share of time in which the GPU computes. With
`--quick`, every step runs once on very little data, on the CPU where there is no GPU.
"""

from __future__ import annotations

import argparse
import os

# before any import loads a BLAS; a job on a GPU has one thread
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from common import Report, both_domains, parse, scratch, timed, waveforms, write_base_encoder, write_embeddings
from plain_peft import CLIPS, EMOTIONS, EPOCHS, TRAIN, VALIDATION, Plain, as_in_the_workflow
from speechsong.adaptation import stages, training
from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording, speaker_blocks
from speechsong.distances import fad
from speechsong.embeddings.extract import extract
from speechsong.encoders import devices, loading

BLOCKS, WINDOW = 10, 30
PRECISIONS = ("float32", "bfloat16")
# peak of bf16 on the tensor cores, without sparsity, by a part of the card's name
PEAK_FLOPS = {"H100 80GB HBM3": 989e12, "H200": 989e12}
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=184, help="clips of each emotion and domain (default 184: all)")
    parser.add_argument("--steps", type=int, default=50, help="steps of peft (default 50)")
    parser.add_argument("--batch", type=int, default=32, help="clips per step of peft (default 32)")
    options = parse(parser, clips=2, steps=2, batch=2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.quick:
        print("gpu: skipped, because torch sees no GPU of NVIDIA or AMD")
        return
    report = Report(
        "gpu",
        "extraction of six emotions of speech and song through wav2vec2-base with random weights; a stage of peft of "
        "300 epochs",
        "clip by clip, `model(input_values, output_hidden_states=True)` of transformers and the means of its states, "
        "without moments or files, float32 without TF32 as ours; `model(waveforms)` with LoRA of `peft` and the same "
        "adapters as hooks, batches in random order, padded to the longest",
        options.quick,
    )
    source, recordings = both_domains(EMOTIONS, options.clips)
    print(f"recordings: {source}", flush=True)
    # the first to read a file would wait for the disk
    for recording in (r for some in recordings.values() for r in some):
        Path(recording.path).read_bytes()
    with scratch() as folder:
        layers = write_base_encoder(folder / "encoder", options.quick)
        extraction(report, folder, recordings, layers, device)
        peft(report, folder / "encoder", recordings["speech"], options.steps, options.batch, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    report.facts |= {"device": name, "recordings": source, "clips": {d: len(some) for d, some in recordings.items()}}
    report.write()


def clock(device: torch.device) -> Callable[[], float]:
    """Return a clock that waits for what the GPU has still to do."""

    def seconds() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return seconds


def peak_gibibytes(device: torch.device) -> float:
    """Return the peak of the GPU's memory since the last call, and begin anew; 0 on a CPU."""
    # what was measured before may hold on to itself
    gc.collect()
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return peak


def busy(device: torch.device, work: Callable[[], object]) -> float:
    """Return the share of time in which the device computes while `work` runs; profiling takes some of it itself."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        spent, _ = timed(work, clock(device))
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    return sum(getattr(event, field) for event in found.key_averages()) / 1e6 / spent


def extraction(
    report: Report, folder: Path, recordings: dict[str, list[Recording]], layers: int, device: torch.device
) -> None:
    """Compare extraction in both precisions with plain transformers, and FAD of the last state in both."""
    everyone = [r for some in recordings.values() for r in some]
    blocks = speaker_blocks({r.speaker for r in everyone}, BLOCKS)
    entry = {"checkpoint": "wav2vec2-base, random weights", "layers": layers, "window_seconds": WINDOW}
    spent: dict[str, float] = {}
    last: dict[str, list[list[str]]] = {}
    for precision in PRECISIONS:
        encoder = loading.load_entry(folder / "encoder", "bench", entry | {"precision": precision}, device.type)
        # not measured: the first calls load code
        extract(encoder, everyone[:1], blocks)
        peak_gibibytes(device)
        seconds, means, last[precision] = 0.0, [], []
        for domain, some in recordings.items():
            paths = []
            for emotion in EMOTIONS:
                chosen = [r for r in some if r.emotion == emotion]
                work = partial(write_embeddings, encoder, entry, chosen, blocks, folder / precision, domain, emotion)
                took, (found, written) = timed(work, clock(device))
                seconds += took
                means.append(found.pooled)
                paths.append(str(written[-1]))
            last[precision].append(paths)
        memory = peak_gibibytes(device)
        # the last emotion once more
        share = busy(device, work)
        # out of the memory that is measured next
        encoder.model.cpu()
        model = transformers.AutoModel.from_pretrained(folder / "encoder").eval().to(device)
        plainly(model, encoder, everyone[:1])
        peak_gibibytes(device)
        plain, expected = timed(partial(plainly, model, encoder, everyone), clock(device))
        memory_plain = peak_gibibytes(device)
        del model
        spent[precision], spent[f"plain, {precision}"] = seconds, plain
        report.figure(f"extraction in {precision}, beside plain transformers", "ratio", plain / seconds, ">=", 1)
        if precision == "float32":
            apart = np.abs(np.concatenate(means, axis=1) - expected).max() / np.abs(expected).max()
            report.figure("clip means, beside plain transformers", "relative difference", float(apart), "<=", 1e-3)
        audio_seconds = sum(audio.seconds(r.path) for r in everyone)
        report.note(
            f"{precision}: {seconds:.1f} s for {len(everyone)} clips ({audio_seconds / seconds:.0f} times real time), "
            f"{memory:.2f} GiB, computing {share:.0%} of the time; plain {plain:.1f} s, {memory_plain:.2f} GiB"
        )
    report.seconds["extraction"] = spent
    report.figure("extraction", "float32 / bfloat16", spent["float32"] / spent["bfloat16"], ">=", 3)
    tables = []
    for of_domain in last.values():
        files = dict(zip(recordings, of_domain, strict=True))
        tables.append(fad.run(files, model="bench", layer=layers, emotions=EMOTIONS, paired=True)[0])
    moved = [abs(a["fad"] - b["fad"]) / a["std_error"] for a, b in zip(*tables, strict=True)]
    report.figure("FAD of the last state, bfloat16", "standard errors from float32", max(moved), "<=", 1)


@torch.inference_mode()
def plainly(model, encoder: loading.Encoder, recordings: list[Recording]) -> np.ndarray:
    """Compute clip means (states, clips, d) with transformers alone."""
    means = []
    for recording in recordings:
        values = waveforms(encoder, recording.path)
        with devices.autocast(encoder.device, encoder.precision):
            states = model(values.to(encoder.device), output_hidden_states=True).hidden_states
        means.append(torch.stack([state[0].float().mean(dim=0) for state in states]).cpu().numpy())
    return np.stack(means, axis=1)


def peft(
    report: Report, checkpoint: Path, recordings: list[Recording], steps: int, batch: int, device: torch.device
) -> None:
    """Compare steps of peft in bfloat16 with plain ones, and extrapolate to a stage of the paper."""
    chosen = stages.Training(1, 1e-4, 0.01, batch)
    rng = np.random.default_rng(0)
    some = [recordings[i] for i in rng.permutation(len(recordings))[: 2 * batch]]
    clips = len(some)
    epochs = [training.batches(np.arange(clips), batch, rng) for _ in range(max(1, steps * batch // clips))]
    spent_plain, memory_plain = plain_steps(Plain(checkpoint, some, chosen, device.type, "bfloat16"), epochs, device)
    learner, domain = as_in_the_workflow(checkpoint, some, chosen, device.type, "bfloat16")
    rows = domain.split.train
    # the first front includes the time to start the GPU
    domain.inputs[0]
    prepared, _ = timed(lambda: [domain.inputs[i] for i in rows[1:]], clock(device))
    with FlopCounterMode(display=False) as counter:
        learner.train_epoch(domain, epochs[0])
    peak_gibibytes(device)
    spent, _ = timed(lambda: [learner.train_epoch(domain, batches) for batches in epochs], clock(device))
    memory = peak_gibibytes(device)
    share = busy(device, partial(learner.train_epoch, domain, epochs[0]))
    # not measured: the first call opens every file to learn its length
    learner.logits(domain, rows)
    evaluated, _ = timed(partial(learner.logits, domain, rows), clock(device))
    report.seconds["peft"] = {"ours": spent, "plain": spent_plain}
    report.figure("peft step in bfloat16, fronts at hand, beside plain peft", "ratio", spent_plain / spent, ">=", 1.4)
    a_second = len(epochs) * clips / spent
    # the fronts of the whole domain once, then the epochs
    stage = CLIPS * prepared / (clips - 1) + EPOCHS * (TRAIN / a_second + VALIDATION * evaluated / clips)
    report.figure("a stage of 300 epochs", "minutes", stage / 60, "<", 8)
    rate = counter.get_total_flops() / clips * a_second
    name = torch.cuda.get_device_name() if device.type == "cuda" else ""
    of_peak = "".join(f", {rate / peak:.1%} of its bf16 peak" for part, peak in PEAK_FLOPS.items() if part in name)
    report.note(
        f"{a_second:.0f} clips a second, computing {share:.0%} of the time, {rate / 1e12:.1f} TFLOP/s{of_peak}, "
        f"{memory:.2f} GiB; plain {len(epochs) * clips / spent_plain:.0f} clips a second, {memory_plain:.2f} GiB; "
        f"fronts {(clips - 1) / prepared:.0f} clips a second"
    )


def plain_steps(plain: Plain, epochs: list[list[np.ndarray]], device: torch.device) -> tuple[float, float]:
    """Time the epochs of plain peft; return seconds and the peak of the GPU's memory in GiB."""
    # not measured: the first calls load code
    plain.train_epoch(epochs[0])
    peak_gibibytes(device)
    spent, _ = timed(lambda: [plain.train_epoch(batches) for batches in epochs], clock(device))
    return spent, peak_gibibytes(device)


if __name__ == "__main__":
    main()
