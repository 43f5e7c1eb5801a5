"""Adaptation: a training step of peft against a plain one; all of baseline and ws."""

import argparse
import os

# before any import loads a BLAS; a job of baseline or ws has one thread, and PyTorch's number is set below
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import time
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy

from common import WHISPER, Report, alternate, both_domains, parse, scratch, speedup, timed, write_base_encoder
from plain_peft import CLIPS, EMOTIONS, EPOCHS, TRAIN, VALIDATION, Plain, as_in_the_workflow
from speechsong import files
from speechsong.adaptation import adapters, fronts, learners, stages, training
from speechsong.adaptation.domains import pooled_domains
from speechsong.corpora.recordings import Recording
from speechsong.embeddings import store
from speechsong.encoders import loading

THREADS = 2
LAYERS, SEEDS = 12, 5


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=32, help="clips per epoch of peft (default 32)")
    parser.add_argument("--batch", type=int, default=8, help="clips per step of peft (default 8)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, the best counts (default 2)")
    parser.set_defaults(epochs=EPOCHS, seeds=SEEDS)
    options = parse(parser, clips=4, batch=2, rounds=1, epochs=2, seeds=1)
    torch.set_num_threads(THREADS)
    transformers.utils.logging.disable_progress_bar()
    report = Report(
        "adaptation",
        "an epoch of peft (forward, backward, AdamW; wav2vec2-base); baseline and ws: 300 epochs, five seeds",
        "model(waveforms) of transformers with LoRA of `peft` and the same adapters as hooks, batches in random order, "
        "padded to the longest",
        options.quick,
    )
    with scratch() as folder:
        write_base_encoder(folder / "encoder", options.quick)
        source, recordings = speech(options.clips)
        print(f"recordings: {source}", flush=True)
        peft(report, folder / "encoder", recordings, options.batch, options.rounds)
        gates(report, folder / "encoder", recordings)
        # as in a job of baseline or ws
        torch.set_num_threads(1)
        linear(report, folder, options.seeds, options.epochs)
        torch.set_num_threads(THREADS)
    report.facts |= {"recordings": source, "clips": options.clips, "batch": options.batch, "threads": THREADS}
    report.write()


def speech(count: int) -> tuple[str, list[Recording]]:
    """Draw speech of all emotions from RAVDESS, or from synthetic voices."""
    source, recordings = both_domains(EMOTIONS, CLIPS)
    some = recordings["speech"]
    return source, [some[i] for i in np.random.default_rng(0).permutation(len(some))[:count]]


