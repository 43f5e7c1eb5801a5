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


def probes(models: int, protocols: int, layers: int = 4) -> pd.DataFrame:
    """Rows of `evaluation.measure` on probes."""
    rng = np.random.default_rng(0)
    keys = itertools.product(
        ["w2v2", "hubert", "mert"][:models],
        DOMAINS,
        [*(f"{i:02d}" for i in range(layers)), "mean", "selected"],
        ["random", "speaker"][:protocols],
        ["accuracy", "uar", *(f"recall_{e}" for e in EMOTIONS)],
    )
    rows = []
    for model, domain, layer, protocol, metric in keys:
        value = rng.uniform(0.3, 0.8)
        rows.append(
            {"model": model, "approach": "probe", "protocol": protocol, "test_domain": domain, "layer": layer}
            | {"metric": metric, "value": value, "low": value - rng.uniform(0, 0.2), "high": value + 0.1}
        )
    return pd.DataFrame(rows)


def of(table: pd.DataFrame, **keys) -> pd.DataFrame:
    """The numbered layers of some rows, in %."""
    for key, value in keys.items():
        table = table[table[key] == value]
    numbered = table[table["layer"].str.isdigit()]
    return numbered[["value", "low", "high"]].mul(100)


def distances(models: int, layers: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        [
            {"model": model, "layer": f"{layer:02d}", "emotion": e, "fad_corrected": rng.uniform(1, 9)}
            for model in ["w2v2", "hubert", "mert"][:models]
            for layer in range(layers)
            for e in [*EMOTIONS, "all"]
        ]
    )
    means = table[table["layer"] != "00"].groupby(["model", "emotion"], as_index=False)["fad_corrected"].mean()
    return within(pd.concat([table, means.assign(layer="all")], ignore_index=True), rng.uniform(0.1, 0.5))


