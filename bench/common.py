"""What the benchmarks share: timing, reporting, the machine, and a full-size encoder with random weights."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from speechsong import files

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "bench"
QUICK = RESULTS / "quick"
# all of RAVDESS at 24 kHz, on machines where it lies beside the repository
SHARED = ROOT.parent / "shared" / "data" / "ravdess-24k"
WHISPER = ROOT.parent / "shared" / "models" / "whisper-tiny-en"


def parse(parser: argparse.ArgumentParser, **quick: object) -> argparse.Namespace:
    """Parse the options of a benchmark, and `--quick`, which sets the options in `quick` and judges nothing."""
    parser.add_argument("--quick", action="store_true", help="run every step once, on little data; judges nothing")
    options = parser.parse_args()
    if options.quick:
        vars(options).update(quick)
    return options


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Call `work`; return its seconds and what it returns. Other processes change those of `process_time` little."""
    start = clock()
    result = work()
    return clock() - start, result


def alternate(
    rounds: int, clock: Callable[[], float] = time.process_time, **works: Callable[[], object]
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Call each of `works` in turn, `rounds` times over, so that a busy spell of the machine affects all of them.

    Returns
    -------
    seconds : dict of list of float
        Seconds of every call, by default those of the CPU in this process.
    last : dict
        What each returned in the last round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    last: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in works.items():
            spent, last[name] = timed(work, clock)
            seconds[name].append(spent)
    return seconds, last


def speedup(seconds: dict[str, list[float]]) -> float:
    """Best time of the reference over best time of ours."""
    return min(seconds["reference"]) / min(seconds["ours"])


def peak_megabytes() -> float:
    """The peak resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage's ru_maxrss on Linux starts at what the parent had when it started this process; this does not
        kilobytes = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kilobytes.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder below results/bench, on the same disk as results; it is deleted afterwards."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=RESULTS) as folder:
        yield Path(folder)


def write_base_encoder(folder: str | Path, quick: bool = False) -> int:
    """Save wav2vec2-base with random weights: real cost, meaningless features. With `quick`, a tiny encoder instead.

    Returns
    -------
    int
        Its number of layers.
    """
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    tiny: dict[str, Any] = {
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "conv_dim": (16,) * 7,
    }
    torch.manual_seed(0)
    config = Wav2Vec2Config(**(tiny if quick else {}))
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return config.num_hidden_layers


def both_domains(emotions: list[str], count: int) -> tuple[str, dict[str, list]]:
    """Take `count` clips of each emotion of RAVDESS, or of synthetic voices: the same ones of speech and of song."""
    from speechsong.corpora.readers import read_ravdess, scan
    from speechsong.corpora.recordings import select
    from speechsong.demo import voices

    if SHARED.exists():
        source = "RAVDESS"
        found = {d: scan(d, {"reader": "ravdess", "root": str(SHARED), "channel": d}) for d in ("speech", "song")}
    else:
        source, root = "SYNTHETIC voices (../shared is absent)", RESULTS / "voices"
        names = {channel: list(voices.recordings(channel)) for channel in voices.CHANNELS}
        for name in chain(*names.values()):
            if not (root / name).exists():
                voices.write_voice(root, name)
        found = {channel: read_ravdess([str(root / n) for n in some], channel) for channel, some in names.items()}
    kept, _ = select(found, emotions, paired=True)
    of_domain = {}
    for domain, some in kept.items():
        by_take = sorted(some, key=lambda r: (r.statement, r.intensity, r.take, r.speaker))
        of_domain[domain] = [r for e in emotions for r in [r for r in by_take if r.emotion == e][:count]]
    return source, of_domain


def write_embeddings(
    encoder: Any, entry: dict, recordings: list, blocks: dict[str, int], folder: Path, domain: str, emotion: str
) -> tuple[Any, list[Path]]:
    """Do what a job of extraction does: return the embeddings, and the file that was written of each hidden state."""
    from speechsong.embeddings import store
    from speechsong.embeddings.extract import attributes, extract

    embeddings = extract(encoder, recordings, blocks)
    said = attributes(encoder, entry, domain, emotion)
    paths = [folder / f"bench/{domain}/layer{layer:02d}/{emotion}.h5" for layer in range(encoder.layers + 1)]
    for layer, path in enumerate(paths):
        store.write(path, embeddings, layer, said)
    return embeddings, paths


def waveforms(encoder: Any, path: str) -> Any:
    """Read a clip and normalise it with the feature extractor: the encoder's input, a Tensor (1, samples)."""
    from speechsong.corpora import audio

    samples = audio.load(path, encoder.rate)
    return encoder.extractor(samples, sampling_rate=encoder.rate, return_tensors="pt").input_values


class Report:
    """Prints lines of results and keeps them for `write`."""

    def __init__(self, name: str, measures: str, reference: str, quick: bool = False) -> None:
        self.name, self.quick = name, quick
        self.figures: list[dict] = []
        self.seconds: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        print(f"{name}: {measures}\nreference: {reference}")

    def figure(self, name: str, kind: str, value: float, sense: str, target: float) -> None:
        """Print `NAME: ratio 15.3 (target >= 12)`, and MISSED if the value misses the target."""
        met = {">=": value >= target, "<=": value <= target, "<": value < target}[sense]
        self.figures.append(
            {"name": name, "kind": kind, "value": value, "sense": sense, "target": target, "met": bool(met)}
        )
        shown = value if isinstance(value, int) else f"{value:.3g}"
        verdict = " quick: not judged" if self.quick else "" if met else " MISSED"
        print(f"{name}: {kind} {shown} (target {sense} {target:g}){verdict}", flush=True)

    def note(self, text: str) -> None:
        """Print a line that has no target."""
        print(f"  {text}", flush=True)

    def write(self) -> None:
        """Print the short facts; write everything to results/bench/NAME.json, with `--quick` to results/bench/quick."""
        short = {key: value for key, value in self.facts.items() if not isinstance(value, list)}
        print("facts: " + ", ".join(f"{key} {value}" for key, value in short.items()))
        content = {
            "figures": self.figures,
            "seconds": self.seconds,
            "facts": self.facts,
            "machine": machine(),
        }
        with files.atomic((QUICK if self.quick else RESULTS) / f"{self.name}.json") as path:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def machine() -> dict:
    """The processor, its cores and the versions that the numbers were measured with."""
    name, cpuinfo = platform.processor(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    packages = ("numpy", "scipy", "torch", "transformers", "h5py")
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    } | {package: version(package) for package in packages}