@torch.no_grad()
def disturb(model: adapters.Adapted) -> None:
    """Move the trained parts away from their initial values, by the same amounts in every model."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.trained().values():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def peft(report: Report, checkpoint: Path, recordings: list, batch: int, rounds: int) -> None:
    """Compare the time of an epoch of training, and the loss and gradients of single clips."""
    chosen = stages.Training(1, 1e-4, 0.01, batch)
    learner, domain = as_in_the_workflow(checkpoint, recordings, chosen)
    plain = Plain(checkpoint, recordings, chosen)
    model, kept = learner.model, domain.inputs
    assert isinstance(kept, fronts.Fronts)
    rows, answers = domain.split.train, torch.from_numpy(domain.answers)
    spent, _ = timed(lambda: [kept[i] for i in rows])
    # initially half of the trained parts are zero, which would hide the other half
    for parts in (model, plain.parts):
        disturb(parts)
    # clip by clip: padding would affect the features of the plain implementation
    losses, slopes = [], []
    for i in rows[:4]:
        for parts, loss in (
            (model, cross_entropy(model([kept[i]]), answers[i : i + 1])),
            (plain.parts, plain.loss(rows[i : i + 1])),
        ):
            parts.zero_grad()
            loss.backward()
            losses.append(loss.item())
        ours, theirs = model.trained(), plain.parts.trained()
        slopes += [float((ours[n].grad - theirs[n].grad).norm() / theirs[n].grad.norm()) for n in ours]
    report.figure("peft loss", "difference", float(np.abs(np.diff(np.reshape(losses, (-1, 2)))).max()), "<=", 1e-4)
    report.figure("peft gradients", "relative difference", max(slopes), "<=", 1e-3)
    rng = np.random.default_rng(1)
    seconds, _ = alternate(
        rounds,
        ours=lambda: learner.train_epoch(domain, training.batches(rows, batch, rng)),
        reference=lambda: plain.train_epoch(training.batches(rows, batch, rng)),
    )
    report.seconds["peft"] = seconds
    report.figure("peft step", "CPU ratio", speedup(seconds), ">=", 1.4)
    total = sum(kept.seconds(i) for i in rows)
    best = min(seconds["ours"])
    report.note(
        f"ours {best:.1f} s of CPU, plain {min(seconds['reference']):.1f} s for {len(rows)} clips ({total:.0f} s of "
        f"audio); fronts once {spent:.1f} s by the clock; {best / total / 12:.4f} s for a second of audio, epoch and "
        "block"
    )


@torch.no_grad()
def gates(report: Report, base: Path, recordings: list) -> None:
    """Compare clip means of the last state before training with those of the frozen encoder, for each form of gate."""
    places = {"wav2vec2-base, random weights": (base, 30.0)}
    if WHISPER.is_dir():
        places["whisper"] = (WHISPER, 8.0)
    for name, (place, window) in places.items():
        for gate in adapters.GATES:
            encoder = loading.load(place, name="bench", layers=None, window_seconds=window, device="cpu")
            read = [fronts.front(encoder, r.path) for r in recordings]
            last = encoder.layers
            frozen = np.concatenate([fronts.clip_means(encoder, clip, [last]) for clip in read])
            settings = adapters.Settings(width=64, gate=gate, layers=(last,))
            model = adapters.Adapted(encoder, settings, len(EMOTIONS), seed=0)
            # of a single layer, what reaches the head is its mean
            model.head = torch.nn.Identity()
            likeness = cka(frozen, np.concatenate([model([clip]).numpy() for clip in read]))
            if gate == "sigmoid":
                report.note(f"{name}: CKA of the last state before training {likeness:.3f} with the gate `sigmoid`")
            else:
                report.figure(f"{name}, gate `{gate}`", "CKA before training", likeness, ">=", 0.9999)


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """Compute linear CKA (Kornblith et al. 2019) of two sets of features (N, d) of the same clips."""
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (a, b))
    return float(np.sum((a.T @ b) ** 2) / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b))


def linear(report: Report, folder: Path, seeds: int, epochs: int) -> None:
    """Time baseline and ws as jobs run them, including files: five seeds, both stages and directions."""
    rng = np.random.default_rng(0)
    files_of = {d: _embeddings(folder, d, rng) for d in ("speech", "music")}
    parts = np.array(["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * (CLIPS - TRAIN - VALIDATION))
    names = [f"{i:04d}" for i in range(CLIPS)]
    start = time.process_time()
    for seed in range(seeds):
        split = folder / f"random-{seed}.csv"
        drawn = {d: rng.permutation(parts) for d in files_of}
        files.write_rows(
            split,
            [{"clip_id": c, "domain": d, "part": p} for d in files_of for c, p in zip(names, drawn[d], strict=True)],
        )
        for approach in ("baseline", "ws"):
            for source, target in (("speech", "music"), ("music", "speech")):
                for to in (None, target):
                    _stage(folder, approach, seed, source, to, split, files_of, epochs)
    report.figure("baseline and ws", "CPU seconds", time.process_time() - start, "<=", 180)


def _embeddings(folder: Path, domain: str, rng: np.random.Generator) -> list[str]:
    """Write the embeddings of one domain: layer by layer, and emotion by emotion in each."""
    paths = []
    for layer in range(1, LAYERS + 1):
        for emotion, some in zip(EMOTIONS, np.array_split(np.arange(CLIPS), len(EMOTIONS)), strict=True):
            # only one hidden state is written, as this layer; moments are not read here
            pooled = np.broadcast_to(
                rng.standard_normal((len(some), 768)).astype(np.float32), (layer + 1, len(some), 768)
            )
            none = np.zeros((layer + 1, 1, 1))
            ids, count = [f"{i:04d}" for i in some], np.ones(1, int)
            made = store.Embeddings(ids, np.ones(len(some), int), pooled, count, none, none)
            said = {"model": "bench", "domain": domain, "emotion": emotion, "family": "wav2vec2", "weights": "bench"}
            paths.append(str(folder / f"bench/{domain}/layer{layer:02d}/{emotion}.h5"))
            store.write(paths[-1], made, layer, said)
    return paths


def _stage(folder, approach, seed, source, target, split, files_of, epochs) -> None:
    name = "-".join(filter(None, (source, target)))
    base = folder / approach / str(seed)
    params = {
        **{"model": "bench", "approach": approach, "protocol": "random", "seed": seed, "source": source},
        "tested": list(dict.fromkeys([target or source, *([source] if target else files_of)])),
        **{"target": target, "emotions": EMOTIONS, "layers": list(range(1, 13)), "adapters": {}},
        "encoder": {"checkpoint": "bench", "layers": 12, "window_seconds": 30},
        "edits": {},
        "training": {"epochs": epochs, "learning_rate": 1e-3, "weight_decay": 0.01, "batch_size": 32},
    }
    stage = stages.stage(params, str(split), str(base / f"{source}.safetensors") if target else None, "bench")
    domains = pooled_domains(stage, {d: files_of[d] for d in stage.tested})
    outputs = {
        "checkpoint": base / f"{name}.safetensors",
        "table": base / f"{name}.csv",
        "predictions": base / f"{name}-predictions.csv",
    }
    training.run(stage, learners.linear_learner(stage, domains), domains, base / "state" / name, [], outputs)


if __name__ == "__main__":
    main()
