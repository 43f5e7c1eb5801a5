"""Figures: one look for all, colours that the colour-blind can tell apart, sizes made for a column of a paper."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from speechsong import files

COLUMN = 3.5  # inches, the width of a column of most conferences

# Okabe and Ito (2008), black kept for `all`: an emotion has its colour and marker in every figure
_PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A", "#B8A800")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
_KNOWN = ("happy", "calm", "neutral", "sad", "angry", "fearful", "disgust", "surprised")
_MODEL_COLOURS = ("#332288", "#CC6677", "#44AA99", "#999933", "#882255", "#117733", "#88CCEE", "#DDCC77")

plt.rcParams.update(
    {
        "font.size": 7.5,
        "axes.titlesize": 8,
        "axes.labelsize": 7.5,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.grid": True,
        "grid.linewidth": 0.3,
        "grid.alpha": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 3,
        "figure.dpi": 100,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,
        # names inside an SVG are drawn from this, not from chance
        "svg.hashsalt": "speechsong",
    }
)


def emotion_style(emotion: str, others: list[str]) -> dict:
    """Colour and marker of an emotion; those beyond RAVDESS's eight take what is left, in the order of `others`."""
    if emotion == "all":
        return {"color": "black", "marker": "", "linestyle": "--"}
    unknown = [e for e in others if e not in _KNOWN and e != "all"]
    free = [i for i, known in enumerate(_KNOWN) if known not in others]
    order = list(range(len(_KNOWN)))
    i = _KNOWN.index(emotion) if emotion in _KNOWN else (free or order)[unknown.index(emotion) % len(free or order)]
    return {"color": _PALETTE[i], "marker": _MARKERS[i]}


