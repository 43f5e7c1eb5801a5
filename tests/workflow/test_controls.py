"""Controls in a real run: an encoder with random weights, and log-mel spectra, through the rules of all others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def controls(demo, new_run):
    """A copy of the demo, which has both, and in which they are adapted too."""
    here = new_run("controls")
    here.results = here.folder / "results/demo"
    shutil.copytree(demo.folder, here.folder, dirs_exist_ok=True)
    here.config = demo.config | {"adapt": demo.config["adapt"] | {"epochs": 1, "models": None}}
    parts = ("baseline/random-0/speech", "ws/random-0/speech", "peft/random-0/speech", "peft/random-0/speech-music")
    targets = [f"results/demo/adapt/hubert-random/{part}.csv" for part in parts]
    done = here.snakemake(*targets, "results/demo/adapt/logmel.csv", config=here.config)
    assert done.returncode == 0, done.stdout + done.stderr
    return here


def pooled(run, model: str, layer: int) -> np.ndarray:
    with h5py.File(run.results / f"embeddings/{model}/music/layer{layer:02d}/happy.h5") as h5:
        assert h5.attrs["control"] == {"hubert": "none", "hubert-random": "random", "logmel": "log-mel"}[model]
        return h5["pooled"][()]


def test_embeddings(controls):
    real, random = (pooled(controls, model, 2) for model in ("hubert", "hubert-random"))
    assert real.shape == random.shape
    assert np.abs(real - random).max() > 0.01
    assert pooled(controls, "logmel", 0).shape == (len(real), 160)
    assert [p.name for p in (controls.results / "embeddings/logmel/speech").iterdir()] == ["layer00"]
    with h5py.File(controls.results / "embeddings/logmel/speech/layer00/calm.h5") as h5:
        assert h5["blocks/mean"].shape[1] == 80
        assert (h5.attrs["sample_rate"], h5.attrs["frame_rate"]) == (16000, 100)


def test_probes_distances_and_their_summary(controls):
    for model, layers in (("hubert-random", [*range(9)]), ("logmel", [0])):
        probes = pd.read_csv(controls.results / f"probe/{model}.csv")
        assert sorted(probes["layer"].unique()) == layers
        # domains, fits, tested domains, protocols and seeds
        assert len(probes) == 2 * len(layers) * 2 * 2 * 2 * 5
        distances = pd.read_csv(controls.results / f"fad/{model}.csv")
        assert sorted(distances["layer"].unique()) == layers
        assert (distances[["fad", "std_error"]] > 0).all(axis=None)
    table = pd.read_csv(controls.results / "tables/probe.csv")
    rows = table[table["model"] == "logmel"]
    # domains, fits and protocols
    assert len(rows) == 2 * 2 * 2
    assert (rows[["best_layer", "worst_layer"]] == 0).all(axis=None)
    # the voices differ in their spectra: better than a guess between three
    assert (rows["best"] > 60).any()


def test_adaptation(controls):
    table = pd.read_csv(controls.results / "adapt/logmel.csv")
    assert set(table["approach"]) == {"baseline"}
    assert len(table) == 12
    for place, control, layers in (
        ("logmel/baseline", "log-mel", [0]),
        ("hubert-random/peft", "random", [*range(1, 9)]),
    ):
        path = controls.results / f"checkpoints/{place}/random-0/speech-music.json"
        described = json.loads(path.read_text())
        assert (described["encoder"]["control"], described["layers"]) == (control, layers)


@pytest.mark.parametrize("model", ["logmel/baseline", "hubert-random/ws", "hubert-random/peft"])
def test_a_checkpoint_predicts_what_its_test_said(controls, model):
    place = f"{model}/random-0/speech"
    guess = pd.read_csv(controls.results / f"predictions/{place}.csv").iloc[0]
    clips = pd.read_csv(controls.results / "clips/speech.csv", dtype=str)
    recording = clips[clips["clip_id"] == guess["clip_id"]]["path"].iloc[0]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "speechsong.cli", "predict", "--json"),
            *(f"results/demo/checkpoints/{place}.safetensors", recording),
        ],
        cwd=controls.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    logits = {name.removeprefix("logit_"): value for name, value in guess.items() if name.startswith("logit_")}
    total = sum(np.exp(value) for value in logits.values())
    for emotion, value in logits.items():
        assert found["probabilities"][emotion] == pytest.approx(np.exp(value) / total, abs=1e-4)


def test_what_log_mel_cannot_do_is_one_line(controls):
    target = "results/demo/checkpoints/logmel/peft/random-0/speech.safetensors"
    refused = controls.snakemake("-n", target, config=controls.config)
    assert refused.returncode != 0
    assert "`logmel` is log-mel spectra, which have only the approach baseline" in refused.stdout + refused.stderr


def test_it_is_left_out_where_no_approach_is_for_it(controls):
    config = controls.config | {"adapt": controls.config["adapt"] | {"approaches": ["ws"]}}
    plan = controls.snakemake("-n", "adapt", config=config)
    text = plan.stdout + plan.stderr
    assert plan.returncode == 0, text
    assert "adapt/logmel" not in text


def test_a_changed_control_redoes_its_own_files_only(controls):
    encoders = controls.config["encoders"]
    config = controls.config | {"encoders": encoders | {"hubert": encoders["hubert"] | {"control": "random"}}}
    plan = controls.snakemake("-n", "embeddings", config=config)
    text = plan.stdout + plan.stderr
    assert "Extract hubert, music, happy" in text
    assert "Extract hubert-random" not in text
    assert "log-mel frames" not in text


def test_the_same_files_are_fetched_once_for_both(run):
    config = {"models": ["hubert", "hubert-random", "logmel"]}
    plan = run.snakemake("-n", "fad", config=config)
    assert plan.returncode == 0, plan.stderr
    jobs = dict(line.split() for line in plan.stdout.splitlines() if len(line.split()) == 2)
    assert jobs["fetch_encoder"] == "1"
    assert (jobs["extract_hubert"], jobs["extract_hubert-random"], jobs["extract_logmel"]) == ("12", "12", "12")
