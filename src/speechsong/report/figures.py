"""Figures: one function per figure, which draws a table of the run.

`style` has the colours, and saves figures to files.

Conventions
-----------
Every figure takes the same three arguments: the table that it draws, the domains, in the order of the panels, and the
emotions, in the order of the legend. Lines and dots are pooled over seeds. Bands and bars are 95 % intervals over
speakers. `test_domain`, `protocol`, `over` and the like are columns of the table.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from speechsong.evaluation.predictions import approach, own
from speechsong.report import maps, style

# label, colour, marker and the marker's fill colour, by column
STAGES = {
    "direct": ("target alone", "#8A8A8A", "o", "white"),
    "equal_budget": ("target twice", "#0072B2", "s", "white"),
    "joint": ("both together", "#009E73", "^", "#009E73"),
    "stage_two": ("other domain, then target", "#D55E00", "D", "#D55E00"),
}
PROTOCOLS = {
    "random": ("random split: people on both sides", "#D55E00", "o", "white"),
    "speaker": ("speaker split: new people", "#0072B2", "s", "#0072B2"),
}


# has a module of its own
clip_map = maps.clip_map


def probe_layers(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy of probes by layer (Fig. 1 of Sun et al. 2024).

    Parameters
    ----------
    table
        Rows of `evaluation.scores.measure` on probes. Domains are side by side, protocols and fits one below the other,
        and encoders are lines. What was tested on another domain is not drawn.
    domains
    emotions
        Their number gives the chance level.
    """
    models = list(table["model"].unique())
    accuracy = _by_layer(own(table), "accuracy")
    kinds = _kinds(table)
    figure, axes = _layer_panels(len(kinds), len(domains), 0.55 + 1.4 * len(kinds), sharey=True)
    for row, (kind, (protocol, fit)) in zip(axes, kinds.items(), strict=True):
        for axis, domain in zip(row, domains, strict=True):
            alike = (accuracy["protocol"] == protocol) & (accuracy["fit"] == fit)
            panel = accuracy[alike & (accuracy["test_domain"] == domain)]
            for i, model in enumerate(models):
                _line(axis, panel[panel["model"] == model], model, style.of_model(i))
            axis.axhline(100 / len(emotions), color="black", lw=0.7, ls=":")
            axis.set_title(f"{domain}\n{kind}")
    return _finish(figure, axes, "Accuracy (%)", (0, 100))


