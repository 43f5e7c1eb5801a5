"""Figures keep their colours, have the same bytes twice, and show the notice."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.colors
import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong.report import style

RAVDESS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


def drawing() -> plt.Figure:
    """Draw a figure with a legend below, as all figures have."""
    figure, axis = plt.subplots(layout="constrained")
    for i in range(3):
        axis.plot([0, 1], [i, 2], label=f"line {i}", **style.of_model(i))
    style.legend_below(figure, axis)
    return figure


def test_known_emotions_have_colours_and_markers_of_their_own():
    looks = [style.of_emotion(e, RAVDESS) for e in RAVDESS]
    assert len({look["color"] for look in looks}) == len({look["marker"] for look in looks}) == 8
    assert style.of_emotion("all", RAVDESS)["color"] not in {look["color"] for look in looks}


@given(st.sets(st.sampled_from(RAVDESS), min_size=1), st.booleans())
def test_an_emotion_keeps_its_colour_in_whichever_set(chosen, together):
    emotions = sorted(chosen) + ["all"] * together
    for emotion in chosen:
        assert style.of_emotion(emotion, emotions) == style.of_emotion(emotion, RAVDESS)


@settings(deadline=None)
@given(st.sets(st.sampled_from(RAVDESS), max_size=7), st.integers(1, 8), st.booleans())
def test_other_emotions_take_what_is_left(known, count, together):
    unknown = ["bored", "proud", "tired", "amused", "shy", "tender", "bold", "keen"][: min(count, 8 - len(known))]
    emotions = sorted({*known, *unknown}) + ["all"] * together
    looks = [style.of_emotion(e, emotions) for e in emotions]
    assert len({look["color"] for look in looks}) == len({look["marker"] for look in looks}) == len(emotions)


def test_an_emotion_too_many_shares_a_colour():
    assert style.of_emotion("bored", [*RAVDESS, "bored"]) == style.of_emotion("happy", RAVDESS)


@pytest.mark.parametrize("palette", [style.PALETTE, style.MODEL_COLOURS])
def test_colours_can_be_told_from_white_and_from_each_other(palette):
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in palette])
    assert len({tuple(c) for c in rgb}) == 8
    assert np.linalg.norm(rgb - 1, axis=1).min() > 0.3
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(rgb, 2)) > 0.15


def test_all_formats_and_the_same_bytes_twice(tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        style.save(drawing(), [str(folder / f"f.{suffix}") for suffix in ("png", "pdf", "svg")], "a notice")
    contents = [{path.suffix: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert contents[0].keys() == {".png", ".pdf", ".svg"}
    assert contents[0][".png"].startswith(b"\x89PNG")
    assert contents[0][".pdf"].startswith(b"%PDF")
    assert b"<svg" in contents[0][".svg"]
    assert plt.get_fignums() == []


@pytest.mark.parametrize("notice", ["$\\frac{", "5 $ and 6 $", "<b>&amp;", "two\nlines"])
def test_the_notice_is_text(tmp_path, notice):
    style.save(drawing(), [str(tmp_path / "f.svg"), str(tmp_path / "f.png")], notice)
    ElementTree.parse(tmp_path / "f.svg")
    assert red(tmp_path / "f.png") > 0


def test_a_long_notice_is_as_wide_as_the_figure(tmp_path):
    style.save(drawing(), [str(tmp_path / "0.png")], "")
    style.save(drawing(), [str(tmp_path / "1.png")], 8 * "These numbers mean nothing at all. ")
    without, with_notice = (matplotlib.image.imread(tmp_path / f"{i}.png") for i in range(2))
    assert with_notice.shape[1] < 1.05 * without.shape[1]
    assert red(tmp_path / "1.png") > 4000


def red(path: Path) -> int:
    """Count pixels of the notice's red."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return int((np.abs(pixels - matplotlib.colors.to_rgb(style.NOTICE)).max(axis=2) < 0.02).sum())


def test_the_notice_is_seen(tmp_path):
    for i, notice in enumerate(["", "These numbers mean nothing."]):
        style.save(drawing(), [str(tmp_path / f"{i}.png")], notice)
    assert red(tmp_path / "0.png") == 0
    assert red(tmp_path / "1.png") > 500
    # below the figure, which is as it was
    without, with_notice = (matplotlib.image.imread(tmp_path / f"{i}.png") for i in range(2))
    assert with_notice.shape[0] > without.shape[0]
