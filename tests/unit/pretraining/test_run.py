"""Whole pre-trainings: what they write, that they learn, and that a killed one goes on to the same bytes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoints import noises
from common import one_line
from speechsong import files
from speechsong.encoders import forward, loading
from speechsong.errors import UserError
from speechsong.pretraining import run, state, train

CPU = torch.device("cpu")


def pretrained(
    settings, recordings, folder: Path, depends_on: list | None = None, precision: str = "float32"
) -> dict[str, bytes]:
    """Pre-train into a folder; return the bytes of its files."""
    run.pretrain("x", settings, recordings, CPU, precision, folder.with_suffix(".state"), depends_on or [], folder)
    assert not folder.with_suffix(".state").exists()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("layout", ["hubert", "wav2vec2", "mert"])
def test_the_folder_loads_like_any_other(small, spoken, tmp_path, layout):
    made = pretrained(small(layout=layout, blocks=2, steps=2), spoken[:6], tmp_path / "x")
    assert made.keys() == {"config.json", "preprocessor_config.json", "model.safetensors", "curve.csv"}
    encoder = loading.load(tmp_path / "x", name="x", layers=2, window_seconds=30)
    assert encoder.family == {"mert": "mert_model"}.get(layout, layout)
    assert encoder.rate == (24_000 if layout == "mert" else 16_000)
    (samples,) = noises(encoder.rate, (0.7,))
    state_0, _ = forward.front(encoder, forward.prepare(encoder, samples)[0])
    with torch.inference_mode():
        states = list(forward.blocks(encoder, [state_0]))
    assert len(states) == 3
    assert all(torch.isfinite(s).all() for s in states)
    # its control has the same architecture and other weights
    control = loading.load(tmp_path / "x", name="c", layers=2, window_seconds=30, random=True)
    assert control.weights != encoder.weights


def test_a_curve_has_rows_of_every_iteration(small, spoken, tmp_path):
    pretrained(small(steps=3, iterations=2), spoken[:6], tmp_path / "x")
    rows = files.read_rows(tmp_path / "x/curve.csv")
    assert [(row["iteration"], row["step"]) for row in rows] == [(i, s) for i in "12" for s in "123"]
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in ("accuracy", "held_out_accuracy", "most_frequent"))
        assert float(row["loss"]) > 0 and float(row["held_out_loss"]) > 0


@pytest.mark.parametrize("steps", [2, 6])
def test_audio_that_is_heard_too_often_is_said(small, spoken, tmp_path, caplog, monkeypatch, steps):
    monkeypatch.setattr(run, "MOST_TIMES", 1)
    with caplog.at_level("WARNING", logger="speechsong"):
        pretrained(small(steps=steps), spoken[:6], tmp_path / "x")
    lines = [record.getMessage() for record in caplog.records]
    if steps == 2:
        assert lines == []
    else:
        (line,) = lines
        assert re.fullmatch(
            r"warning: 0\.1 minutes of audio are few for 6 steps, which hear them [23] times; "
            "lower `encoders.x.pretrain.steps`, or name more `domains`",
            line,
        )


def test_a_batch_that_the_gpu_does_not_hold_is_one_line(small, spoken, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(train, "_step", full)
    with pytest.raises(UserError) as caught:
        pretrained(small(), spoken[:6], tmp_path / "x")
    assert one_line(caught).startswith("the GPU's memory does not hold 4 crops of 0.5 s; lower `encoders.x.pretrain.")


def test_a_loss_far_above_that_of_a_guess_stops(small, spoken, tmp_path):
    """With real steps that are far too large, whose losses are finite."""
    settings = small(steps=40, learning_rate=30.0)
    with pytest.raises(UserError) as caught:
        pretrained(settings, spoken[:6], tmp_path / "x")
    text = one_line(caught)
    said = r"the loss is [\d.]+ nats by step \d+, far more than that of a guess"
    assert re.fullmatch(said + "; lower `encoders.x.pretrain.learning_rate`", text)
    assert not (tmp_path / "x.state").exists()
    assert not (tmp_path / "x").exists()


@pytest.fixture(autouse=True)
def _every_step_is_saved(monkeypatch):
    monkeypatch.setattr(train, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(train, "STATE_SHARE", float("inf"))


class Killed(Exception):
    pass


@pytest.mark.parametrize(("iteration", "step"), [(1, 2), (1, 4), (2, 1), (2, 3)])
def test_a_killed_run_goes_on_to_the_same_bytes(small, spoken, tmp_path, monkeypatch, iteration, step):
    settings = small(iterations=2, seed=3)
    whole = pretrained(settings, spoken[:6], tmp_path / "whole")
    plain = state.save

    def save(file, identity, model, optimiser, progress, targets):
        plain(file, identity, model, optimiser, progress, targets)
        if (progress.iteration, progress.step) == (iteration, step):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(state, "save", save)
        with pytest.raises(Killed):
            pretrained(settings, spoken[:6], tmp_path / "cut")
    taken = []
    plain_step = train._step
    monkeypatch.setattr(train, "_step", lambda *arguments: taken.append(1) or plain_step(*arguments))
    assert pretrained(settings, spoken[:6], tmp_path / "cut") == whole
    assert len(taken) == 2 * 4 - (4 * (iteration - 1) + step)


def test_a_state_of_another_training_is_not_resumed(small, spoken, tmp_path, monkeypatch):
    settings = small(steps=2)
    wanted = pretrained(settings, spoken[:6], tmp_path / "wanted", ["mine"])
    file = tmp_path / "x.state"
    for left in (b"not a state", None):
        if left is None:
            with monkeypatch.context() as patch:
                patch.setattr(train, "_row", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    run.pretrain("x", small(steps=40), spoken[:6], CPU, "float32", file, ["other"], tmp_path / "x")
            assert file.is_file()
        else:
            file.write_bytes(left)
        assert pretrained(settings, spoken[:6], tmp_path / "x", ["mine"]) == wanted


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_short_run_learns(small, crowd, tmp_path, precision):
    """What is masked on voices that it has not heard is predicted far better than by the most frequent cluster."""
    settings = small(steps=250, batch_size=8, learning_rate=0.006, clusters=30)
    pretrained(settings, crowd, tmp_path / "x", precision=precision)
    last = files.read_rows(tmp_path / "x/curve.csv")[-1]
    assert float(last["held_out_accuracy"]) > 1.7 * float(last["most_frequent"])
    assert float(last["held_out_loss"]) < np.log(settings.clusters) - 1
