"""Figures draw the numbers of their tables, in colours that stay, and the same bytes twice."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong import figures

RAVDESS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
EMOTIONS = ["calm", "happy", "sad"]
DOMAINS = ["speech", "music"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def probes(models: int, seeds: int, protocols: int, layers: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    keys = itertools.product(
        ["w2v2", "hubert", "mert"][:models], DOMAINS, range(layers), ["random", "speaker"][:protocols], range(seeds)
    )
    rows = []
    for model, domain, layer, protocol, seed in keys:
        recalls = {f"recall_{e}": rng.uniform(0.2, 0.9) for e in EMOTIONS}
        rows.append(
            {"model": model, "domain": domain, "layer": layer, "protocol": protocol, "seed": seed}
            | {"accuracy": rng.uniform(0.3, 0.8), "uar": np.mean(list(recalls.values()))}
            | recalls
        )
    return pd.DataFrame(rows)


def distances(models: int, layers: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {"model": model, "layer": layer, "emotion": e, "fad": rng.uniform(1, 9), "std_error": rng.uniform(0.1, 0.5)}
            for model in ["w2v2", "hubert", "mert"][:models]
            for layer in range(layers)
            for e in [*EMOTIONS, "all"]
        ]
    )


def panels(figure) -> list:
    return [axis for axis in figure.axes if axis.get_lines()]


def lines(axis) -> dict[str, tuple[list, list]]:
    """Label to x and y of the lines that have one."""
    labelled = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in labelled}


def bands(axis) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper edge of each band, by layer, in the order of the lines."""
    found = []
    for band in axis.collections:
        vertices = band.get_paths()[0].vertices
        x = np.unique(vertices[:, 0])
        found.append(tuple(np.array([f(vertices[vertices[:, 0] == v, 1]) for v in x]) for f in (np.min, np.max)))
    return found


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# --- colours


def test_known_emotions_have_colours_and_markers_of_their_own():
    styles = [figures.emotion_style(e, RAVDESS) for e in RAVDESS]
    assert len({s["color"] for s in styles}) == len({s["marker"] for s in styles}) == 8
    assert figures.emotion_style("all", RAVDESS)["color"] not in {s["color"] for s in styles}


@given(st.sets(st.sampled_from(RAVDESS), min_size=1), st.booleans())
def test_an_emotion_keeps_its_colour_in_whichever_set(chosen, together):
    others = sorted(chosen) + ["all"] * together
    for emotion in chosen:
        assert figures.emotion_style(emotion, others) == figures.emotion_style(emotion, RAVDESS)


@settings(deadline=None)
@given(st.sets(st.sampled_from(RAVDESS), max_size=7), st.integers(1, 8), st.booleans())
def test_other_emotions_take_what_is_left(known, count, together):
    unknown = ["bored", "proud", "tired", "amused", "shy", "tender", "bold", "keen"][: min(count, 8 - len(known))]
    others = sorted({*known, *unknown}) + ["all"] * together
    styles = [figures.emotion_style(e, others) for e in others]
    assert len({s["color"] for s in styles}) == len({s["marker"] for s in styles}) == len(others)


@pytest.mark.parametrize("palette", [figures._PALETTE, figures._MODEL_COLOURS])
def test_colours_can_be_told_from_white_and_from_each_other(palette):
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in palette])
    assert len({tuple(c) for c in rgb}) == 8
    assert np.linalg.norm(rgb - 1, axis=1).min() > 0.3
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(rgb, 2)) > 0.15


# --- what is drawn


SHAPES = [(1, 1, 1), (3, 1, 2), (1, 5, 2), (3, 3, 1)]


@pytest.mark.parametrize(("models", "seeds", "protocols"), SHAPES)
def test_probe_layers(models, seeds, protocols):
    table = probes(models, seeds, protocols)
    figure = figures.probe_layers(table)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{d}, {p} split" for d in DOMAINS for p in table["protocol"].unique()}
    for (domain, protocol), some in table.groupby(["domain", "protocol"]):
        axis = drawn[f"{domain}, {protocol} split"]
        found = lines(axis)
        assert list(found) == list(table["model"].unique()) == legend(figure)
        for i, (model, (x, y)) in enumerate(found.items()):
            values = [some[(some["model"] == model) & (some["layer"] == n)]["accuracy"].to_numpy() for n in range(4)]
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, [100 * v.mean() for v in values])
            np.testing.assert_allclose(bands(axis)[i][0], [100 * v.min() for v in values])
            np.testing.assert_allclose(bands(axis)[i][1], [100 * v.max() for v in values])
        # chance of three emotions
        (chance,) = [line for line in axis.get_lines() if line.get_label().startswith("_")]
        np.testing.assert_allclose(chance.get_ydata(), 100 / 3)
        assert axis.get_ylim() == (0, 100)


@pytest.mark.parametrize(("models", "seeds"), [(1, 1), (3, 1), (1, 5), (3, 3)])
def test_probe_emotions(models, seeds):
    table = probes(models, seeds, 1)
    figure = figures.probe_emotions(table, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{m}, {d}" for m in table["model"].unique() for d in DOMAINS}
    assert legend(figure) == EMOTIONS
    for (model, domain), some in table.groupby(["model", "domain"]):
        axis = drawn[f"{model}, {domain}"]
        for i, (emotion, (x, y)) in enumerate(lines(axis).items()):
            values = [100 * some[some["layer"] == n][f"recall_{emotion}"].to_numpy() for n in range(4)]
            spread = np.array([v.std(ddof=1) if seeds > 1 else 0.0 for v in values])
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, [v.mean() for v in values])
            np.testing.assert_allclose(bands(axis)[i][0], np.array(y) - spread)
            np.testing.assert_allclose(bands(axis)[i][1], np.array(y) + spread)
    assert any("random split" in axis.get_xlabel() for axis in figure.axes)


