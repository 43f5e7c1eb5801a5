"""An encoder that is pre-trained by a run, and a run that is killed while it does so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from speechsong.files import read_rows

ROOT = Path(__file__).parents[2]
PRETRAIN = {"domains": ["speech", "more"], "layout": "hubert", "width": 32, "blocks": 1, "seconds": 0.5, "clusters": 8}


def config(steps: int) -> dict:
    """A run of an encoder that is pre-trained on a corpus of the run and another one, and of its random control."""
    demo = yaml.safe_load((ROOT / "demo.yaml").read_text())
    entry = {"pretrain": PRETRAIN | {"steps": steps, "batch_size": 4}, "layers": 1, "window_seconds": 30}
    folder = "results/demo/encoders/mine"
    control = {"checkpoint": folder, "layers": 1, "window_seconds": 30, "control": "random"}
    more = {"reader": "ravdess", "root": "data/demo/voices", "channel": "song", "source": "demo"}
    return demo | {
        "emotions": ["calm", "happy"],
        "corpora": demo["corpora"] | {"more": more},
        "models": ["mine", "mine-random"],
        "adapt": demo["adapt"] | {"models": None},
        "encoders": {"mine": entry, "mine-random": control},
    }


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results/demo/encoders/mine").iterdir()}


@pytest.mark.slow
def test_an_encoder_is_pretrained_and_used_like_any_other(run):
    targets = [f"results/demo/embeddings/{m}/speech/layer01/calm.h5" for m in ("mine", "mine-random")]
    targets.append("results/demo/adapt/mine/peft/random-0/speech.csv")
    done = run.snakemake(*targets, config=config(20))
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "Encoder `mine` is pre-trained on recordings of 10 of the speakers whom the run tests" in text
    assert re.search(r"masked frames of held-out speakers: [\d.]+ % predicted rightly", text)
    names = {"config.json", "preprocessor_config.json", "model.safetensors", "curve.csv"}
    assert made(run.folder).keys() == names
    assert [int(row["step"]) for row in read_rows(run.folder / "results/demo/encoders/mine/curve.csv")][-1] == 20
    one, other = ((run.folder / target).read_bytes() for target in targets[:2])
    assert one != other
    again = run.snakemake("-n", *targets, config=config(20))
    assert "Nothing to be done" in again.stdout + again.stderr

    # another setting makes it again, and what depends on it
    plan = run.snakemake("-n", *targets, config=config(21))
    assert re.search(r"^pretrain +1$", plan.stdout + plan.stderr, re.M)
    assert re.search(r"^extract_mine +1$", plan.stdout + plan.stderr, re.M)
    # and so does a recording that only this encoder hears
    os.utime(next((run.folder / "data/demo/voices").rglob("03-02-05-*.wav")))
    plan = run.snakemake("-n", *targets, config=config(20))
    assert re.search(r"^pretrain +1$", plan.stdout + plan.stderr, re.M)

    # a killed run goes on to the bytes of one that was not
    state = run.folder / "results/demo/state/mine/pretrain.safetensors"
    target = "results/demo/encoders/mine/config.json"
    run.kill_when(state, target, config(400))
    resumed = run.snakemake(target, config=config(400))
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"resumed after step \d+ of iteration 1", resumed.stdout + resumed.stderr)
    assert not state.exists()
    first = made(run.folder)
    whole = run.snakemake(target, "--force", config=config(400))
    assert whole.returncode == 0, whole.stderr
    assert made(run.folder) == first


@pytest.mark.slow
def test_the_embedded_encoders_can_be_made_again(tmp_path, house):
    """In a short run: a smaller encoder, fewer steps and fewer voices."""
    place = house(tmp_path)
    file = place / "src/speechsong/demo/voices.py"
    file.write_text(file.read_text().replace("OTHER_ACTORS = range(11, 51)", "OTHER_ACTORS = range(11, 17)"))
    shorter = yaml.safe_load((place / "workflow/pretrain.yaml").read_text())
    shorter["models"] = ["mert-song"]
    shorter["encoders"]["mert-song"]["pretrain"] |= {"width": 64, "blocks": 1, "steps": 400, "clusters": 20}
    shorter["encoders"]["mert-song"]["layers"] = 1
    (place / "workflow/pretrain.yaml").write_text(yaml.safe_dump(shorter))
    folder = place / "src/speechsong/demo/pretrained/mert-song"
    shutil.rmtree(folder)
    done = subprocess.run(
        [sys.executable, "workflow/pretrain_encoders.py", "2"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(place / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("mert-song: ")
    last = read_rows(folder / "curve.csv")[-1]
    assert float(last["held_out_accuracy"]) > 2 * float(last["most_frequent"])
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    card = (folder / "README.md").read_text()
    assert f"{100 * float(last['held_out_accuracy']):.1f} % for held-out speakers" in card
    assert "400 steps of 16 crops of 1 s" in card
    assert str(place) not in card


def test_mistakes_are_one_line_before_anything_runs(run):
    for change, said in (
        ({"checkpoint": "models/mine"}, "config key `encoders.mine.checkpoint`: `pretrain` makes this encoder"),
        ({"pretrain": PRETRAIN | {"steps": 1, "domains": ["nobody"]}}, "there is no `nobody` under `corpora`"),
        (
            {"pretrain": PRETRAIN | {"steps": 1, "exclude_speakers": ["77"]}},
            "there is no speaker `77` in speech and more",
        ),
    ):
        changed = config(1)
        changed["encoders"]["mine"] |= change
        refused = run.snakemake("-n", "embeddings", config=changed)
        text = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "Traceback" not in text
        assert said in text
