"""Adaptation: a training step of peft against a plain one; all of baseline and ws; a stage of peft on a GPU if any."""

import argparse
import os

# before any import loads a BLAS; a job of baseline or ws has one thread, and PyTorch's number is set below
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import time
from pathlib import Path

import numpy as np
import torch
import transformers

from common import RESULTS, SHARED, WHISPER, Report, alternate, parse, scratch, speedup, timed, write_base_encoder
from speechsong import files
from speechsong.adaptation import adapters, fronts, learners, stages, training
from speechsong.adaptation.domains import Domain, pooled_domains
from speechsong.corpora import audio, readers, zenodo
from speechsong.corpora.recordings import Recording
from speechsong.demo import voices
from speechsong.embeddings import store
from speechsong.embeddings.features import Split
from speechsong.encoders import loading
from speechsong.encoders.forward import prepare

THREADS = 2
EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
# the paper's split of a domain, and its training
CLIPS, TRAIN, VALIDATION, EPOCHS = 1012, 607, 202, 300
LAYERS, SEEDS = 12, 5
# peak of bf16 on the tensor cores, without sparsity, by a part of the card's name
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=32, help="clips per epoch of peft (default 32)")
    parser.add_argument("--batch", type=int, default=8, help="clips per step of peft (default 8)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, the best counts (default 2)")
    parser.set_defaults(layers=LAYERS, epochs=EPOCHS, seeds=SEEDS)
    options = parse(parser, clips=4, batch=2, rounds=1, layers=1, epochs=2, seeds=1)
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
        write_base_encoder(folder / "encoder", options.layers)
        source, recordings = clips(options.clips)
        print(f"recordings: {source}", flush=True)
        peft(report, folder / "encoder", recordings, options.batch, options.rounds)
        gates(report, folder / "encoder", recordings)
        # as in a job of baseline or ws
        torch.set_num_threads(1)
        linear(report, folder, options.seeds, options.epochs)
        torch.set_num_threads(THREADS)
        if torch.cuda.is_available():
            gpu(report, folder / "encoder", recordings)
    report.facts |= {"recordings": source, "clips": options.clips, "batch": options.batch, "threads": THREADS}
    report.write()


def clips(count: int) -> tuple[str, list[Recording]]:
    """Draw speech of RAVDESS, or make synthetic voices."""
    if SHARED.exists():
        found = readers.scan("speech", {"reader": "ravdess", "root": str(SHARED), "channel": "speech"})
        source = "RAVDESS speech"
    else:
        paths = [str(RESULTS / "voices" / n) for n in zenodo.ravdess_recordings("speech")]
        # there are voices for only some of the emotions
        found = [
            r for r in readers.read_ravdess(paths, "speech") if readers.EMOTIONS.index(r.emotion) + 1 in voices.EMOTIONS
        ]
        source = "SYNTHETIC voices (../shared is absent)"
    found = [r for r in found if r.emotion in EMOTIONS]
    drawn = [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]
    for recording in drawn:
        if not Path(recording.path).exists():
            voices.write_voice(RESULTS / "voices", str(Path(recording.path).relative_to(RESULTS / "voices")))
    return source, drawn


def adapted(checkpoint: Path, device: str = "cpu") -> adapters.Adapted:
    """Load the encoder as the workflow does, and put the adapters in."""
    encoder = loading.load(checkpoint, name="bench", layers=None, window_seconds=30, device=device)
    layers = tuple(range(1, encoder.layers + 1))
    settings = adapters.Settings(
        rank=8, alpha=8, targets=("q", "k", "v", "out"), width=64, gate="identity", layers=layers
    )
    return adapters.Adapted(encoder, settings, len(EMOTIONS), seed=0)