def within(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Distances with intervals that reach so far either way."""
    fad = table["fad_corrected"]
    return table.assign(fad_corrected_low=fad - margin, fad_corrected_high=fad + margin)


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


@pytest.mark.parametrize(("models", "protocols"), [(1, 1), (3, 2)])
def test_probe_layers(models, protocols):
    table = probes(models, protocols)
    # rows may come in any order
    figure = figures.probe_layers(
        table.sample(frac=1, random_state=0).sort_values("model", key=lambda c: c != "w2v2"), EMOTIONS
    )
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{d}, {p} split" for d in DOMAINS for p in table["protocol"].unique()}
    for (domain, protocol), _ in table.groupby(["test_domain", "protocol"]):
        axis = drawn[f"{domain}, {protocol} split"]
        found = lines(axis)
        assert sorted(found) == sorted(table["model"].unique()) == sorted(legend(figure))
        for i, (model, (x, y)) in enumerate(found.items()):
            some = of(table, model=model, test_domain=domain, protocol=protocol, metric="accuracy")
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, some["value"])
            np.testing.assert_allclose(bands(axis)[i], some[["low", "high"]].T)
        # chance of three emotions
        (chance,) = [line for line in axis.get_lines() if line.get_label().startswith("_")]
        np.testing.assert_allclose(chance.get_ydata(), 100 / 3)
        assert axis.get_ylim() == (0, 100)


def test_ten_layers_and_more_come_in_the_order_of_numbers():
    (x, _) = lines(panels(figures.probe_layers(probes(1, 1, layers=13), EMOTIONS))[0])["w2v2"]
    assert x == list(range(13))


@pytest.mark.parametrize("models", [1, 3])
def test_probe_emotions(models):
    table = probes(models, 1)
    figure = figures.probe_emotions(table, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{m}, {d}" for m in table["model"].unique() for d in DOMAINS}
    assert legend(figure) == EMOTIONS
    for (model, domain), _ in table.groupby(["model", "test_domain"]):
        axis = drawn[f"{model}, {domain}"]
        for i, (emotion, (x, y)) in enumerate(lines(axis).items()):
            some = of(table, model=model, test_domain=domain, metric=f"recall_{emotion}")
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, some["value"])
            np.testing.assert_allclose(bands(axis)[i], some[["low", "high"]].T)
    assert any("random split" in axis.get_xlabel() for axis in figure.axes)


def test_a_recall_that_nobody_knows_is_not_drawn_as_none():
    # an emotion that no test part of a layer holds has no recall; that is not a recall of 0
    table = probes(1, 1)
    table.loc[(table["layer"] == "02") & (table["metric"] == "recall_sad"), ["value", "low", "high"]] = np.nan
    for axis in panels(figures.probe_emotions(table, EMOTIONS)):
        assert np.isnan(lines(axis)["sad"][1][2])
        assert np.isfinite(lines(axis)["calm"][1]).all()


def dots(axis) -> dict[str, list[tuple[float, float]]]:
    """Label to (number, place) of the dots, by place."""
    found = {}
    for line in axis.get_lines():
        if not line.get_label().startswith("_"):
            found[line.get_label()] = sorted(
                zip(line.get_xdata(), line.get_ydata(), strict=True), key=lambda dot: dot[1]
            )
    return found


def two_stages(models: int, protocols: int) -> pd.DataFrame:
    """Rows of `tables.two_stages`."""
    rng = np.random.default_rng(2)
    keys = itertools.product(
        ["random", "speaker"][:protocols],
        [("speech", "music"), ("music", "speech")],
        ["w2v2", "hubert", "mert"][:models],
        ["baseline", "ws"],
    )
    rows = []
    for protocol, (source, target), model, approach in keys:
        row = {"protocol": protocol, "source": source, "target": target, "model": model, "approach": approach}
        for name in ("stage_one", "stage_two", "direct", "equal_budget", "source_after"):
            value = rng.uniform(30, 80)
            row |= {name: value, f"{name}_low": value - 5, f"{name}_high": value + 7}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("models", "protocols"), [(1, 1), (3, 2)])
def test_adapt(models, protocols):
    table = two_stages(models, protocols)
    figure = figures.adapt(table, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{t}, {p} split" for t in DOMAINS for p in table["protocol"].unique()}
    for (target, protocol), some in table.groupby(["target", "protocol"]):
        axis = drawn[f"{target}, {protocol} split"]
        found = dots(axis)
        assert list(found) == legend(figure) == ["target alone", "target twice", "other domain, then target"]
        for (label, values), name in zip(found.items(), ("direct", "equal_budget", "stage_two"), strict=True):
            np.testing.assert_allclose([value for value, _ in values], some[name], err_msg=label)
        # from above: the models in their order, in each the approaches
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names == [f"{row.model} {row.approach}" for row in some.itertuples()]
        ends = np.concatenate([[s[:, 0] for s in bars.get_segments()] for bars in axis.collections])
        assert len(ends) == 3 * len(some)
        np.testing.assert_allclose(np.diff(ends), 12)


def test_leakage():
    rows = []
    for test_domain, (approach, layer), target in itertools.product(
        DOMAINS, [("probe", "1"), ("probe", "selected"), ("ws", "")], ["", "speech", "music"]
    ):
        source = test_domain if not target else "music" if target == "speech" else "speech"
        if approach == "probe" and target:
            continue
        rows.append(
            {"model": "w2v2", "approach": approach, "source": source, "target": target, "test_domain": test_domain}
            | {"layer": layer, "random": 60.0 + len(rows), "random_low": 55, "random_high": 70}
            | {"speaker": 50.0 + len(rows), "speaker_low": 45, "speaker_high": 60}
        )
    table = pd.DataFrame(rows)
    figure = figures.leakage(table, DOMAINS, EMOTIONS)
    for axis, domain in zip(panels(figure), DOMAINS, strict=True):
        assert axis.get_title() == domain
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names == ["w2v2 probe", "w2v2 ws", "w2v2 ws, two stages"]
        some = table[(table["test_domain"] == domain) & (table["layer"] != "1")]
        # what was trained on the other domain last is about forgetting
        some = some[(some["target"] == "") | (some["target"] == domain)]
        for label, values in dots(axis).items():
            np.testing.assert_allclose([value for value, _ in values], some[label.split()[0]])


def confusions() -> pd.DataFrame:
    """Two encoders, two domains; `sad` was never tested in music."""
    rng = np.random.default_rng(3)
    rows = []
    for model in ("w2v2", "mert"):
        for domain, layer in [(d, n) for d in DOMAINS for n in ("01", "selected")]:
            for true in EMOTIONS:
                shares = rng.dirichlet(np.ones(len(EMOTIONS)))
                for predicted, share in zip(EMOTIONS, shares, strict=True):
                    tested = (domain, true) != ("music", "sad")
                    keys = {"model": model, "test_domain": domain, "layer": layer, "protocol": "speaker"}
                    rows.append(keys | {"true": true, "predicted": predicted, "share": share if tested else np.nan})
    return pd.DataFrame(rows)


def test_confusion_says_what_the_counts_say():
    table = confusions()
    # rows may come in any order, but encoders and domains keep theirs
    figure = figures.confusion(table, EMOTIONS)
    assert [axis.get_title() for axis in figure.axes] == [f"{m}, {d}" for m in ("w2v2", "mert") for d in DOMAINS]
    assert "speaker split" in figure.get_supxlabel()
    for axis in figure.axes:
        model, domain = axis.get_title().split(", ")
        some = table[(table["model"] == model) & (table["test_domain"] == domain) & (table["layer"] == "selected")]
        wanted = {(r.true, r.predicted): r.share for r in some.itertuples()}
        written = {text.get_position(): text.get_text() for text in axis.texts}
        (image,) = axis.get_images()
        for i, true in enumerate(EMOTIONS):
            for j, predicted in enumerate(EMOTIONS):
                share = wanted[true, predicted]
                np.testing.assert_allclose(image.get_array().filled(np.nan)[i, j], 100 * share)
                assert written[j, i] == ("" if np.isnan(share) else f"{100 * share:.0f}")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(EMOTIONS)
    assert [t.get_text() for t in figure.axes[2].get_xticklabels()] == list(EMOTIONS)


@pytest.mark.parametrize("models", [1, 3])
def test_fad(models):
    table = distances(models)
    # rows may come in any order
    figure = figures.fad(table.sample(frac=1, random_state=0), DOMAINS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == set(table["model"].unique())
    assert sorted(legend(figure)) == sorted([*EMOTIONS, "all"])
    assert "speech to music" in figure.get_suptitle()
    for (model, emotion), some in table[table["layer"] != "all"].groupby(["model", "emotion"]):
        found = lines(drawn[model])
        assert found[emotion][0] == [0, 1, 2, 3]
        np.testing.assert_allclose(found[emotion][1], some["fad_corrected"])
        low, high = bands(drawn[model])[list(found).index(emotion)]
        np.testing.assert_allclose(low, some["fad_corrected_low"])
        np.testing.assert_allclose(high, some["fad_corrected_high"])
        bottom, top = drawn[model].get_ylim()
        assert 0 < bottom < some["fad_corrected"].min()
        assert top > some["fad_corrected"].max()


def test_fad_whose_band_reaches_below_zero_is_still_seen():
    table = distances(1)
    for margin in (20.0, table["fad_corrected"].min() - 1e-9):
        (axis,) = panels(figures.fad(within(table, margin), DOMAINS))
        bottom, top = axis.get_ylim()
        assert 0.2 * table["fad_corrected"].min() < bottom < table["fad_corrected"].min()
        assert table["fad_corrected"].max() < top


def test_equal_ratios_of_fad_get_equal_room():
    (axis,) = panels(figures.fad(distances(1), DOMAINS))
    heights = axis.transData.transform([(0, value) for value in (1, 2, 4, 8)])[:, 1]
    np.testing.assert_allclose(np.diff(heights), heights[1] - heights[0])


def test_fad_without_an_error_still_has_its_line():
    table = within(distances(1), np.nan)
    (axis,) = panels(figures.fad(table, DOMAINS))
    for emotion, (_, y) in lines(axis).items():
        here = (table["emotion"] == emotion) & (table["layer"] != "all")
        np.testing.assert_allclose(y, table[here]["fad_corrected"])


def test_an_emotion_looks_alike_in_both_figures():
    (fad,) = panels(figures.fad(distances(1), DOMAINS))
    recall = panels(figures.probe_emotions(probes(1, 1), EMOTIONS))[0]
    looks = [
        {line.get_label(): (line.get_color(), line.get_marker()) for line in axis.get_lines()} for axis in (fad, recall)
    ]
    for emotion in EMOTIONS:
        assert looks[0][emotion] == looks[1][emotion]


def test_nothing_is_cut_off_or_drawn_over(tmp_path):
    # the legend lies below the panels
    figure = figures.probe_emotions(probes(3, 1), EMOTIONS)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert all(box.y1 <= axis.get_window_extent().y0 for axis in panels(figure))


# --- the log-mel baseline, which has layer 0 alone


def with_baseline(table: pd.DataFrame) -> pd.DataFrame:
    first = table[table["layer"].isin([0, "00", "mean", "selected"]) & (table["model"] == "w2v2")]
    return pd.concat([table, first.assign(model="logmel")], ignore_index=True)


def level(axis, label: str):
    """The one height of a dashed line from edge to edge, and its band."""
    (line,) = [line for line in axis.get_lines() if line.get_label() == label]
    assert line.get_linestyle() == "--"
    assert list(line.get_xdata()) == [0, 1]
    assert line.get_transform() == axis.get_yaxis_transform(which="grid")
    height, same = line.get_ydata()
    assert height == same
    bands = [patch for patch in axis.patches if patch.get_facecolor()[:3] == matplotlib.colors.to_rgb(line.get_color())]
    return height, [(band.get_y(), band.get_y() + band.get_height()) for band in bands]


def test_a_baseline_is_a_level_across_the_layers():
    table = with_baseline(probes(2, 2))
    figure = figures.probe_layers(table, EMOTIONS)
    assert legend(figure) == ["w2v2", "hubert", "logmel"]
    for axis in panels(figure):
        domain, protocol = axis.get_title().removesuffix(" split").split(", ")
        some = of(table, test_domain=domain, protocol=protocol, model="logmel", metric="accuracy").iloc[0]
        height, (band,) = level(axis, "logmel")
        assert height == pytest.approx(some["value"])
        assert band == pytest.approx((some["low"], some["high"]))
        # the layers of the others set the width
        assert axis.get_xlim()[1] < 4
        assert lines(axis)["w2v2"][0] == [0, 1, 2, 3]


def test_a_baseline_in_the_other_figures():
    table = with_baseline(probes(1, 1))
    drawn = {axis.get_title(): axis for axis in panels(figures.probe_emotions(table, EMOTIONS))}
    for domain in DOMAINS:
        for emotion in EMOTIONS:
            some = of(table, test_domain=domain, model="logmel", metric=f"recall_{emotion}").iloc[0]
            height, (band,) = level(drawn[f"logmel, {domain}"], emotion)
            assert height == pytest.approx(some["value"])
            assert band == pytest.approx((some["low"], some["high"]))
    table = with_baseline(distances(1))
    drawn = {axis.get_title(): axis for axis in panels(figures.fad(table, DOMAINS))}
    for row in table[table["model"] == "logmel"].itertuples():
        height, (band,) = level(drawn["logmel"], row.emotion)
        assert height == pytest.approx(row.fad_corrected)
        assert band == pytest.approx((row.fad_corrected_low, row.fad_corrected_high))


@pytest.mark.parametrize("error", [np.nan, 100.0])
def test_a_baseline_whose_error_is_unknown_or_large_is_still_seen(tmp_path, error):
    table = within(with_baseline(distances(1)), error)
    table = table[table["model"] == "logmel"]
    figure = figures.fad(table, DOMAINS)
    (axis,) = panels(figure)
    bottom, top = axis.get_ylim()
    assert 0 < bottom < table["fad_corrected"].min() < table["fad_corrected"].max() < top
    figures.save(figure, [str(tmp_path / "a.png"), str(tmp_path / "a.pdf")], "")


# --- files


FIGURES = {
    "probe_layers": lambda: figures.probe_layers(probes(3, 2), EMOTIONS),
    "probe_emotions": lambda: figures.probe_emotions(probes(1, 1), EMOTIONS),
    "fad": lambda: figures.fad(distances(1), DOMAINS),
    "confusion": lambda: figures.confusion(confusions(), EMOTIONS),
    "adapt": lambda: figures.adapt(two_stages(3, 2), EMOTIONS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_all_formats_and_the_same_bytes_twice(tmp_path, name):
    paths = [[tmp_path / f"{i}" / f"{name}.{suffix}" for suffix in ("png", "pdf", "svg")] for i in range(2)]
    for some in paths:
        figures.save(FIGURES[name](), [str(p) for p in some], "a notice")
    for one, other in zip(*paths, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert paths[0][0].read_bytes().startswith(b"\x89PNG")
    assert paths[0][1].read_bytes().startswith(b"%PDF")
    assert b"<svg" in paths[0][2].read_bytes()
    assert sorted(p.name for p in paths[0][0].parent.iterdir()) == [f"{name}.{s}" for s in ("pdf", "png", "svg")]
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
