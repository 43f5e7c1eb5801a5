"""Summaries: the tables that papers print, from the scores of every result. Accuracies are in %."""

from __future__ import annotations

from itertools import product

import pandas as pd


def _of_row(name: str, row: pd.Series) -> dict:
    return {name: 100 * row["value"], f"{name}_low": 100 * row["low"], f"{name}_high": 100 * row["high"]}


def best_and_worst(metrics: pd.DataFrame) -> pd.DataFrame:
    """Summarise probes over the layers of each encoder, as the paper's Tables I and II do.

    Parameters
    ----------
    metrics
        Rows of `evaluation.measure` on probes.

    Returns
    -------
    DataFrame
        A row a (domain, protocol, model), in %, pooled over seeds, with intervals over speakers: accuracy of the best
        and the worst layer, and their numbers; the mean over layers; accuracy and UAR of the layer that the validation
        part selects in every split. Layer 0, the input of the first block, is left out, as in the paper, unless there
        is no other. The best layer is picked on the test parts, as in the paper: it is optimistic.
    """
    rows = []
    keys = ["test_domain", "protocol", "model"]
    groups = dict(list(metrics.groupby(keys)))
    for domain, protocol, model in product(*(metrics[key].unique() for key in keys)):
        if (domain, protocol, model) not in groups:
            continue
        group = groups[domain, protocol, model]
        accuracy = group[group["metric"] == "accuracy"].set_index("layer")
        numbered = accuracy.drop(index=["mean", "selected"]).rename(index=int)
        if len(numbered) > 1:
            numbered = numbered.drop(index=0, errors="ignore")
        best, worst = numbered["value"].idxmax(), numbered["value"].idxmin()
        uar = group[group["metric"] == "uar"].set_index("layer")
        rows.append(
            {"domain": domain, "protocol": protocol, "model": model}
            | {"best_layer": int(best)}
            | _of_row("best", numbered.loc[best])
            | {"worst_layer": int(worst)}
            | _of_row("worst", numbered.loc[worst])
            | _of_row("mean", accuracy.loc["mean"])
            | _of_row("selected", accuracy.loc["selected"])
            | _of_row("selected_uar", uar.loc["selected"])
            | {key: int(accuracy.loc["selected", key]) for key in ("clips", "speakers", "seeds")}
        )
    return pd.DataFrame(rows)


def two_stages(metrics: pd.DataFrame) -> pd.DataFrame:
    """Set the two stages beside what they are to be judged by, as an extension of the paper's Table III.

    Parameters
    ----------
    metrics
        Rows of `evaluation.measure` on adaptation.

    Returns
    -------
    DataFrame
        A row a (protocol, source, target, model, approach), accuracy in % with intervals over speakers: `stage_one`
        on the source; `stage_two` on the target; `direct`, stage one of the target; `equal_budget`, the target trained
        twice; `source_after`, stage two on the source.
    """
    accuracy = metrics[metrics["metric"] == "accuracy"]
    keys = ["model", "approach", "protocol", "source", "target", "stage", "test_domain"]
    by_result = {tuple(row[key] for key in keys): row for row in accuracy.to_dict("records")}
    rows = []
    for (model, approach, protocol, source, target, stage, tested), row in by_result.items():
        if stage == 1 or source == target or tested != target:
            continue
        same = (model, approach, protocol)
        rows.append(
            {"protocol": protocol, "source": source, "target": target, "model": model, "approach": approach}
            | _of_row("stage_one", by_result[*same, source, "", 1, source])
            | _of_row("stage_two", row)
            | _of_row("direct", by_result[*same, target, "", 1, target])
            | _of_row("equal_budget", by_result[*same, target, target, 2, target])
            | _of_row("source_after", by_result[*same, source, target, 2, source])
            | {key: row[key] for key in ("clips", "speakers", "seeds")}
        )
    return pd.DataFrame(rows).sort_values(["protocol", "source"], kind="stable", ignore_index=True)
