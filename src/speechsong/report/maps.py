"""Maps: a figure of the clips of every encoder, drawn from the table of `evaluation.clip_map`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from speechsong.report import style

COLUMNS = 3  # panels in a row
MARKERS = ("o", "^")  # by domain


def clip_map(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the clips of both domains on their first two principal components.

    Parameters
    ----------
    table
        Rows of `evaluation.clip_map.clip_map`. Each encoder has a panel. Clips are small and pale; the mean of every
        emotion and domain is large, and a line joins the means of an emotion in the two domains.
    domains
        Each has a marker.
    emotions
        Each has a colour.
    """
    models = list(table["model"].unique())
    columns = min(len(models), COLUMNS)
    rows = -(-len(models) // columns)
    size = (max(style.COLUMN, 0.3 + 2.2 * columns), 0.3 + 2.2 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, model in zip(axes.flat, models, strict=False):
        panel = table[table["model"] == model]
        _panel(axis, panel, domains, emotions)
        first = panel.iloc[0]
        axis.set_title(f"{model}, layer {first['layer']}")
        axis.set_xlabel(f"PC 1 ({100 * first['x_share']:.0f} % of variance)")
        axis.set_ylabel(f"PC 2 ({100 * first['y_share']:.0f} %)")
    for axis in axes.flat[len(models) :]:
        axis.set_visible(False)
    _legend(figure, domains, emotions)
    return figure


def _panel(axis: plt.Axes, panel: pd.DataFrame, domains: list[str], emotions: list[str]) -> None:
    colour_of = {emotion: style.of_emotion(emotion, emotions)["color"] for emotion in emotions}
    # in an order without meaning, so that no emotion hides the others
    mixed = panel.sample(frac=1, random_state=0)
    size = 7 if len(mixed) < 500 else 4
    for domain, marker in zip(domains, MARKERS, strict=True):
        clips = mixed[mixed["domain"] == domain]
        # a picture also in PDF and SVG, whose size does not grow with the clips
        look = {"marker": marker, "s": size, "alpha": 0.35, "lw": 0, "rasterized": True}
        axis.scatter(clips["x"], clips["y"], c=clips["emotion"].map(colour_of), **look)
    means = panel.groupby(["emotion", "domain"])[["x", "y"]].mean()
    for emotion in emotions:
        ends = means.loc[emotion].reindex(domains)
        axis.plot(ends["x"], ends["y"], color="white", lw=2.4, zorder=3)
        axis.plot(ends["x"], ends["y"], color=colour_of[emotion], lw=1.2, zorder=4)
        for marker, (x, y) in zip(MARKERS, ends.to_numpy(), strict=True):
            axis.scatter(x, y, s=34, marker=marker, color=colour_of[emotion], edgecolors="black", lw=0.6, zorder=5)
    axis.set_aspect("equal", adjustable="datalim")


def _legend(figure: Figure, domains: list[str], emotions: list[str]) -> None:
    marks = [
        Line2D([], [], ls="", marker=marker, color="white", mec="black", mew=0.6, ms=5, label=domain)
        for domain, marker in zip(domains, MARKERS, strict=True)
    ]
    colours = [
        Line2D([], [], ls="", marker="s", ms=5, color=style.of_emotion(emotion, emotions)["color"], label=emotion)
        for emotion in emotions
    ]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "frameon": False, "columnspacing": 1.2}
    figure.legend(handles=marks + colours, ncols=min(len(marks + colours), 4), **place)
