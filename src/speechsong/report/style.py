"""Style: one look for all figures, with colours that the colour-blind can tell apart, and how figures are saved."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from speechsong import files

COLUMN = 3.5  # inches, the width of a column at most conferences

# colours of Okabe and Ito (2008), where black is kept for `all`; an emotion looks the same in every figure
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A", "#B8A800")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
KNOWN = ("happy", "calm", "neutral", "sad", "angry", "fearful", "disgust", "surprised")
MODEL_COLOURS = ("#332288", "#CC6677", "#44AA99", "#999933", "#882255", "#117733", "#88CCEE", "#DDCC77")
NOTICE = "#B00000"

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
        # identifiers inside an SVG are random without this
        "svg.hashsalt": "speechsong",
    }
)


def of_emotion(emotion: str, emotions: list[str]) -> dict[str, str]:
    """Choose the colour and marker of an emotion.

    Parameters
    ----------
    emotion
        One of `emotions`, or `all`.
    emotions
        All emotions of the figure. Those that RAVDESS does not have take the looks that are left, in this order.

    Returns
    -------
    dict
        Arguments of `Axes.plot`.
    """
    if emotion == "all":
        return {"color": "black", "marker": "", "linestyle": "--"}
    if emotion in KNOWN:
        i = KNOWN.index(emotion)
    else:
        free = [i for i, known in enumerate(KNOWN) if known not in emotions] or range(len(KNOWN))
        unknown = [e for e in emotions if e not in KNOWN and e != "all"]
        i = free[unknown.index(emotion) % len(free)]
    return {"color": PALETTE[i], "marker": MARKERS[i]}


def of_model(i: int) -> dict[str, str]:
    """Choose the colour and marker of the i-th encoder, as arguments of `Axes.plot`."""
    return {"color": MODEL_COLOURS[i % len(MODEL_COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def legend_below(figure: Figure, axis: plt.Axes) -> None:
    """Put the legend of one panel below the figure, for all panels."""
    handles, labels = axis.get_legend_handles_labels()
    columns = len(labels) if len(labels) < 6 else 4
    # it hangs from the figure's lower edge; `save` makes the paper large enough
    figure.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, frameon=False, columnspacing=1.2
    )


def save(figure: Figure, paths: list[str], notice: str) -> None:
    """Write a figure to files and close it.

    Parameters
    ----------
    figure
    paths
        The suffix of each is its format. Files have no date, so that the same figure has the same bytes.
    notice
        A line below the figure; "" for none.
    """
    figure.draw_without_rendering()
    # laid out once, not once more for each file
    figure.set_layout_engine("none")
    if notice:
        below = min([legend.get_window_extent().y0 for legend in figure.legends], default=0)
        place = figure.transFigure.inverted().transform((0, below))[1]
        look = {"fontsize": 6, "color": NOTICE, "parse_math": False}
        figure.text(0.5, place, notice, ha="center", va="top", wrap=True, fontdict=look)
    around = figure.get_tightbbox().padded(0.03)
    for path in paths:
        metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(Path(path).suffix)
        with files.atomic(path) as temporary:
            figure.savefig(temporary, bbox_inches=around, metadata=metadata)
    plt.close(figure)