def paper_layers(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy of probes by layer as Fig. 1 of Sun et al. (2024): both domains in one panel per encoder.

    Parameters
    ----------
    table
        Rows of `evaluation.scores.measure` on probes, of one protocol and fit.
    domains
    emotions
        Their number gives the level of chance.
    """
    models = list(table["model"].unique())
    accuracy = _by_layer(own(table), "accuracy")
    figure, axes = _layer_panels(1, len(models), 1.9, width=0.4 + 1.6 * len(models), sharey=True)
    for axis, model in zip(axes[0], models, strict=True):
        for i, domain in enumerate(domains):
            panel = accuracy[(accuracy["model"] == model) & (accuracy["test_domain"] == domain)]
            _line(axis, panel, domain, style.of_model(i))
        axis.axhline(100 / len(emotions), color="black", lw=0.7, ls=":")
        axis.set_title(model)
    _finish(figure, axes, "Accuracy (%)", (0, 100))
    _label_levels(axes, accuracy, models)
    return figure


def paper_emotions(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the recall of each emotion by layer as Fig. 2 of Sun et al. (2024): encoders are side by side.

    Parameters
    ----------
    table
        Rows of `evaluation.scores.measure` on probes, of one protocol and fit. Domains are one below the other, and
        emotions are lines.
    domains
    emotions
    """
    table = own(table)
    models = list(table["model"].unique())
    figure, axes = _layer_panels(len(domains), len(models), 3.4, width=0.4 + 1.6 * len(models), sharey=True)
    for row, domain in zip(axes, domains, strict=True):
        for axis, model in zip(row, models, strict=True):
            panel = table[(table["model"] == model) & (table["test_domain"] == domain)]
            for emotion in emotions:
                _line(axis, _by_layer(panel, f"recall_{emotion}"), emotion, style.of_emotion(emotion, emotions))
            axis.set_title(f"{model}, {domain}")
    _finish(figure, axes, "Recall (%)", (-2, 102))
    _label_levels(axes, table[table["over"] == "layer"], models)
    return figure


def paper_fad(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the plain FAD by layer and emotion as Fig. 3 of Sun et al. (2024): a linear axis, encoders side by side.

    Parameters
    ----------
    table
        Rows of `distances.ranking.table`. The plain FAD has no interval, so none is drawn.
    domains
        Named in the title.
    emotions
        Each is a line, and so are all together.
    """
    table = table[table["over"] == "layer"].sort_values("layer", kind="stable")
    table = table.assign(value=table["fad"], low=table["fad"], high=table["fad"])
    models = list(table["model"].unique())
    figure, axes = _layer_panels(1, len(models), 2.0, width=0.4 + 1.6 * len(models))
    for axis, model in zip(axes[0], models, strict=True):
        panel = table[table["model"] == model]
        for emotion in [*emotions, "all"]:
            _line(axis, panel[panel["emotion"] == emotion], emotion, style.of_emotion(emotion, emotions))
        axis.set_title(model)
        axis.set_xlabel("Layer")
        axis.set_ylim(bottom=0)
    _label_levels(axes, table, models)
    axes[0][0].set_ylabel("FAD (squared units)")
    figure.suptitle(f"{domains[0]} to {domains[1]}", fontsize=8)
    style.legend_below(figure, axes[0][0])
    return figure


def transfer(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy of probes on the domain that they were not trained on, beside that of its own probes.

    Parameters
    ----------
    table
        From `evaluation.transfer.transfer`. Directions are side by side, protocols and fits one below the other, and
        encoders are lines.
    domains
    emotions
        Their number gives the level of chance.
    """
    table = table[(table["over"] == "layer") & (table["emotion"] == "all")].sort_values("layer", kind="stable")
    models = list(table["model"].unique())
    kinds = _kinds(table)
    figure, axes = _layer_panels(len(kinds), len(domains), 0.55 + 1.4 * len(kinds), sharey=True)
    columns = {"across": "value", "across_low": "low", "across_high": "high"}
    for row, (kind, (protocol, fit)) in zip(axes, kinds.items(), strict=True):
        for axis, (source, target) in zip(row, (domains, domains[::-1]), strict=True):
            alike = (table["protocol"] == protocol) & (table["fit"] == fit) & (table["source"] == source)
            for i, model in enumerate(models):
                panel = table[alike & (table["model"] == model)].rename(columns=columns)
                look = style.of_model(i)
                _line(axis, panel, model, look)
                if len(panel) > 1:
                    axis.plot(panel["layer"].astype(int), panel["within"], ls=":", lw=0.9, color=look["color"])
            axis.axhline(100 / len(emotions), color="black", lw=0.7, ls=":")
            axis.set_title(f"{source} to {target}\n{kind}")
    return _finish(figure, axes, "Accuracy (%)", (0, 100))


def similarity(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw what zero-shot transfer keeps of every emotion in every layer against the FAD between the domains there.

    Parameters
    ----------
    table
        Points of `evaluation.similarity.similarity`, of one protocol and fit. Directions are side by side, encoders one
        below the other. Deeper layers are darker. What lies further than 50 % beyond 0 or 100 % is drawn at that limit.
    domains
    emotions
    """
    models, protocol = list(table["model"].unique()), table["protocol"].iloc[0]
    size = (style.COLUMN, 0.7 + 1.6 * len(models))
    figure, axes = _panels(len(models), len(domains), size, sharex="row", sharey=True)
    for row, model in zip(axes, models, strict=True):
        for axis, (source, target) in zip(row, (domains, domains[::-1]), strict=True):
            panel = table[(table["model"] == model) & (table["source"] == source)]
            shade = panel["layer"].rank(method="dense", pct=True).astype(float)
            for emotion in emotions:
                chosen = panel["emotion"] == emotion
                look = style.of_emotion(emotion, emotions)
                kept = (100 * panel.loc[chosen, "kept"]).clip(-50, 150)
                look_of = {"c": look["color"], "marker": look["marker"], "alpha": shade[chosen]}
                axis.scatter(panel.loc[chosen, "fad"], kept, s=11, lw=0, **look_of)
                # an opaque one for the legend
                axis.plot([], [], ls="", **look, label=emotion)
            axis.axhline(0, color="black", lw=0.7, ls=":")
            axis.set_xscale("log")
            axis.set_title(f"{model}\n{source} to {target}")
        row[0].set_ylabel("Kept (%)")
        _label_few(row[0].xaxis)
    for axis in axes[-1]:
        axis.set_xlabel(f"FAD ({protocol} split)")
    style.legend_below(figure, axes[0][0])
    return figure


def strata(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy on the clips of each intensity, gender and statement.

    Parameters
    ----------
    table
        Rows of `evaluation.strata.strata`, of one fit. Domains are side by side, protocols one below the other, and
        encoders are marks.
    domains
    emotions
        Their number gives the level of chance.
    """
    models = list(table["model"].unique())
    line = table["attribute"] + " " + table["level"]
    keys = ["test_domain", "protocol", "line"]
    columns = ["accuracy", "accuracy_low", "accuracy_high"]
    wide = table.assign(line=line).pivot(index=keys, columns="model", values=columns)
    wide.columns = [f"{model}{name.removeprefix('accuracy')}" for name, model in wide.columns]
    # pivoting sorts the lines
    wide = wide.reset_index().rename(columns={"test_domain": "panel"})
    wide = wide.sort_values("line", key=lambda column: column.map(list(line.unique()).index), kind="stable")
    looks = [style.of_model(i) for i in range(len(models))]
    marks = {
        model: (model, look["color"], look["marker"], look["color"]) for model, look in zip(models, looks, strict=True)
    }
    protocols = {protocol: f", {protocol} split" for protocol in table["protocol"].unique()}
    return _dots(wide, domains, protocols, marks, 100 / len(emotions))


def layer_weights(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the learnt weights of the layers after each stage.

    Parameters
    ----------
    table
        Rows of `adaptation.layer_weights.layer_weights`. Approaches are side by side, encoders one below the other.
        Lines are means over all splits, bands reach from the smallest to the largest. Training twice on a domain is not
        drawn.
    domains, emotions
        Not used.
    """
    table = table[table["source"] != table["target"]]
    table = table.assign(trained=table["source"] + (" then " + table["target"]).where(table["target"] != "", ""))
    models, approaches, trained = (list(table[name].unique()) for name in ("model", "approach", "trained"))
    width = style.COLUMN * max(1.0, 0.5 * len(approaches))
    figure, axes = _layer_panels(len(models), len(approaches), 0.7 + 1.35 * len(models), width=width)
    for row, model in zip(axes, models, strict=True):
        for axis, of_approach in zip(row, approaches, strict=True):
            panel = table[(table["model"] == model) & (table["approach"] == of_approach)]
            for i, one in enumerate(trained):
                weights = 100 * panel[panel["trained"] == one].groupby("layer")["weight"].agg(["mean", "min", "max"])
                columns = {"mean": "value", "min": "low", "max": "high"}
                _line(axis, weights.rename(columns=columns).reset_index(), one, style.of_model(i))
            axis.axhline(100 / panel["layer"].nunique(), color="black", lw=0.7, ls=":")
            axis.set_title(f"{model}, {of_approach}")
        row[0].set_ylabel("Weight (%)")
    for axis in axes[-1]:
        axis.set_xlabel("Layer")
    style.legend_below(figure, axes[0][0])
    return figure


def probe_emotions(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the recall of each emotion by layer (Fig. 2 of Sun et al. 2024).

    Parameters
    ----------
    table
        Rows of `evaluation.scores.measure` on probes, of one protocol and fit. Domains are side by side, encoders one
        below the other, and emotions are lines.
    domains
    emotions
    """
    table = own(table)
    models, protocol = list(table["model"].unique()), table["protocol"].iloc[0]
    figure, axes = _layer_panels(len(models), len(domains), 0.7 + 1.35 * len(models), sharey=True)
    for row, model in zip(axes, models, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            panel = table[(table["model"] == model) & (table["test_domain"] == domain)]
            for emotion in emotions:
                recall = _by_layer(panel, f"recall_{emotion}")
                _line(axis, recall, emotion, style.of_emotion(emotion, emotions))
            axis.set_title(f"{model}, {domain}")
    return _finish(figure, axes, "Recall (%)", (-2, 102), f"Layer ({protocol} split)")


def confusion(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw confusion matrices of the emotions: each cell is a share of the clips of a true emotion.

    Parameters
    ----------
    table
        Rows of `evaluation.scores.confusion` on probes, of one protocol and fit. Only the layers that the validation
        part selects are drawn. Domains are side by side, encoders one below the other.
    domains
    emotions
    """
    table = own(table[table["over"] == "selected"])
    models, protocol = list(table["model"].unique()), table["protocol"].iloc[0]
    side = 0.5 + 0.21 * len(emotions)
    # titles may be wider than a panel of few emotions
    longest = max(len(f"{model}, {domain}") for model in models for domain in domains)
    size = (0.6 + max(side, 0.06 * longest) * len(domains), 0.6 + side * len(models))
    figure, axes = _panels(len(models), len(domains), size, sharex=True, sharey=True)
    for row, model in zip(axes, models, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            panel = table[(table["model"] == model) & (table["test_domain"] == domain)]
            shares = panel.pivot(index="true", columns="predicted", values="share").loc[emotions, emotions]
            shares = 100 * shares.to_numpy()
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


def adapt(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy after two stages beside the results that it must be compared with.

    Parameters
    ----------
    table
        From `evaluation.summaries.two_stages`. Targets are side by side, protocols one below the other.
    domains
    emotions
        Their number gives the chance level.
    """
    table = table.assign(panel=table["target"], line=table["model"] + " " + table["approach"])
    protocols = {protocol: f", {protocol} split" for protocol in table["protocol"].unique()}
    return _dots(table, domains, protocols, STAGES, 100 / len(emotions))


def leakage(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the accuracy with the random split beside that with the speaker split.

    Parameters
    ----------
    table
        From `evaluation.comparisons.leakage`. Domains are side by side. Of probes, only the layers that the validation
        part selects are drawn.
    domains
    emotions
        Their number gives the chance level.
    """
    # only results on the domain that was trained on last, and no control that trains on the same domain twice
    table = own(table)
    table = table[table["over"].isin(["", "selected"]) & (table["source"] != table["target"])]
    named = table.apply(approach, axis=1)
    named = named.where(table["target"] == "", named + ", two stages")
    table = table.assign(panel=table["test_domain"], line=table["model"] + " " + named, protocol="")
    return _dots(table, domains, {"": ""}, PROTOCOLS, 100 / len(emotions))


def fad(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the Fréchet audio distance between the domains by layer and emotion (Fig. 3 of Sun et al. 2024).

    Parameters
    ----------
    table
        Rows of `distances.ranking.table`. Encoders are one below the other. Lines are the bias-corrected distances, or
        plain ones if none is known.
    domains
        Named in the title.
    emotions
        Each is a line; one more line is for all together.
    """
    value = "fad_corrected" if table["fad_corrected"].notna().any() else "fad"
    columns = {value: "value", "fad_corrected_low": "low", "fad_corrected_high": "high"}
    table = table[table["over"] == "layer"].rename(columns=columns).sort_values("layer", kind="stable")
    models = list(table["model"].unique())
    figure, axes = _layer_panels(len(models), 1, 0.7 + 1.6 * len(models))
    for (axis,), model in zip(axes, models, strict=True):
        panel = table[table["model"] == model]
        for emotion in [*emotions, "all"]:
            _line(axis, panel[panel["emotion"] == emotion], emotion, style.of_emotion(emotion, emotions))
        axis.set_title(model)
        # logarithmic, because layers differ by more than emotions do
        axis.set_yscale("log")
        axis.set_ylabel("FAD (squared units)")
        least = panel["value"].where(panel["value"] > 0).min()
        # an interval that comes near zero would take all the room of a logarithmic axis
        if panel["low"].min() < least / 4:
            axis.set_ylim(bottom=least / 4)
        _label_few(axis.yaxis)
    axes[-1][0].set_xlabel("Layer")
    figure.suptitle(f"Fréchet audio distance, {domains[0]} to {domains[1]}", fontsize=8)
    style.legend_below(figure, axes[0][0])
    return figure


def fad_pairs(table: pd.DataFrame, domains: list[str], emotions: list[str]) -> Figure:
    """Draw the Fréchet audio distance of every emotion of one domain to every emotion of the other.

    Parameters
    ----------
    table
        Rows of `distances.nearest.estimates`. Encoders are side by side, three in a row. Each cell is the corrected
        distance, as the geometric mean over the layers, over the geometric mean of all cells of its panel. A panel
        without corrected distances shows plain ones. A distance that is not above zero in some layer has no geometric
        mean: its cell is empty but for "≤ 0", and counts as the nearest.
    domains
        The first one's emotions are the rows, the second one's the columns.
    emotions
    """
    table = table[table["over"] == "mean"]
    row_of, column_of = (f"emotion_{domain}" for domain in domains)
    shares = {}
    for model, rows in table.groupby("model", sort=False):
        value = "fad_corrected" if rows["fad_corrected"].notna().all() else "fad"
        fads = rows.pivot(index=row_of, columns=column_of, values=value).loc[emotions, emotions].to_numpy()
        shares[model] = fads / np.exp(np.nanmean(np.log(fads)))
    columns = min(3, len(shares))
    lines = -(-len(shares) // columns)
    side = 0.42 + 0.24 * len(emotions)
    size = (0.9 + side * columns, 0.55 + (side + 0.2) * lines)
    figure, axes = _panels(lines, columns, size, sharex=True, sharey=True)
    reach = max(np.nanmax(np.abs(np.log(share))) for share in shares.values())
    scale = LogNorm(np.exp(-reach), np.exp(reach))
    for axis in axes.flat[len(shares) :]:
        axis.set_visible(False)
    for axis, (model, share) in zip(axes.flat, shares.items(), strict=False):
        image = axis.imshow(share, cmap="PuOr", norm=scale)
        for (i, k), cell in np.ndenumerate(share):
            far = abs(np.log(cell)) > 0.6 * reach
            text = "≤ 0" if np.isnan(cell) else f"{cell:.2f}"
            axis.text(k, i, text, ha="center", va="center", fontsize=5.5, color="white" if far else "black")
        places = np.arange(len(emotions))
        ranked = np.nan_to_num(share, nan=0.0)
        nearest, towards = ranked.argmin(axis=1), ranked.argmin(axis=0)
        for i, k in enumerate(nearest):
            label = "nearest of its row" if i == 0 else None
            axis.add_patch(Rectangle((k - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec="black", lw=1, label=label))
        axis.plot(places + 0.3, towards - 0.3, "o", ms=2, color="black", label="nearest of its column")
        axis.set_xticks(range(len(emotions)), emotions, rotation=90)
        axis.set_yticks(range(len(emotions)), emotions)
        axis.set_title(model)
        axis.grid(False)
        axis.tick_params(length=0)
    figure.supxlabel(domains[1], fontsize=7.5)
    figure.supylabel(domains[0], fontsize=7.5)
    bar = figure.colorbar(image, ax=axes, label="Relative FAD", shrink=0.8, aspect=25)
    _label_few(bar.ax.yaxis)
    style.legend_below(figure, axes[0][0])
    return figure


def _kinds(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Name the kinds of probes in a table, each a protocol and a fit; the name has the fit if there are several."""
    fits = list(table["fit"].unique())
    pairs = [(protocol, fit) for protocol in table["protocol"].unique() for fit in fits]
    return {f"{protocol} split{f', {fit}' if len(fits) > 1 else ''}": (protocol, fit) for protocol, fit in pairs}


def _panels(rows: int, columns: int, size: tuple[float, float], **options: object) -> tuple[Figure, np.ndarray]:
    """Make a figure of a size in inches, and its panels (rows, columns)."""
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def _layer_panels(
    rows: int, columns: int, height: float, width: float = style.COLUMN, **options: object
) -> tuple[Figure, np.ndarray]:
    """Make panels with layers on the horizontal axis."""
    figure, axes = _panels(rows, columns, (width, height), sharex="col", **options)
    for axis in axes.flat:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    return figure, axes


def _finish(
    figure: Figure, axes: np.ndarray, y_label: str, limits: tuple[float, float], x_label: str = "Layer"
) -> Figure:
    """Label panels of one scale by layer at the left and below, and put the legend under them."""
    for row in axes:
        row[0].set_ylabel(y_label)
    for axis in axes[-1]:
        axis.set_xlabel(x_label)
    axes[0][0].set_ylim(*limits)
    style.legend_below(figure, axes[0][0])
    return figure


def _label_levels(axes: np.ndarray, table: pd.DataFrame, models: list[str]) -> None:
    """Say "no layers" in place of numbers where the encoder of a column has none."""
    for axis, model in zip(axes[-1], models, strict=True):
        if table.loc[table["model"] == model, "layer"].nunique() == 1:
            axis.set_xticks([], [])
            axis.set_xlabel("no layers")


def _label_few(axis: Axis) -> None:
    """Label a logarithmic axis with few and round numbers, once its limits are known."""
    low, high = sorted(axis.get_view_interval())
    # a short range may hold none of 1, 2 and 5
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(4))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _by_layer(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Pick one metric of each layer, in %, in the order of the layers."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["over"] == "layer")]
    percent = {column: 100 * rows[column] for column in ("value", "low", "high")}
    return rows.assign(**percent).sort_values("layer")


def _line(axis: plt.Axes, rows: pd.DataFrame, label: str, look: dict[str, str]) -> None:
    """Draw `value` by `layer`, with a band from `low` to `high`."""
    if len(rows) == 1:
        # the log-mel baseline has no layers: it is a level line across the layers of the others
        row = rows.iloc[0]
        axis.axhline(row["value"], label=label, clip_on=False, **look | {"linestyle": "--"})
        axis.axhspan(row["low"], row["high"], color=look["color"], alpha=0.12, lw=0)
        return
    layers = rows["layer"].astype(int)
    axis.plot(layers, rows["value"], label=label, **look)
    axis.fill_between(layers, rows["low"], rows["high"], color=look["color"], alpha=0.12, lw=0)


def _dots(
    table: pd.DataFrame,
    domains: list[str],
    protocols: dict[str, str],
    marks: dict[str, tuple[str, str, str, str]],
    chance: float,
) -> Figure:
    """Draw accuracies as dots with bars.

    Parameters
    ----------
    table
        The column `panel` has the domain, `protocol` the protocol, and `line` the label of a line of dots.
    domains
        Side by side.
    protocols
        One below the other, each with the text that it adds to the titles of its panels.
    marks
        As `STAGES`: the columns to draw, and their looks.
    chance
        In %.
    """
    labels = list(table["line"].unique())
    places = {label: place for place, label in enumerate(labels)}
    # a line of dots is as high as its marks need, and further from the next than they are from each other
    height, step = max(0.2, 0.06 * len(marks)), min(0.22, 0.8 / len(marks))
    size = (1.6 * style.COLUMN, 0.7 + len(protocols) * (0.35 + height * len(labels)))
    figure, axes = _panels(len(protocols), len(domains), size, sharex=True, sharey=True)
    for row, (protocol, title) in zip(axes, protocols.items(), strict=True):
        for axis, domain in zip(row, domains, strict=True):
            rows = table[(table["protocol"] == protocol) & (table["panel"] == domain)]
            place = rows["line"].map(places)
            for k, (name, (label, colour, marker, face)) in enumerate(marks.items()):
                y = place + step * (k - (len(marks) - 1) / 2)
                axis.hlines(y, rows[f"{name}_low"], rows[f"{name}_high"], color=colour, lw=0.9)
                look = {"color": colour, "mfc": face, "ls": "", "ms": 3.2, "mew": 0.8}
                # whole at 0 and 100 too
                axis.plot(rows[name], y, marker, label=label, clip_on=False, zorder=3, **look)
            axis.axvline(chance, color="black", lw=0.7, ls=":")
            axis.set_yticks(range(len(labels)), labels)
            axis.set_title(f"{domain}{title}")
            axis.set_xlim(0, 100)
    axes[0][0].set_ylim(len(labels) - 0.5, -0.5)
    for axis in axes[-1]:
        axis.set_xlabel("Accuracy (%)")
    style.legend_below(figure, axes[0][0])
    return figure
