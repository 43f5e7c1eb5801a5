"""Figures: one look for all, colours that the colour-blind can tell apart, sizes made for a column of a paper."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
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


def save(figure: Figure, paths: list[str], notice: str) -> None:
    """Write a figure to each path, in the format of its suffix, without a date, so that bytes repeat."""
    if notice:
        figure.canvas.draw()
        below = min([legend.get_window_extent().y0 for legend in figure.legends], default=0)
        place = figure.transFigure.inverted().transform((0, below))[1]
        figure.text(0.5, place, notice, ha="center", va="top", fontsize=6, color="#B00000")
    for path in paths:
        metadata = {"CreationDate": None} if Path(path).suffix == ".pdf" else None
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


def probe_layers(probes: pd.DataFrame) -> Figure:
    """Draw accuracy by layer: a column a domain, a row a protocol, a line an encoder (the paper's Fig. 1).

    Parameters
    ----------
    probes
        Rows of probe CSVs. Lines are means over seeds, bands their range.
    """
    domains, protocols, models = (list(probes[c].unique()) for c in ("domain", "protocol", "model"))
    chance = 100 / sum(c.startswith("recall_") for c in probes.columns)
    figure, axes = _panels(len(protocols), len(domains), 0.55 + 1.3 * len(protocols), sharey=True)
    for row, protocol in zip(axes, protocols, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            some = probes[(probes["domain"] == domain) & (probes["protocol"] == protocol)]
            for i, model in enumerate(models):
                by_layer = 100 * some[some["model"] == model].groupby("layer")["accuracy"].agg(["mean", "min", "max"])
                style = {"color": _MODEL_COLOURS[i % len(_MODEL_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
                _line(axis, by_layer.index, by_layer["mean"], (by_layer["min"], by_layer["max"]), model, style)
            axis.axhline(chance, color="black", lw=0.7, ls=":")
            axis.set_title(f"{domain}, {protocol} split")
        row[0].set_ylabel("Accuracy (%)")
    for axis in axes[-1]:
        axis.set_xlabel("Layer")
    axes[0][0].set_ylim(0, 100)
    _legend_below(figure, axes[0][0])
    return figure


def probe_emotions(probes: pd.DataFrame, emotions: list[str]) -> Figure:
    """Draw the recall of each emotion by layer: a column a domain, a row an encoder (the paper's Fig. 2).

    Parameters
    ----------
    probes
        Rows of probe CSVs of one protocol. Lines are means over seeds, bands one standard deviation either way.
    emotions
        In the order of the legend.
    """
    domains, models = (list(probes[c].unique()) for c in ("domain", "model"))
    protocol = probes["protocol"].iloc[0]
    figure, axes = _panels(len(models), len(domains), 0.7 + 1.35 * len(models), sharey=True)
    for row, model in zip(axes, models, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            some = probes[(probes["model"] == model) & (probes["domain"] == domain)]
            for emotion in emotions:
                by_layer = 100 * some.groupby("layer")[f"recall_{emotion}"].agg(["mean", "std"]).fillna({"std": 0})
                low, high = by_layer["mean"] - by_layer["std"], by_layer["mean"] + by_layer["std"]
                _line(axis, by_layer.index, by_layer["mean"], (low, high), emotion, emotion_style(emotion, emotions))
            axis.set_title(f"{model}, {domain}")
        row[0].set_ylabel("Recall (%)")
    for axis in axes[-1]:
        axis.set_xlabel(f"Layer ({protocol} split)")
    axes[0][0].set_ylim(-2, 102)
    _legend_below(figure, axes[0][0])
    return figure


def fad(distances: pd.DataFrame, domains: list[str]) -> Figure:
    """Draw FAD between the domains by layer and emotion, a panel an encoder (the paper's Fig. 3).

    Parameters
    ----------
    distances
        Rows of FAD CSVs. Lines are the plain value, bands one jackknife standard error either way.
    domains
        Names of the two domains, for the axis.
    """
    models, emotions = (list(distances[c].unique()) for c in ("model", "emotion"))
    figure, axes = _panels(len(models), 1, 0.7 + 1.6 * len(models))
    for (axis,), model in zip(axes, models, strict=True):
        for emotion in emotions:
            some = distances[(distances["model"] == model) & (distances["emotion"] == emotion)].sort_values("layer")
            band = (some["fad"] - some["std_error"], some["fad"] + some["std_error"])
            _line(axis, some["layer"], some["fad"], band, emotion, emotion_style(emotion, emotions))
        axis.set_title(model)
        # layers differ by more than emotions do: equal ratios get equal room
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_ylabel("FAD (squared units)")
    axes[-1][0].set_xlabel("Layer")
    figure.suptitle(f"Fréchet audio distance, {domains[0]} to {domains[1]}", fontsize=8)
    _legend_below(figure, axes[0][0])
    return figure


def _line(axis: plt.Axes, x: pd.Series, y: pd.Series, band: tuple, label: str, style: dict) -> None:
    axis.plot(x, y, label=label, **style)
    axis.fill_between(x, *band, color=style["color"], alpha=0.12, lw=0)


def _legend_below(figure: Figure, axis: plt.Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    columns = len(labels) if len(labels) < 6 else 4
    # hung under the figure's lower edge: saving cuts the paper to what is on it
    figure.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False, columnspacing=1.2
    )