@torch.no_grad()
def disturb(model: adapters.Adapted) -> None:
    """Move the trained parts away from their initial values, by the same amounts in every model."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.trained().values():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


class Plain(torch.nn.Module):
    """The whole model of transformers on padded waveforms, with the adapters of an `Adapted` as hooks on its layers."""

    def __init__(self, parts: adapters.Adapted) -> None:
        super().__init__()
        self.parts = parts
        self.states: list[torch.Tensor] = []
        for number, layer in enumerate(parts.transformer.encoder.layers, start=1):
            layer.register_forward_hook(lambda _, __, output, number=number: self._adapt(number, output))

    def _adapt(self, number: int, output: torch.Tensor) -> torch.Tensor:
        self.states.append(self.parts.adapt_output(number, output))
        return self.states[-1]

    def forward(self, waveforms: list[torch.Tensor]) -> torch.Tensor:
        """Compute logits (B, C)."""
        self.states.clear()
        lengths = torch.tensor([len(w) for w in waveforms])
        values = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        mask = (torch.arange(values.shape[1]) < lengths[:, None]).long()
        model = self.parts.transformer
        model(values, attention_mask=mask)
        hidden = torch.einsum("l,lbtd->btd", self.parts.layer_weights.softmax(0), torch.stack(self.states))
        valid = model._get_feature_vector_attention_mask(hidden.shape[1], mask)[..., None]
        return self.parts.head((hidden * valid).sum(dim=1) / valid.sum(dim=1))


def peft(report: Report, checkpoint: Path, recordings: list, batch: int, rounds: int) -> None:
    """Compare the time of an epoch of training, and the loss and gradients of single clips."""
    chosen = stages.Training(1, 1e-4, 0.01, batch)
    answers = np.array([EMOTIONS.index(r.emotion) for r in recordings])
    rows = np.arange(len(recordings))
    model = adapted(checkpoint)
    kept = fronts.Fronts(model.encoder, [r.path for r in recordings], 1e10)
    domain = Domain([r.clip_id for r in recordings], answers, Split(rows, rows, rows, 0), kept, {})
    learner = learners.Learner(model, chosen)
    plain = Plain(adapted(checkpoint))
    named = plain.parts.trained().values()
    optimiser = torch.optim.AdamW(named, chosen.learning_rate, weight_decay=chosen.weight_decay, fused=True)
    waveforms = [
        torch.from_numpy(prepare(model.encoder, audio.load(r.path, model.encoder.rate))[0]) for r in recordings
    ]
    targets = torch.from_numpy(answers)

    def loss_of(some: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(plain([waveforms[i] for i in some]), targets[some])

    spent, _ = timed(lambda: [kept[int(i)] for i in rows])
    # initially half of the trained parts are zero, which would hide the other half
    for parts in (model, plain.parts):
        disturb(parts)
    # clip by clip: padding would affect the features of the plain implementation
    losses, slopes = [], []
    for i in range(min(4, len(rows))):
        for parts, loss in (
            (model, torch.nn.functional.cross_entropy(model([kept[i]]), targets[i : i + 1])),
            (plain.parts, loss_of(rows[i : i + 1])),
        ):
            parts.zero_grad()
            loss.backward()
            losses.append(loss.item())
        ours, theirs = model.trained(), plain.parts.trained()
        slopes += [float((ours[n].grad - theirs[n].grad).norm() / theirs[n].grad.norm()) for n in ours]
    report.figure("peft loss", "difference", float(np.abs(np.diff(np.reshape(losses, (-1, 2)))).max()), "<=", 1e-4)
    report.figure("peft gradients", "relative difference", max(slopes), "<=", 1e-3)
    rng = np.random.default_rng(1)

    def reference() -> None:
        for some in training.batches(rows, batch, rng):
            loss = loss_of(some)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    seconds, _ = alternate(
        rounds,
        ours=lambda: learner.train_epoch(domain, training.batches(rows, batch, rng)),
        reference=reference,
    )
    report.seconds["peft"] = seconds
    report.figure("peft step", "ratio", speedup(seconds), ">=", 1.4)
    total = sum(kept.seconds(int(i)) for i in rows)
    best = min(seconds["ours"])
    report.note(
        f"ours {best:.1f} s, plain {min(seconds['reference']):.1f} s for {len(rows)} clips ({total:.0f} s of audio); "
        f"fronts once {spent:.1f} s; {best / total / 12:.4f} s for a second of audio, epoch and block"
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
    start = time.perf_counter()
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
    report.figure("baseline and ws", "seconds", time.perf_counter() - start, "<=", 180)


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


def gpu(report: Report, checkpoint: Path, recordings: list) -> None:
    """Time fronts and bf16 steps with 32 clips on a GPU, and extrapolate to a stage of the paper."""
    from torch.utils.flop_counter import FlopCounterMode

    size, steps = 32, 50
    recordings = (recordings * size)[: 2 * size]
    model = adapted(checkpoint, "cuda")
    # the first front includes the time to start the GPU
    fronts.front(model.encoder, recordings[0].path)
    torch.cuda.synchronize()
    kept = fronts.Fronts(model.encoder, [r.path for r in recordings], 1e11)
    answers = np.array([EMOTIONS.index(r.emotion) for r in recordings])
    rows = np.arange(len(recordings))
    domain = Domain([], answers, Split(rows, rows, rows, 0), kept, {})
    learner = learners.Learner(model, stages.Training(1, 1e-4, 0.01, size), "bfloat16")
    drawn = training.batches(rows, size, np.random.default_rng(0))

    def keep_fronts() -> None:
        for row in rows:
            kept[int(row)]
        torch.cuda.synchronize()

    prepared, _ = timed(keep_fronts)
    with FlopCounterMode(display=False) as counter:
        learner.train_epoch(domain, drawn)
    torch.cuda.synchronize()
    seconds, _ = timed(lambda: [learner.train_epoch(domain, drawn) for _ in range(steps // len(drawn))])
    a_second = size * (steps // len(drawn)) * len(drawn) / seconds
    evaluated, _ = timed(lambda: learner.logits(domain, rows))
    # the fronts of the whole domain once, then the epochs
    stage = CLIPS * prepared / len(rows) + EPOCHS * (TRAIN / a_second + VALIDATION * evaluated / len(rows))
    report.figure("stage on this GPU", "minutes", stage / 60, "<", 8)
    card = torch.cuda.get_device_name()
    rate = counter.get_total_flops() / len(rows) * a_second
    share = "".join(
        f", {100 * rate / peak:.1f} % of its bf16 peak" for name, peak in PEAK_FLOPS.items() if name in card
    )
    report.note(
        f"{card}: {a_second:.0f} clips a second, fronts {len(rows) / prepared:.0f} clips a second, "
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most, {rate / 1e12:.1f} TFLOPS{share}"
    )


if __name__ == "__main__":
    main()