def test_a_recall_that_nobody_knows_is_not_drawn_as_none():
    # an emotion that no test part of a layer holds has no recall; that is not a recall of 0
    table = probes(1, 2, 1)
    table.loc[table["layer"] == 2, "recall_sad"] = np.nan
    for axis in panels(figures.probe_emotions(table, EMOTIONS)):
        assert np.isnan(lines(axis)["sad"][1][2])
        assert np.isfinite(lines(axis)["calm"][1]).all()


@pytest.mark.parametrize("models", [1, 3])
def test_fad(models):
    table = distances(models)
    # rows may come in any order
    figure = figures.fad(table.sample(frac=1, random_state=0), DOMAINS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == set(table["model"].unique())
    assert sorted(legend(figure)) == sorted([*EMOTIONS, "all"])
    assert "speech to music" in figure.get_suptitle()
    for (model, emotion), some in table.groupby(["model", "emotion"]):
        found = lines(drawn[model])
        assert found[emotion][0] == [0, 1, 2, 3]
        np.testing.assert_allclose(found[emotion][1], some["fad"])
        low, high = bands(drawn[model])[list(found).index(emotion)]
        np.testing.assert_allclose(low, some["fad"] - some["std_error"])
        np.testing.assert_allclose(high, some["fad"] + some["std_error"])
        bottom, top = drawn[model].get_ylim()
        assert 0 < bottom < some["fad"].min()
        assert top > some["fad"].max()


def test_fad_whose_band_reaches_below_zero_is_still_seen():
    table = distances(1)
    table["std_error"] = 1.5 * table["fad"]
    (axis,) = panels(figures.fad(table, DOMAINS))
    bottom, top = axis.get_ylim()
    assert 0 < bottom < table["fad"].min() < table["fad"].max() < top


def test_equal_ratios_of_fad_get_equal_room():
    (axis,) = panels(figures.fad(distances(1), DOMAINS))
    heights = axis.transData.transform([(0, value) for value in (1, 2, 4, 8)])[:, 1]
    np.testing.assert_allclose(np.diff(heights), heights[1] - heights[0])


def test_fad_without_an_error_still_has_its_line():
    table = distances(1).assign(std_error=np.nan)
    (axis,) = panels(figures.fad(table, DOMAINS))
    for emotion, (_, y) in lines(axis).items():
        np.testing.assert_allclose(y, table[table["emotion"] == emotion]["fad"])


def test_an_emotion_looks_alike_in_both_figures():
    (fad,) = panels(figures.fad(distances(1), DOMAINS))
    recall = panels(figures.probe_emotions(probes(1, 1, 1), EMOTIONS))[0]
    looks = [
        {line.get_label(): (line.get_color(), line.get_marker()) for line in axis.get_lines()} for axis in (fad, recall)
    ]
    for emotion in EMOTIONS:
        assert looks[0][emotion] == looks[1][emotion]


def test_nothing_is_cut_off_or_drawn_over(tmp_path):
    # the legend lies below the panels
    figure = figures.probe_emotions(probes(3, 2, 1), EMOTIONS)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert all(box.y1 <= axis.get_window_extent().y0 for axis in panels(figure))


# --- files


FIGURES = {
    "probe_layers": lambda: figures.probe_layers(probes(3, 2, 2)),
    "probe_emotions": lambda: figures.probe_emotions(probes(1, 2, 1), EMOTIONS),
    "fad": lambda: figures.fad(distances(1), DOMAINS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_both_formats_and_the_same_bytes_twice(tmp_path, name):
    paths = [[tmp_path / f"{i}" / f"{name}.{suffix}" for suffix in ("png", "pdf")] for i in range(2)]
    for some in paths:
        figures.save(FIGURES[name](), [str(p) for p in some], "a notice")
    for one, other in zip(*paths, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert paths[0][0].read_bytes().startswith(b"\x89PNG")
    assert paths[0][1].read_bytes().startswith(b"%PDF")
    assert sorted(p.name for p in paths[0][0].parent.iterdir()) == [f"{name}.pdf", f"{name}.png"]
    assert plt.get_fignums() == []


def red(path: Path) -> int:
    """Pixels of the notice's red."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return int((np.abs(pixels - matplotlib.colors.to_rgb("#B00000")).max(axis=2) < 0.02).sum())


def test_the_notice_is_seen(tmp_path):
    for i, notice in enumerate(["", "These numbers mean nothing."]):
        figures.save(FIGURES["fad"](), [str(tmp_path / f"{i}.png")], notice)
    assert red(tmp_path / "0.png") == 0
    assert red(tmp_path / "1.png") > 500
    # below the figure, which is as it was
    without, with_notice = (matplotlib.image.imread(tmp_path / f"{i}.png") for i in range(2))
    assert with_notice.shape[0] > without.shape[0]
