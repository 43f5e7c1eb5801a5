"""Stages of adaptation on a few demo voices through a tiny encoder: see the fixture `corpus`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from speechsong.adaptation import learners, stages, training
from speechsong.adaptation.domains import Domain, pooled_domains, recorded_domains
from speechsong.adaptation.stages import Stage
from speechsong.embeddings.features import Split
from speechsong.encoders import loading

EMOTIONS = ["calm", "happy", "sad"]
CODE = {"calm": "02", "happy": "03", "sad": "04"}
PEFT = {"rank": 2, "alpha": 2, "targets": ("q", "k", "v", "out"), "width": 4, "gate": "sigmoid"}
OF_PART = {"lora": ["rank", "alpha", "targets"], "bottleneck": ["width"], "gate": ["gate"]}
N, D, LAYERS = 90, 16, 3
MAKER = {"family": "hubert", "weights": "0" * 16, "precision": "float32"}


def settings(**changes) -> stages.Training:
    """Make the settings of a training."""
    return stages.Training(**{"epochs": 6, "learning_rate": 1e-2, "weight_decay": 0.01, "batch_size": 16} | changes)


def domain(weighted: bool = True) -> Domain:
    """Make a domain of clip means, in which one layer depends on the class."""
    rng = np.random.default_rng(2)
    answers = rng.integers(0, 3, N)
    inputs = rng.standard_normal((N, LAYERS, D)).astype(np.float32)
    inputs[:, 1] += rng.standard_normal((3, D)).astype(np.float32)[answers]
    split = Split(np.arange(50), np.arange(50, 70), np.arange(70, N), 0)
    clips = [f"c{i}" for i in range(N)]
    return Domain(clips, answers, split, inputs if weighted else inputs.mean(axis=1), MAKER)


def entry(base: Path) -> dict:
    """Describe the encoder of the corpus, as the catalogue does."""
    return {"checkpoint": str(base / "encoder"), "revision": None, "layers": 3, "window_seconds": 30}


def stage(corpus, approach: str, source: str, target: str | None = None, start=None, tested=(), **changes) -> Stage:
    """Make a stage on the corpus."""
    base, _ = corpus
    params = {
        **{"model": "tiny", "approach": approach, "protocol": "random", "seed": 0, "source": source, "target": target},
        "tested": list(dict.fromkeys([*(target or source).split("+"), *([source] if target else tested)])),
        **{"encoder": entry(base), "emotions": EMOTIONS, "layers": [1, 2, 3], "adapters": {}},
        "edits": {},
        "training": {"epochs": 3, "learning_rate": 1e-2, "weight_decay": 0.01, "batch_size": 8, "patience": None},
    }
    if approach.startswith("peft"):
        keys = OF_PART.get(approach.removeprefix("peft-"), PEFT)
        params["adapters"] = {k: list(v) if isinstance(v, tuple) else v for k, v in PEFT.items() if k in keys}
        params["training"] |= {"learning_rate": 3e-3}
    params["training"] |= changes.pop("training", {})
    return stages.stage(params | changes, str(base / "random-0.csv"), start and str(start), "code")


def load(base: Path) -> loading.Encoder:
    """Load the encoder of the corpus."""
    return loading.load(base / "encoder", name="tiny", layers=3, window_seconds=30)


def embedded(base: Path, domain: str, layers: list[int]) -> list[str]:
    """Name the embeddings of a domain, as `pooled_domains` wants them."""
    return [str(base / f"tiny/{domain}/layer{layer:02d}/{emotion}.h5") for layer in layers for emotion in EMOTIONS]


def prepare(corpus, what: Stage):
    """Make the learner and the domains of a stage."""
    base, recordings = corpus
    if what.approach.startswith("peft"):
        encoder = load(base)
        domains = recorded_domains(what, encoder, {d: recordings[d] for d in what.tested}, 1e9)
        return learners.peft_learner(what, encoder), domains
    domains = pooled_domains(what, {d: embedded(base, d, what.layers) for d in what.tested})
    return learners.linear_learner(what, domains), domains


def outputs(folder: Path, name: str) -> dict[str, str]:
    """Name the files that a stage writes."""
    return {
        "checkpoint": str(folder / f"{name}.safetensors"),
        "table": str(folder / f"{name}.csv"),
        "predictions": str(folder / f"{name}-predictions.csv"),
    }


def run(corpus, what: Stage, folder: Path, name: str) -> dict[str, str]:
    """Run a stage."""
    learner, domains = prepare(corpus, what)
    made = outputs(folder, name)
    training.run(what, learner, domains, folder / "state" / f"{name}.safetensors", [what.split], made)
    return made


def copy(trained: Path, folder: Path, **changes) -> Path:
    """Copy a checkpoint, with changes to its description, and without the digest that would tell."""
    path = folder / trained.name
    save_file(load_file(trained), path)
    description = json.loads(trained.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(description | changes))
    return path
