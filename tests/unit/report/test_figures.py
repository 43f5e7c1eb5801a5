"""Figures draw the numbers of their tables."""

from __future__ import annotations

import itertools
import runpy
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from common import ROOT
from made_results import map_of_clips, pick
from speechsong.report import figures, style

EMOTIONS = ["calm", "happy", "sad"]
DOMAINS = ["speech", "music"]


def probes(models: int, protocols: int, layers: int = 4) -> pd.DataFrame:
    """Make rows of `scores.measure` on probes."""
    rng = np.random.default_rng(0)
    keys = itertools.product(
        ["w2v2", "hubert", "mert"][:models],
        DOMAINS,
        [*(("layer", i) for i in range(layers)), ("mean", None), ("selected", None)],
        ["random", "speaker"][:protocols],
        ["accuracy", "uar", *(f"recall_{e}" for e in EMOTIONS)],
    )
    rows = []
    for model, domain, (over, layer), protocol, metric in keys:
        value = rng.uniform(0.3, 0.8)
        rows.append(
            {"model": model, "approach": "probe", "fit": "paper", "protocol": protocol}
            | {"source": domain, "target": "", "test_domain": domain}
            | {"over": over, "layer": layer}
            | {"metric": metric, "value": value, "low": value - rng.uniform(0, 0.2), "high": value + 0.1}
        )
    return pd.DataFrame(rows).astype({"layer": "Int64"})


def of(table: pd.DataFrame, **keys) -> pd.DataFrame:
    """Pick numbers of single layers, in %."""
    return pick(table, over="layer", **keys)[["value", "low", "high"]].mul(100)


def distances(models: int, layers: int = 4) -> pd.DataFrame:
    """Make rows of `ranking.table`."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        [
            {"model": model, "over": "layer", "layer": layer, "emotion": e, "fad_corrected": rng.uniform(1, 9)}
            for model in ["w2v2", "hubert", "mert"][:models]
            for layer in range(layers)
            for e in [*EMOTIONS, "all"]
        ]
    ).astype({"layer": "Int64"})
    means = table[table["layer"] > 0].groupby(["model", "emotion"], as_index=False)["fad_corrected"].mean()
    return within(pd.concat([table, means.assign(over="mean")], ignore_index=True), rng.uniform(0.1, 0.5))


def pairs(models: int) -> pd.DataFrame:
    """Make rows of `nearest.estimates`."""
    rng = np.random.default_rng(2)
    keys = itertools.product(["w2v2", "hubert", "mert", "m4"][:models], ["layer", "mean"], EMOTIONS, EMOTIONS)
    rows = [
        {"model": model, "over": over, "layer": 1 if over == "layer" else None}
        | {"emotion_speech": a, "emotion_music": b, "fad": rng.uniform(5, 9), "fad_corrected": rng.uniform(1, 5)}
        for model, over, a, b in keys
    ]
    return pd.DataFrame(rows).astype({"layer": "Int64"})


def within(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Give distances intervals that reach so far either way."""
    fad = table["fad_corrected"]
    return table.assign(fad_corrected_low=fad - margin, fad_corrected_high=fad + margin)


def panels(figure) -> list:
    return [axis for axis in figure.axes if axis.get_lines()]


def lines(axis) -> dict[str, tuple[list, list]]:
    """Map the labels of lines to their x and y."""
    labelled = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in labelled}


