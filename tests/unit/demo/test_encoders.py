"""The embedded encoders: their files, and that they hear more than random ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.signal import decimate

from speechsong import files
from speechsong.demo import encoders, voices

ROOT = Path(__file__).parents[3]
NAMES = ["hubert-speech", "mert-song", "w2v2-speech"]


def test_those_of_the_recipe_with_a_card_each():
    recipe = yaml.safe_load((ROOT / "workflow/pretrain.yaml").read_text())
    assert encoders.names() == NAMES == sorted(recipe["models"])
    for name in NAMES:
        folder = encoders.FOLDER / name
        assert sorted(path.name for path in folder.iterdir()) == [
            *("README.md", "config.json", "curve.csv", "model.safetensors", "preprocessor_config.json"),
        ]
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1.5e6
        settings = recipe["encoders"][name]["pretrain"]
        card = (folder / "README.md").read_text()
        assert f"width {settings['width']}, {settings['blocks']} blocks" in card
        assert f"{settings['steps']} steps" in card
        assert f"seed {settings['seed']}" in card
        config = json.loads((folder / "config.json").read_text())
        assert (config["hidden_size"], config["num_hidden_layers"]) == (settings["width"], settings["blocks"])
        curve = [float(row["held_out_loss"]) for row in files.read_rows(folder / "curve.csv")]
        assert curve[-1] < 0.8 * curve[0]


def test_unpacked_as_float32_with_the_config_last(tmp_path, monkeypatch):
    from safetensors.torch import load_file

    order = []
    atomic = files.atomic
    monkeypatch.setattr(files, "atomic", lambda path: (order.append(Path(path).name), atomic(path))[1])
    encoders.unpack("mert-song", tmp_path / "x")
    assert order == ["model.safetensors", "preprocessor_config.json", "config.json"]
    weights, kept = (load_file(folder / order[0]) for folder in (tmp_path / "x", encoders.FOLDER / "mert-song"))
    assert {str(value.dtype) for value in weights.values()} == {"torch.float32"}
    assert {str(value.dtype) for value in kept.values()} == {"torch.float16"}
    assert all((weights[key] == kept[key].float()).all() for key in kept)
    assert all(value.isfinite().all() for value in weights.values())


def means(folder: Path, channel: str, control: str | None) -> np.ndarray:
    """Clip means of the last layer."""
    import torch

    from speechsong.encoders import forward, loading

    entry = {"checkpoint": str(folder), "layers": 8, "window_seconds": 30, "control": control}
    encoder = loading.load_entry(folder, "x", entry, "cpu")
    found = []
    for name in voices.recordings(channel):
        samples = decimate(voices.synthesise(name), 48_000 // encoder.rate).astype(np.float32)
        with torch.inference_mode():
            state, _ = forward.front(encoder, forward.prepare(encoder, samples)[0])
            last = list(forward.blocks(encoder, [state]))[-1]
        found.append(last.reshape(-1, last.shape[-1]).mean(dim=0).numpy())
    return np.stack(found)


def accuracy(folder: Path, channel: str, control: str | None = None) -> float:
    """Share of the clips of new speakers whose emotion a linear probe says, over two folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features = means(folder, channel, control)
    numbers = np.array([[int(n) for n in Path(r).stem.split("-")] for r in voices.recordings(channel)])
    emotion, actor = numbers[:, 2], numbers[:, 6]
    right = []
    for fold in range(2):
        train = (actor - 1) // 2 % 2 == fold
        scaler = StandardScaler().fit(features[train])
        probe = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(features[train]), emotion[train])
        right.append(probe.score(scaler.transform(features[~train]), emotion[~train]))
    return float(np.mean(right))


@pytest.mark.parametrize(
    ("name", "channel"), [("hubert-speech", "speech"), ("w2v2-speech", "speech"), ("mert-song", "song")]
)
def test_pre_training_helps_new_speakers(tmp_path, name, channel):
    encoders.unpack(name, tmp_path / name)
    assert accuracy(tmp_path / name, channel) > accuracy(tmp_path / name, channel, "random") + 0.1


def test_names_are_listed_without_torch():
    code = "import sys, speechsong.demo.encoders as e; e.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
