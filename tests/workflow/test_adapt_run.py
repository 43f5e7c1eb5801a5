"""Adaptation in real runs: the table, a run that is killed, and what is said before hours are spent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("lora", "bottleneck", "gate", "layer_weights", "head")
APPROACHES = ("baseline", "ws", "peft")

pytestmark = pytest.mark.slow


def test_every_approach_and_direction_is_in_the_table(demo):
    results = demo.folder / "results/demo"
    table = pd.read_csv(results / "adapt/mert.csv", keep_default_na=False)
    assert list(table.columns) == [
        *("model", "approach", "protocol", "seed", "source", "target", "stage", "test_domain", "accuracy", "uar"),
        *("best_epoch", "seconds", "trainable_parameters", *(f"parameters_{part}" for part in PARTS)),
    ]
    rows = set(table[["approach", "source", "target", "test_domain"]].itertuples(index=False, name=None))
    assert rows == {
        (approach, source, *rest)
        for approach in APPROACHES
        for source, other in (("speech", "music"), ("music", "speech"))
        for rest in (("", source), ("", other), (other, other), (other, source), (source, source))
    } | {(approach, "speech+music", "", tested) for approach in APPROACHES for tested in ("speech", "music")}
    assert len(table) == len(rows)
    assert (table["accuracy"].between(0, 1) & table["uar"].between(0, 1)).all()
    assert (table[table["approach"] == "peft"][[f"parameters_{part}" for part in PARTS]] > 0).all(axis=None)


def test_accuracy_is_what_the_predictions_say(demo):
    results = demo.folder / "results/demo"
    for approach in APPROACHES:
        place = f"{approach}/random-0/music-speech"
        predictions = pd.read_csv(results / f"predictions/mert/{place}.csv")
        right = (predictions["true"] == predictions["predicted"]).groupby(predictions["test_domain"]).mean()
        for row in pd.read_csv(results / f"adapt/mert/{place}.csv").itertuples():
            assert row.accuracy == pytest.approx(right[row.test_domain])


def test_a_checkpoint_can_be_used(demo):
    checkpoint = "results/demo/checkpoints/mert/peft/random-0/speech-music.safetensors"
    recording = next((demo.folder / "data/demo/voices").rglob("*.wav"))
    done = subprocess.run(
        [sys.executable, "-m", "speechsong.cli", "predict", checkpoint, str(recording)],
        cwd=demo.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shares = done.stdout.splitlines()[1].split()[-len(demo.config["emotions"]) :]
    assert sum(map(float, shares)) == pytest.approx(1, abs=2e-3)


def test_another_seed_or_setting_redoes_its_own_stages_only(demo):
    for change, jobs in (({"rank": 3}, {"adapt_peft"}), ({"cache_gb": 1}, set()), ({"seeds": [0, 7]}, None)):
        config = demo.config | {"adapt": demo.config["adapt"] | change}
        plan = demo.snakemake("-n", "adapt", config=config)
        text = plan.stdout + plan.stderr
        assert plan.returncode == 0, text
        if jobs is None:
            assert text.count("random-7: speech-music") == text.count("random-7: speech+music") == 2  # encoders
            assert "random-0: speech" not in text
        else:
            assert {rule for rule in ("adapt_peft", "adapt_pooled", "extract_w2v2") if rule in text} == jobs


def test_one_part_of_peft_adds_stages_and_redoes_none(demo):
    config = demo.config | {"adapt": demo.config["adapt"] | {"parts": ["all", "lora", "gate"]}}
    plan = demo.snakemake("-n", "adapt", config=config)
    text = plan.stdout + plan.stderr
    assert plan.returncode == 0, text
    assert re.search(r"^adapt_peft +28$", text, re.M)  # 2 encoders, 2 parts, 7 directions
    assert not re.search("Adapt [a-z]+, peft,", text) and "adapt_pooled" not in text
    results, place = demo.folder / "results/demo", "mert/peft-lora/random-0/speech+music"
    try:
        done = demo.snakemake(f"results/demo/adapt/{place}.csv", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        table = pd.read_csv(results / f"adapt/{place}.csv")
        assert list(table["test_domain"]) == ["speech", "music"]
        trained = {part for part in PARTS if (table[f"parameters_{part}"] > 0).all()}
        assert trained == {"lora", "layer_weights", "head"}
    finally:
        # other tests look at all files
        for made in results.rglob("peft-lora"):
            shutil.rmtree(made)


def test_a_killed_run_goes_on_to_the_same_bytes(demo, run):
    shutil.copytree(demo.folder, run.folder, dirs_exist_ok=True)
    config = demo.config | {"models": ["mert"], "adapt": demo.config["adapt"] | {"epochs": 25}}
    place = "mert/peft/random-0/speech"
    made = [f"checkpoints/{place}.safetensors", f"checkpoints/{place}.json", f"predictions/{place}.csv"]
    targets = [f"results/demo/{made[0]}"]
    state = run.folder / f"results/demo/state/{place}.safetensors"
    kept = {name: (run.folder / f"results/demo/{name}").read_bytes() for name in made}
    run.kill_when(state, targets[0], config)
    resumed = run.snakemake(*targets, config=config)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after epoch" in resumed.stdout + resumed.stderr
    assert not state.exists()
    first = {name: (run.folder / f"results/demo/{name}").read_bytes() for name in made}
    assert first != kept
    whole = run.snakemake(*targets, "--force", config=config)
    assert whole.returncode == 0, whole.stderr
    assert {name: (run.folder / f"results/demo/{name}").read_bytes() for name in made} == first


def test_without_a_gpu_it_says_how_long_peft_takes_and_how_to_leave_it_out(run):
    nowhere = "http://127.0.0.1:9"
    offline = {name: nowhere for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY", "HF_ENDPOINT")}
    for approaches, said in ((["baseline", "ws", "peft"], True), (["baseline", "ws"], False)):
        config = {"device": "cpu", "adapt": {"approaches": approaches}}
        stopped = run.snakemake("adapt", config=config, **offline)
        lines = [line for line in (stopped.stdout + stopped.stderr).splitlines() if "Without a GPU" in line]
        assert bool(lines) == said
        if said:
            assert "21 peft stages" in lines[0]
            assert "`adapt: {approaches: [baseline, ws]}`" in lines[0]


@pytest.mark.parametrize("change", [{"approach": ["ws"]}, {"gate": "none"}, {"layers": [13]}, {"patience": 0}])
def test_a_mistake_in_the_settings_is_one_line(run, change):
    refused = run.snakemake("-n", "adapt", config={"adapt": change})
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "Traceback" not in text
    assert any(f"adapt.{next(iter(change))}" in line for line in text.splitlines())


def test_domains_whose_stages_would_share_a_file(run):
    own = {"reader": "ravdess", "root": "nothing", "channel": "speech"}
    refused = run.snakemake("-n", "adapt", config={"domains": ["a", "a-a"], "corpora": {"a": own, "a-a": own}})
    assert "config key `domains`: a-a.csv could be one domain or two" in refused.stdout + refused.stderr