def bands(axis) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find the lower and upper edge of each band, by layer, in the order of the lines."""
    edges = []
    for band in axis.collections:
        vertices = band.get_paths()[0].vertices
        x = np.unique(vertices[:, 0])
        edges.append(tuple(np.array([f(vertices[vertices[:, 0] == v, 1]) for v in x]) for f in (np.min, np.max)))
    return edges


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("models", "protocols"), [(1, 1), (3, 2)])
def test_probe_layers(models, protocols):
    table = probes(models, protocols)
    # rows may come in any order
    mixed = table.sample(frac=1, random_state=0).sort_values("model", key=lambda c: c != "w2v2")
    figure = figures.probe_layers(mixed, DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{d}\n{p} split" for d in DOMAINS for p in table["protocol"].unique()}
    for (domain, protocol), _ in table.groupby(["test_domain", "protocol"]):
        axis = drawn[f"{domain}\n{protocol} split"]
        by_model = lines(axis)
        assert sorted(by_model) == sorted(table["model"].unique()) == sorted(legend(figure))
        for i, (model, (x, y)) in enumerate(by_model.items()):
            rows = of(table, model=model, test_domain=domain, protocol=protocol, metric="accuracy")
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, rows["value"])
            np.testing.assert_allclose(bands(axis)[i], rows[["low", "high"]].T)
        # chance of three emotions
        (chance,) = [line for line in axis.get_lines() if line.get_label().startswith("_")]
        np.testing.assert_allclose(chance.get_ydata(), 100 / 3)
        assert axis.get_ylim() == (0, 100)


def test_ten_layers_and_more_come_in_the_order_of_numbers():
    (x, _) = lines(panels(figures.probe_layers(probes(1, 1, layers=13), DOMAINS, EMOTIONS))[0])["w2v2"]
    assert x == list(range(13))


@pytest.mark.parametrize("models", [1, 3])
def test_probe_emotions(models):
    table = probes(models, 1)
    figure = figures.probe_emotions(table, DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{m}, {d}" for m in table["model"].unique() for d in DOMAINS}
    assert legend(figure) == EMOTIONS
    for (model, domain), _ in table.groupby(["model", "test_domain"]):
        axis = drawn[f"{model}, {domain}"]
        for i, (emotion, (x, y)) in enumerate(lines(axis).items()):
            rows = of(table, model=model, test_domain=domain, metric=f"recall_{emotion}")
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, rows["value"])
            np.testing.assert_allclose(bands(axis)[i], rows[["low", "high"]].T)
    assert any("random split" in axis.get_xlabel() for axis in figure.axes)


def test_a_recall_that_nobody_knows_is_not_drawn_as_none():
    # an emotion that no test part of a layer holds has no recall; that is not a recall of 0
    table = probes(1, 1)
    table.loc[(table["layer"] == 2) & (table["metric"] == "recall_sad"), ["value", "low", "high"]] = np.nan
    for axis in panels(figures.probe_emotions(table, DOMAINS, EMOTIONS)):
        assert np.isnan(lines(axis)["sad"][1][2])
        assert np.isfinite(lines(axis)["calm"][1]).all()


def dots(axis) -> dict[str, list[tuple[float, float]]]:
    """Map labels to (number, place) of their dots, from the top."""
    by_label = {}
    for line in axis.get_lines():
        if not line.get_label().startswith("_"):
            xy = zip(line.get_xdata(), line.get_ydata(), strict=True)
            by_label[line.get_label()] = sorted(xy, key=lambda dot: dot[1])
    return by_label


def two_stages(models: int, protocols: int) -> pd.DataFrame:
    """Make rows of `summaries.two_stages`."""
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
        for name in ("stage_one", "stage_two", "direct", "equal_budget", "joint", "source_after"):
            value = rng.uniform(30, 80)
            row |= {name: value, f"{name}_low": value - 5, f"{name}_high": value + 7}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("models", "protocols"), [(1, 1), (3, 2)])
def test_adapt(models, protocols):
    table = two_stages(models, protocols)
    figure = figures.adapt(table, DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{t}, {p} split" for t in DOMAINS for p in table["protocol"].unique()}
    for (target, protocol), rows in table.groupby(["target", "protocol"]):
        axis = drawn[f"{target}, {protocol} split"]
        by_label = dots(axis)
        labels = ["target alone", "target twice", "both together", "other domain, then target"]
        assert list(by_label) == legend(figure) == labels
        names = ("direct", "equal_budget", "joint", "stage_two")
        for (label, values), name in zip(by_label.items(), names, strict=True):
            np.testing.assert_allclose([value for value, _ in values], rows[name], err_msg=label)
        # from above: the models in their order, in each the approaches
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names == [f"{row.model} {row.approach}" for row in rows.itertuples()]
        ends = np.concatenate([[s[:, 0] for s in bars.get_segments()] for bars in axis.collections])
        assert len(ends) == 4 * len(rows)
        np.testing.assert_allclose(np.diff(ends), 12)


def leakages() -> pd.DataFrame:
    """Make rows of `comparisons.leakage`."""
    rows = []
    for test_domain, (approach, over, layer), target in itertools.product(
        DOMAINS,
        [("probe", "layer", 1), ("probe", "mean", None), ("probe", "selected", None), ("ws", "", None)],
        ["", "speech", "music"],
    ):
        source = test_domain if not target else "music" if target == "speech" else "speech"
        if approach == "probe" and target:
            continue
        rows.append(
            {
                "model": "w2v2",
                "approach": approach,
                "fit": "paper" if approach == "probe" else "",
                "source": source,
                "target": target,
                "test_domain": test_domain,
            }
            | {"over": over, "layer": layer, "random": 60.0 + len(rows), "random_low": 55, "random_high": 70}
            | {"speaker": 50.0 + len(rows), "speaker_low": 45, "speaker_high": 60}
        )
    return pd.DataFrame(rows).astype({"layer": "Int64"})


def test_leakage():
    table = leakages()
    figure = figures.leakage(table, DOMAINS, EMOTIONS)
    for axis, domain in zip(panels(figure), DOMAINS, strict=True):
        assert axis.get_title() == domain
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names == ["w2v2 probe", "w2v2 ws", "w2v2 ws, two stages"]
        wanted = table[(table["test_domain"] == domain) & table["over"].isin(["", "selected"])]
        # what was trained on the other domain last is about forgetting
        wanted = wanted[(wanted["target"] == "") | (wanted["target"] == domain)]
        for label, values in dots(axis).items():
            np.testing.assert_allclose([value for value, _ in values], wanted[label.split()[0]])


def confusions() -> pd.DataFrame:
    """Make rows of `scores.confusion`, where `sad` was never tested in music."""
    rng = np.random.default_rng(3)
    rows = []
    for model in ("w2v2", "mert"):
        for domain, over in itertools.product(DOMAINS, ("layer", "selected")):
            for true in EMOTIONS:
                shares = rng.dirichlet(np.ones(len(EMOTIONS)))
                for predicted, share in zip(EMOTIONS, shares, strict=True):
                    tested = (domain, true) != ("music", "sad")
                    keys = {"model": model, "source": domain, "target": "", "test_domain": domain, "over": over}
                    keys |= {"protocol": "speaker", "fit": "paper"}
                    rows.append(keys | {"true": true, "predicted": predicted, "share": share if tested else np.nan})
    return pd.DataFrame(rows)


def test_confusion_says_what_the_counts_say():
    table = confusions()
    # rows may come in any order, but encoders and domains keep theirs
    figure = figures.confusion(table, DOMAINS, EMOTIONS)
    assert [axis.get_title() for axis in figure.axes] == [f"{m}, {d}" for m in ("w2v2", "mert") for d in DOMAINS]
    assert "speaker split" in figure.get_supxlabel()
    for axis in figure.axes:
        model, domain = axis.get_title().split(", ")
        rows = pick(table, model=model, test_domain=domain, over="selected")
        wanted = {(r.true, r.predicted): r.share for r in rows.itertuples()}
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
    figure = figures.fad(table.sample(frac=1, random_state=0), DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == set(table["model"].unique())
    assert legend(figure) == [*EMOTIONS, "all"]
    assert "speech to music" in figure.get_suptitle()
    for (model, emotion), rows in pick(table, over="layer").groupby(["model", "emotion"]):
        by_emotion = lines(drawn[model])
        assert by_emotion[emotion][0] == [0, 1, 2, 3]
        np.testing.assert_allclose(by_emotion[emotion][1], rows["fad_corrected"])
        low, high = bands(drawn[model])[list(by_emotion).index(emotion)]
        np.testing.assert_allclose(low, rows["fad_corrected_low"])
        np.testing.assert_allclose(high, rows["fad_corrected_high"])
        bottom, top = drawn[model].get_ylim()
        assert 0 < bottom < rows["fad_corrected"].min()
        assert top > rows["fad_corrected"].max()


def test_fad_whose_band_reaches_below_zero_is_still_seen():
    table = distances(1)
    for margin in (20.0, table["fad_corrected"].min() - 1e-9):
        (axis,) = panels(figures.fad(within(table, margin), DOMAINS, EMOTIONS))
        bottom, top = axis.get_ylim()
        assert 0.2 * table["fad_corrected"].min() < bottom < table["fad_corrected"].min()
        assert table["fad_corrected"].max() < top


def test_equal_ratios_of_fad_get_equal_room():
    (axis,) = panels(figures.fad(distances(1), DOMAINS, EMOTIONS))
    heights = axis.transData.transform([(0, value) for value in (1, 2, 4, 8)])[:, 1]
    np.testing.assert_allclose(np.diff(heights), heights[1] - heights[0])


def test_fad_without_an_error_still_has_its_line():
    table = within(distances(1), np.nan)
    (axis,) = panels(figures.fad(table, DOMAINS, EMOTIONS))
    for emotion, (_, y) in lines(axis).items():
        np.testing.assert_allclose(y, pick(table, over="layer", emotion=emotion)["fad_corrected"])


def test_an_emotion_looks_alike_in_both_figures():
    (fad,) = panels(figures.fad(distances(1), DOMAINS, EMOTIONS))
    recall = panels(figures.probe_emotions(probes(1, 1), DOMAINS, EMOTIONS))[0]
    looks = [
        {line.get_label(): (line.get_color(), line.get_marker()) for line in axis.get_lines()} for axis in (fad, recall)
    ]
    for emotion in EMOTIONS:
        assert looks[0][emotion] == looks[1][emotion]


@pytest.mark.parametrize("models", [1, 3])
def test_the_papers_figures(models):
    table = probes(models, 1)
    for axis, model in zip(
        panels(figures.paper_layers(table, DOMAINS, EMOTIONS)), table["model"].unique(), strict=True
    ):
        assert axis.get_title() == model
        for domain, (x, y) in lines(axis).items():
            rows = of(table, model=model, test_domain=domain, metric="accuracy")
            assert x == [0, 1, 2, 3]
            np.testing.assert_allclose(y, rows["value"])
    figure = figures.paper_emotions(table, DOMAINS, EMOTIONS)
    assert [axis.get_title() for axis in panels(figure)] == [
        f"{m}, {d}" for d in DOMAINS for m in table["model"].unique()
    ]
    (_, y) = lines(panels(figure)[-1])["sad"]
    last = table["model"].unique()[-1]
    np.testing.assert_allclose(y, of(table, model=last, test_domain="music", metric="recall_sad")["value"])
    fads = distances(models).assign(fad=lambda t: 2 * t["fad_corrected"])
    figure = figures.paper_fad(fads.sample(frac=1, random_state=0), DOMAINS, EMOTIONS)
    for axis in panels(figure):
        assert axis.get_yscale() == "linear"
        for emotion, (_, y) in lines(axis).items():
            rows = pick(fads, model=axis.get_title(), over="layer", emotion=emotion)
            np.testing.assert_allclose(y, rows["fad"])


def both_fits() -> pd.DataFrame:
    table = probes(2, 2)
    return pd.concat([table, table.assign(fit="converged", value=table["value"] / 2)], ignore_index=True)


def test_each_fit_has_its_panels():
    table = both_fits()
    drawn = {axis.get_title(): axis for axis in panels(figures.probe_layers(table, DOMAINS, EMOTIONS))}
    assert len(drawn) == 2 * 2 * 2
    for fit in ("paper", "converged"):
        rows = of(table, model="w2v2", test_domain="music", protocol="speaker", metric="accuracy", fit=fit)
        (_, y) = lines(drawn[f"music\nspeaker split, {fit}"])["w2v2"]
        np.testing.assert_allclose(y, rows["value"])


def test_one_model_of_one_state_alone():
    # log-mel by itself: one row in each panel
    (_, y) = next(iter(lines(panels(figures.probe_layers(probes(1, 1, layers=1), DOMAINS, EMOTIONS))[0]).values()))
    assert len(set(y)) == 1


def transfers() -> pd.DataFrame:
    """Make rows of `transfer.transfer`."""
    rng = np.random.default_rng(5)
    rows = []
    for model, fit, protocol, (source, target) in itertools.product(
        ("w2v2", "mert"), ("paper", "converged"), ("random", "speaker"), (DOMAINS, DOMAINS[::-1])
    ):
        for over, layer, emotion in [
            *(("layer", k, e) for k in range(3) for e in ("all", "sad")),
            ("mean", None, "all"),
        ]:
            across = rng.uniform(20, 50)
            rows.append(
                {"model": model, "approach": "probe", "fit": fit, "protocol": protocol, "source": source}
                | {"target": target, "over": over, "layer": layer, "emotion": emotion}
                | {"within": rng.uniform(50, 90), "across": across, "across_low": across - 5, "across_high": across + 4}
            )
    return pd.DataFrame(rows).astype({"layer": "Int64"})


def test_transfer():
    table = transfers()
    figure = figures.transfer(table.sample(frac=1, random_state=0).sort_values("model"), DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert len(drawn) == 2 * 2 * 2
    axis = drawn["music to speech\nspeaker split, converged"]
    keys = {"source": "music", "protocol": "speaker", "fit": "converged", "over": "layer", "emotion": "all"}
    for model, (x, y) in lines(axis).items():
        rows = pick(table, model=model, **keys)
        assert x == [0, 1, 2]
        np.testing.assert_allclose(y, rows["across"])
        dotted = [line for line in axis.get_lines() if len(line.get_xdata()) == 3 and line.get_linestyle() == ":"]
        assert any(np.allclose(line.get_ydata(), rows["within"]) for line in dotted)
    assert sorted(legend(figure)) == ["mert", "w2v2"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.probe_layers(both_fits(), DOMAINS, EMOTIONS),
        lambda: figures.transfer(transfers(), DOMAINS, EMOTIONS),
        lambda: figures.confusion(confusions().replace({"model": {"mert": "hubert-random"}}), DOMAINS, EMOTIONS[:2]),
    ],
    ids=["layers", "transfer", "confusion"],
)
def test_titles_do_not_run_into_each_other(draw):
    figure = draw()
    figure.canvas.draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("last", [0, 1, 2, 12])
def test_no_tick_lies_between_two_layers(last):
    figure, ((axis,),) = figures._layer_panels(1, 1, 2.0)
    axis.plot(range(last + 1), [0.5] * (last + 1))
    figure.canvas.draw()
    assert [tick for tick in axis.get_xticks() if tick != round(tick)] == []


def test_nothing_is_cut_off_or_drawn_over(tmp_path):
    # the legend lies below the panels
    figure = figures.probe_emotions(probes(3, 1), DOMAINS, EMOTIONS)
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert all(box.y1 <= axis.get_window_extent().y0 for axis in panels(figure))


# --- pairs of emotions


@pytest.mark.parametrize("models", [1, 2, 4])
@pytest.mark.parametrize("value", ["fad_corrected", "fad"])
def test_pairs_are_shares_of_the_mean_of_their_panel(models, value):
    table = pairs(models)
    if value == "fad":
        table["fad_corrected"] = np.nan
    figure = figures.fad_pairs(table.sample(frac=1, random_state=0), DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure) if axis.get_visible() and axis.get_title()}
    assert set(drawn) == set(table["model"])
    for model, axis in drawn.items():
        rows = pick(table, model=model, over="mean").set_index(["emotion_speech", "emotion_music"])[value]
        shares = rows / np.exp(np.log(rows).mean())
        texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axis.texts}
        for (i, a), (k, b) in itertools.product(enumerate(EMOTIONS), repeat=2):
            assert texts[i, k] == f"{shares[a, b]:.2f}"
        boxes = [(round(p.get_y() + 0.46), round(p.get_x() + 0.46)) for p in axis.patches]
        assert boxes == [(i, EMOTIONS.index(rows[a].idxmin())) for i, a in enumerate(EMOTIONS)]
        (dots,) = axis.get_lines()
        wanted = [EMOTIONS.index(rows[:, b].idxmin()) for b in EMOTIONS]
        assert [round(y) for y in dots.get_ydata()] == wanted
        assert [round(x) for x in dots.get_xdata()] == list(range(len(EMOTIONS)))
    assert legend(figure) == ["nearest of its row", "nearest of its column"]


def test_pairs_with_equal_groups_are_drawn():
    """A distance of zero has no logarithm: the cell says so and is the nearest."""
    table = pairs(1)
    first = (table["emotion_speech"] == EMOTIONS[1]) & (table["emotion_music"] == EMOTIONS[0])
    table.loc[first & (table["over"] == "mean"), ["fad", "fad_corrected"]] = np.nan
    (axis,) = [axis for axis in panels(figures.fad_pairs(table, DOMAINS, EMOTIONS)) if axis.get_title()]
    texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axis.texts}
    assert texts[1, 0] == "≤ 0"
    assert [text for text in texts.values() if not float(text.replace("≤ 0", "1")) > 0] == []
    assert (1, 0) in [(round(p.get_y() + 0.46), round(p.get_x() + 0.46)) for p in axis.patches]


# --- the log-mel baseline, which has layer 0 alone


def with_baseline(table: pd.DataFrame) -> pd.DataFrame:
    """Add a model with one state, whose numbers are those of the first state of w2v2."""
    first = table[((table["layer"] == 0) | (table["over"] != "layer")) & (table["model"] == "w2v2")]
    return pd.concat([table, first.assign(model="logmel")], ignore_index=True)


def level(axis, label: str):
    """Find the one height of a dashed line from edge to edge, and its band."""
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
    figure = figures.probe_layers(table, DOMAINS, EMOTIONS)
    assert legend(figure) == ["w2v2", "hubert", "logmel"]
    for axis in panels(figure):
        domain, protocol = axis.get_title().removesuffix(" split").split("\n")
        row = of(table, test_domain=domain, protocol=protocol, model="logmel", metric="accuracy").iloc[0]
        height, (band,) = level(axis, "logmel")
        assert height == pytest.approx(row["value"])
        assert band == pytest.approx((row["low"], row["high"]))
        # the layers of the others set the width
        assert axis.get_xlim()[1] < 4
        assert lines(axis)["w2v2"][0] == [0, 1, 2, 3]


def test_a_baseline_in_the_other_figures():
    table = with_baseline(probes(1, 1))
    drawn = {axis.get_title(): axis for axis in panels(figures.probe_emotions(table, DOMAINS, EMOTIONS))}
    for domain in DOMAINS:
        for emotion in EMOTIONS:
            row = of(table, test_domain=domain, model="logmel", metric=f"recall_{emotion}").iloc[0]
            height, (band,) = level(drawn[f"logmel, {domain}"], emotion)
            assert height == pytest.approx(row["value"])
            assert band == pytest.approx((row["low"], row["high"]))
    table = with_baseline(distances(1))
    drawn = {axis.get_title(): axis for axis in panels(figures.fad(table, DOMAINS, EMOTIONS))}
    for row in pick(table, model="logmel", over="layer").itertuples():
        height, (band,) = level(drawn["logmel"], row.emotion)
        assert height == pytest.approx(row.fad_corrected)
        assert band == pytest.approx((row.fad_corrected_low, row.fad_corrected_high))


def test_encoders_side_by_side_say_which_of_them_has_no_layers():
    accuracies, fads = (with_baseline(table) for table in (probes(1, 1), distances(1)))
    fads = fads.assign(fad=fads["fad_corrected"])
    draw = {figures.paper_layers: accuracies, figures.paper_emotions: accuracies, figures.paper_fad: fads}
    for one, table in draw.items():
        figure = one(table, DOMAINS, EMOTIONS)
        figure.canvas.draw()
        *_, encoder, baseline = panels(figure)
        assert (encoder.get_xlabel(), baseline.get_xlabel()) == ("Layer", "no layers")
        assert len(encoder.get_xticks()) > 0
        assert len(baseline.get_xticks()) == 0


@pytest.mark.parametrize("error", [np.nan, 100.0])
def test_a_baseline_whose_error_is_unknown_or_large_is_still_seen(tmp_path, error):
    table = within(with_baseline(distances(1)), error)
    table = pick(table, model="logmel", over="layer")
    figure = figures.fad(table, DOMAINS, EMOTIONS)
    (axis,) = panels(figure)
    bottom, top = axis.get_ylim()
    assert 0 < bottom < table["fad_corrected"].min() < table["fad_corrected"].max() < top
    style.save(figure, [str(tmp_path / "a.png"), str(tmp_path / "a.pdf")], "")


def points() -> pd.DataFrame:
    """Make points of `similarity.similarity`."""
    rng = np.random.default_rng(4)
    keys = itertools.product(["w2v2", "mert"], [("speech", "music"), ("music", "speech")], range(1, 4), EMOTIONS)
    return pd.DataFrame(
        [
            {"model": model, "fit": "paper", "protocol": "speaker", "source": source, "target": target}
            | {"layer": layer, "emotion": e, "fad": rng.uniform(1, 50), "kad": rng.uniform(0, 1)}
            | {"kept": rng.uniform(-0.2, 1)}
            for model, (source, target), layer, e in keys
        ]
    ).astype({"layer": "Int64"})


def test_similarity():
    table = points()
    table.loc[0, "kept"] = 9.0
    table.loc[1, "kept"] = np.nan
    figure = figures.similarity(table, DOMAINS, EMOTIONS)
    assert [axis.get_title() for axis in figure.axes] == [
        f"{model}\n{way}" for model in ("w2v2", "mert") for way in ("speech to music", "music to speech")
    ]
    assert legend(figure) == EMOTIONS
    for axis in figure.axes:
        model, way = axis.get_title().split("\n")
        rows = pick(table, model=model, source=way.split(" to ")[0])
        for emotion, dots in zip(EMOTIONS, axis.collections, strict=True):
            own = pick(rows, emotion=emotion)
            x, y = np.ma.getdata(dots.get_offsets()).T
            np.testing.assert_allclose(x, own["fad"])
            np.testing.assert_allclose(y, (100 * own["kept"]).clip(-50, 150))
            # the deepest layer is the darkest
            assert list(dots.get_alpha()) == sorted(dots.get_alpha())


@pytest.mark.parametrize("reach", [1.05, 2.4, 6.0, 80.0])
def test_labels_of_fads_do_not_touch(reach):
    table = points().assign(fad=lambda t: 0.23 * reach ** t["layer"].sub(1).div(2).astype(float))
    figure = figures.similarity(table, DOMAINS, EMOTIONS)
    figure.canvas.draw()
    for axis in panels(figure)[-2:]:
        boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
        low, high = axis.get_window_extent().intervalx
        shown = sorted((b.x0, b.x1) for b in boxes if low <= (b.x0 + b.x1) / 2 <= high)
        assert shown
        assert all(a[1] < b[0] for a, b in itertools.pairwise(shown))


def strata() -> pd.DataFrame:
    """Make rows of `strata.strata`."""
    rng = np.random.default_rng(5)
    levels = [("intensity", "normal"), ("intensity", "strong"), ("gender", "female"), ("gender", "male")]
    keys = itertools.product(["w2v2", "mert"], ["random", "speaker"], DOMAINS, levels)
    rows = []
    for model, protocol, domain, (attribute, level) in keys:
        value = rng.uniform(40, 80)
        rows.append(
            {"model": model, "fit": "paper", "protocol": protocol, "test_domain": domain}
            | {"attribute": attribute, "level": level}
            | {"accuracy": value, "accuracy_low": value - 3, "accuracy_high": value + 4}
        )
    return pd.DataFrame(rows)


def test_strata():
    table = strata()
    figure = figures.strata(table.sample(frac=1, random_state=0).sort_values("model", kind="stable"), DOMAINS, EMOTIONS)
    drawn = {axis.get_title(): axis for axis in panels(figure)}
    assert set(drawn) == {f"{d}, {p} split" for d in DOMAINS for p in ("random", "speaker")}
    places = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert sorted(places) == sorted((table["attribute"] + " " + table["level"]).unique())
    for title, axis in drawn.items():
        domain, protocol = title.removesuffix(" split").split(", ")
        for model, values in dots(axis).items():
            rows = pick(table, model=model, test_domain=domain, protocol=protocol)
            by_line = dict(zip(rows["attribute"] + " " + rows["level"], rows["accuracy"], strict=True))
            np.testing.assert_allclose([value for value, _ in values], [by_line[place] for place in places])


@pytest.mark.parametrize("models", [2, 5, 8])
def test_marks_of_a_line_keep_together_and_do_not_overlap(models):
    table = strata()
    one = pick(table, model="mert")
    table = pd.concat([one.assign(model=f"model{i}") for i in range(models)], ignore_index=True)
    figure = figures.strata(table, DOMAINS, EMOTIONS)
    figure.canvas.draw()
    axis = panels(figure)[0]
    heights = sorted(axis.transData.transform((0, line.get_ydata()[0]))[1] for line in axis.get_lines()[:models])
    within = np.diff(heights)
    pitch = abs(np.diff(axis.transData.transform([(0, 0), (0, 1)])[:, 1])[0])
    size = axis.get_lines()[0].get_markersize() * figure.dpi / 72
    assert within.min() > 0.9 * size
    assert pitch - (heights[-1] - heights[0]) > 1.2 * within.max()


def weights() -> pd.DataFrame:
    """Make rows of `layer_weights.layer_weights`."""
    rng = np.random.default_rng(6)
    stages = [("speech", ""), ("music", ""), ("speech", "music"), ("music", "speech"), ("music", "music")]
    rows = []
    for model, approach, seed, (source, target) in itertools.product(["w2v2", "mert"], ["ws", "peft"], (0, 1), stages):
        shares = rng.dirichlet(np.ones(3))
        rows += [
            {"model": model, "approach": approach, "protocol": "random", "seed": seed, "source": source}
            | {"target": target, "stage": 2 if target else 1, "layer": layer, "weight": share}
            for layer, share in enumerate(shares, 1)
        ]
    return pd.DataFrame(rows).astype({"layer": "Int64"})


def test_layer_weights():
    table = weights()
    figure = figures.layer_weights(table, DOMAINS, EMOTIONS)
    assert legend(figure) == ["speech", "music", "speech then music", "music then speech"]
    for axis in panels(figure):
        model, approach = axis.get_title().split(", ")
        rows = pick(table, model=model, approach=approach, source="speech", target="music")
        by_layer = 100 * rows.groupby("layer")["weight"].agg(["mean", "min", "max"])
        (x, y) = lines(axis)["speech then music"]
        assert x == [1, 2, 3]
        np.testing.assert_allclose(y, by_layer["mean"])
        np.testing.assert_allclose(bands(axis)[2], by_layer[["min", "max"]].T)
        (equal,) = [line for line in axis.get_lines() if line.get_label().startswith("_")]
        np.testing.assert_allclose(equal.get_ydata(), 100 / 3)


# --- the script


@pytest.mark.parametrize(
    ("name", "table", "wildcards"),
    [
        ("probe_layers", probes(3, 2), {}),
        ("probe_emotions", probes(1, 2), {"protocol": "speaker"}),
        ("confusion", confusions(), {"protocol": "speaker"}),
        ("transfer", transfers(), {}),
        ("similarity", points(), {}),
        ("strata", strata(), {}),
        ("layer_weights", weights(), {}),
        ("clip_map", map_of_clips("mert", "w2v2"), {}),
        ("adapt", two_stages(3, 2), {}),
        ("leakage", leakages(), {}),
        ("fad", distances(2), {}),
        ("fad_pairs", pairs(2), {}),
    ],
)
def test_the_script_draws_each_figure_with_the_same_bytes_again(tmp_path, name, table, wildcards):
    # encoders in files of their own
    paths = [tmp_path / f"{model}.csv" for model in table["model"].unique()]
    for path in paths:
        pick(table, model=path.stem).to_csv(path, index=False)
    snakemake = SimpleNamespace(
        input=paths,
        output=[str(tmp_path / "script.svg")],
        log=[str(tmp_path / "log")],
        params=SimpleNamespace(figure=name, where={}, domains=DOMAINS, emotions=EMOTIONS, notice="Mind this."),
        wildcards=wildcards,
    )
    runpy.run_path(str(ROOT / "workflow/scripts/plot.py"), {"snakemake": snakemake})
    figure = getattr(figures, name)(pick(table, **wildcards), DOMAINS, EMOTIONS)
    style.save(figure, [str(tmp_path / "here.svg")], "Mind this.")
    assert (tmp_path / "script.svg").read_bytes() == (tmp_path / "here.svg").read_bytes()