def model_style(i: int) -> dict:
    """Colour and marker of the i-th encoder."""
    return {"color": _MODEL_COLOURS[i % len(_MODEL_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def save(figure: Figure, paths: list[str], notice: str) -> None:
    """Write a figure to each path, in the format of its suffix, without a date, so that bytes repeat."""
    if notice:
        figure.canvas.draw()
        below = min([legend.get_window_extent().y0 for legend in figure.legends], default=0)
        place = figure.transFigure.inverted().transform((0, below))[1]
        figure.text(0.5, place, notice, ha="center", va="top", fontsize=6, color="#B00000")
    for path in paths:
        metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(Path(path).suffix)
        with files.atomic(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.03, metadata=metadata)
    plt.close(figure)


def _panels(rows: int, columns: int, height: float, **options) -> tuple[Figure, list[list[plt.Axes]]]:
    figure, axes = plt.subplots(
        rows, columns, figsize=(COLUMN, height), squeeze=False, layout="constrained", sharex="col", **options
    )
    for row in axes:
        for axis in row:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=3))
    return figure, axes


def _percent(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Numbered layers of one metric, ascending, in %."""
    some = metrics[(metrics["metric"] == metric) & ~metrics["layer"].isin(["mean", "selected"])]
    numbers = {column: 100 * some[column] for column in ("value", "low", "high")}
    return some.assign(layer=some["layer"].astype(int), **numbers).sort_values("layer")


def probe_layers(metrics: pd.DataFrame, emotions: list[str]) -> Figure:
    """Draw accuracy by layer: a column a domain, a row a protocol, a line an encoder (the paper's Fig. 1).

    Parameters
    ----------
    metrics
        Rows of `evaluation.measure` on probes. Lines are pooled over seeds, bands 95 % intervals over speakers.
    emotions
        The classes, for the level of chance.
    """
    domains, protocols, models = (list(metrics[c].unique()) for c in ("test_domain", "protocol", "model"))
    accuracy = _percent(metrics, "accuracy")
    figure, axes = _panels(len(protocols), len(domains), 0.55 + 1.3 * len(protocols), sharey=True)
    for row, protocol in zip(axes, protocols, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            some = accuracy[(accuracy["test_domain"] == domain) & (accuracy["protocol"] == protocol)]
            for i, model in enumerate(models):
                line = some[some["model"] == model]
                _line(axis, line["layer"], line["value"], (line["low"], line["high"]), model, model_style(i))
            axis.axhline(100 / len(emotions), color="black", lw=0.7, ls=":")
            axis.set_title(f"{domain}, {protocol} split")
        row[0].set_ylabel("Accuracy (%)")
    for axis in axes[-1]:
        axis.set_xlabel("Layer")
    axes[0][0].set_ylim(0, 100)
    _legend_below(figure, axes[0][0])
    return figure


def probe_emotions(metrics: pd.DataFrame, emotions: list[str]) -> Figure:
    """Draw the recall of each emotion by layer: a column a domain, a row an encoder (the paper's Fig. 2).

    Parameters
    ----------
    metrics
        Rows of `evaluation.measure` on probes, of one protocol. Lines are pooled over seeds, bands 95 % intervals
        over speakers.
    emotions
        In the order of the legend.
    """
    domains, models = (list(metrics[c].unique()) for c in ("test_domain", "model"))
    protocol = metrics["protocol"].iloc[0]
    figure, axes = _panels(len(models), len(domains), 0.7 + 1.35 * len(models), sharey=True)
    for row, model in zip(axes, models, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            some = metrics[(metrics["model"] == model) & (metrics["test_domain"] == domain)]
            for emotion in emotions:
                line = _percent(some, f"recall_{emotion}")
                band = (line["low"], line["high"])
                _line(axis, line["layer"], line["value"], band, emotion, emotion_style(emotion, emotions))
            axis.set_title(f"{model}, {domain}")
        row[0].set_ylabel("Recall (%)")
    for axis in axes[-1]:
        axis.set_xlabel(f"Layer ({protocol} split)")
    axes[0][0].set_ylim(-2, 102)
    _legend_below(figure, axes[0][0])
    return figure


def confusion(counts: pd.DataFrame, emotions: list[str]) -> Figure:
    """Draw which emotion is taken for which: a column a domain, a row an encoder, a cell the share of a true emotion.

    Parameters
    ----------
    counts
        Rows of `evaluation.confusion` on probes, of one protocol; the layer that the validation part selects is drawn.
    emotions
        In the order of the axes.
    """
    counts = counts[counts["layer"] == "selected"]
    domains, models = (list(counts[c].unique()) for c in ("test_domain", "model"))
    protocol = counts["protocol"].iloc[0]
    side = 0.5 + 0.21 * len(emotions)
    figure, axes = plt.subplots(
        len(models),
        len(domains),
        figsize=(0.6 + side * len(domains), 0.6 + side * len(models)),
        squeeze=False,
        layout="constrained",
        sharex=True,
        sharey=True,
    )
    for row, model in zip(axes, models, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            some = counts[(counts["model"] == model) & (counts["test_domain"] == domain)]
            shares = (
                100 * some.pivot(index="true", columns="predicted", values="share").loc[emotions, emotions].to_numpy()
            )
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
            for (i, j), share in np.ndenumerate(shares):
                # an emotion that was never tested has no share
                text = "" if np.isnan(share) else f"{share:.0f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=6, color="white" if share > 55 else "black")
            axis.set_xticks(range(len(emotions)), emotions, rotation=90)
            axis.set_yticks(range(len(emotions)), emotions)
            axis.set_title(f"{model}, {domain}")
            axis.grid(False)
            axis.tick_params(length=0)
    figure.supxlabel(f"Predicted (%, {protocol} split)", fontsize=7.5)
    figure.supylabel("True", fontsize=7.5)
    return figure


def adapt(stages: pd.DataFrame, emotions: list[str]) -> Figure:
    """Draw what two stages give beside what they are to be judged by: a column a target, a row a protocol.

    Parameters
    ----------
    stages
        From `tables.two_stages`. Bars are 95 % intervals over speakers.
    emotions
        The classes, for the level of chance.
    """
    marks = {
        "direct": ("target alone", "#8A8A8A", "o", "white"),
        "equal_budget": ("target twice", "#0072B2", "s", "white"),
        "stage_two": ("other domain, then target", "#D55E00", "D", "#D55E00"),
    }
    targets, protocols = list(stages["target"].unique()), list(stages["protocol"].unique())
    return _dots(stages, "protocol", protocols, "target", targets, ["model", "approach"], marks, 100 / len(emotions))


def leakage(results: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the random split beside the speaker split: a column a domain.

    Parameters
    ----------
    results
        From `evaluation.leakage`. Bars are 95 % intervals over speakers.
    domains
    emotions
        The classes, for the level of chance.
    """
    marks = {
        "random": ("random split: people on both sides", "#D55E00", "o", "white"),
        "speaker": ("speaker split: new people", "#0072B2", "s", "#0072B2"),
    }
    own = results["test_domain"] == results["target"].where(results["target"] != "", results["source"])
    shown = results[own & results["layer"].fillna("").isin(["", "selected"]) & (results["source"] != results["target"])]
    kind = shown["approach"].where(shown["target"] == "", shown["approach"] + ", two stages")
    return _dots(
        shown.assign(kind=kind, row=""),
        "row",
        [""],
        "test_domain",
        domains,
        ["model", "kind"],
        marks,
        100 / len(emotions),
    )


def _dots(
    table: pd.DataFrame,
    row: str,
    rows: list[str],
    column: str,
    columns: list[str],
    names: list[str],
    marks: dict[str, tuple[str, str, str, str]],
    chance: float,
) -> Figure:
    """Draw numbers with intervals as dots: a panel a value of `row` and `column`, a line of dots what `names` name."""
    labels = [" ".join(values) for values in table[names].drop_duplicates().itertuples(index=False)]
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(1.6 * COLUMN, 0.7 + len(rows) * (0.35 + 0.2 * len(labels))),
        squeeze=False,
        layout="constrained",
        sharex=True,
        sharey=True,
    )
    for i, of_row in enumerate(rows):
        for j, of_column in enumerate(columns):
            axis = axes[i][j]
            some = table[(table[row] == of_row) & (table[column] == of_column)]
            places = {label: place for place, label in enumerate(labels)}
            at = some[names].agg(" ".join, axis=1).map(places)
            for k, (name, (label, colour, marker, face)) in enumerate(marks.items()):
                y = at + 0.22 * (k - (len(marks) - 1) / 2)
                axis.hlines(y, some[f"{name}_low"], some[f"{name}_high"], color=colour, lw=0.9)
                axis.plot(some[name], y, marker, color=colour, mfc=face, label=label, ls="", ms=3.2, mew=0.8)
            axis.axvline(chance, color="black", lw=0.7, ls=":")
            axis.set_yticks(range(len(labels)), labels)
            axis.set_title(", ".join(filter(None, (of_column, f"{of_row} split" if of_row else ""))))
            axis.set_xlim(0, 100)
    axes[0][0].set_ylim(len(labels) - 0.5, -0.5)
    for axis in axes[-1]:
        axis.set_xlabel("Accuracy (%)")
    _legend_below(figure, axes[0][0])
    return figure


def fad(distances: pd.DataFrame, domains: list[str]) -> Figure:
    """Draw FAD between the domains by layer and emotion, a panel an encoder (the paper's Fig. 3).

    Parameters
    ----------
    distances
        Rows of `ranking.table`. Lines are the bias-corrected value, bands its 95 % interval.
    domains
        Names of the two domains, for the axis.
    """
    distances = distances[distances["layer"] != "all"]
    distances = distances.assign(layer=distances["layer"].astype(int))
    models, emotions = (list(distances[c].unique()) for c in ("model", "emotion"))
    figure, axes = _panels(len(models), 1, 0.7 + 1.6 * len(models))
    for (axis,), model in zip(axes, models, strict=True):
        for emotion in emotions:
            some = distances[(distances["model"] == model) & (distances["emotion"] == emotion)].sort_values("layer")
            band = (some["fad_corrected_low"], some["fad_corrected_high"])
            _line(axis, some["layer"], some["fad_corrected"], band, emotion, emotion_style(emotion, emotions))
        axis.set_title(model)
        # layers differ by more than emotions do: equal ratios get equal room
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_ylabel("FAD (squared units)")
        drawn = distances[distances["model"] == model]
        least = drawn["fad_corrected"].where(drawn["fad_corrected"] > 0).min()
        # an interval that comes near zero would take all the room of a logarithmic axis
        if drawn["fad_corrected_low"].min() < least / 4:
            axis.set_ylim(bottom=least / 4)
    axes[-1][0].set_xlabel("Layer")
    figure.suptitle(f"Fréchet audio distance, {domains[0]} to {domains[1]}", fontsize=8)
    _legend_below(figure, axes[0][0])
    return figure


def _line(axis: plt.Axes, x: pd.Series, y: pd.Series, band: tuple, label: str, style: dict) -> None:
    if len(x) == 1:
        # the log-mel baseline has no layers: a level across those of the others
        low, high = (edge.iloc[0] for edge in band)
        axis.axhline(y.iloc[0], label=label, clip_on=False, **style | {"linestyle": "--"})
        axis.axhspan(low, high, color=style["color"], alpha=0.12, lw=0)
        return
    axis.plot(x, y, label=label, **style)
    axis.fill_between(x, *band, color=style["color"], alpha=0.12, lw=0)


def _legend_below(figure: Figure, axis: plt.Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    columns = len(labels) if len(labels) < 6 else 4
    # hung under the figure's lower edge: saving cuts the paper to what is on it
    figure.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False, columnspacing=1.2
    )
