"""Summaries: the tables that papers print, from the scores of every result.

`best_and_worst` summarises the layers of each encoder, as Tables I and II of Sun et al. (2024) do. `two_stages` extends
their Table III by the results that two-stage adaptation must be compared with.

Conventions
-----------
Scores are in %, over all seeds together. Each column X has its 95 % interval over speakers in X_low and X_high.
"""

from __future__ import annotations

from itertools import product

import pandas as pd

from speechsong.evaluation.predictions import deep, own
from speechsong.evaluation.scores import percent


def _columns(name: str, row: dict | pd.Series) -> dict[str, float]:
    return percent(name, row["value"], (row["low"], row["high"]))


def best_and_worst(metrics: pd.DataFrame) -> pd.DataFrame:
    """Summarise the layers of each encoder.

    Parameters
    ----------
    metrics
        Rows of `scores.measure` on probes.

    Returns
    -------
    DataFrame
        One row per domain, protocol, fit and model, tested on the domain that the probes were trained on. `best` and
        `worst` are the accuracies of the best and the worst layer, best_layer and worst_layer their numbers; they are
        picked on the test parts, as in the paper, so that `best` is optimistic. `mean` is over the layers. `selected`
        and `selected_uar` are accuracy and UAR of the layer that the validation part selects in each split. Layer 0,
        the input of the first block, is left out unless there is no other. Then clips, speakers and seeds.
    """
    rows = []
    keys = ["source", "protocol", "fit", "model"]
    metrics = own(metrics)
    groups = dict(list(metrics.groupby(keys)))
    for values in product(*(metrics[key].unique() for key in keys)):
        if values not in groups:
            continue
        group = groups[values]
        accuracy, uar = (group[group["metric"] == metric] for metric in ("accuracy", "uar"))
        layers = deep(accuracy[accuracy["over"] == "layer"])
        best, worst = layers.loc[layers["value"].idxmax()], layers.loc[layers["value"].idxmin()]
        mean, selected = (accuracy[accuracy["over"] == over].iloc[0] for over in ("mean", "selected"))
        rows.append(
            dict(zip(("domain", "protocol", "fit", "model"), values, strict=True))
            | {"best_layer": int(best["layer"])}
            | _columns("best", best)
            | {"worst_layer": int(worst["layer"])}
            | _columns("worst", worst)
            | _columns("mean", mean)
            | _columns("selected", selected)
            | _columns("selected_uar", uar[uar["over"] == "selected"].iloc[0])
            | {key: int(selected[key]) for key in ("clips", "speakers", "seeds")}
        )
    return pd.DataFrame(rows)


def two_stages(metrics: pd.DataFrame) -> pd.DataFrame:
    """Set two-stage adaptation beside the results that it must be compared with.

    Parameters
    ----------
    metrics
        Rows of `scores.measure` on adaptation.

    Returns
    -------
    DataFrame
        One row per protocol, source, target, model and approach. `stage_one` is the accuracy on the source after stage
        one, `stage_two` that on the target after stage two. Compare them with `direct`, stage one of the target alone;
        `equal_budget`, training twice on the target; `joint`, the accuracy on the target after training on both domains
        together; and `source_after`, the accuracy on the source after stage two. Then clips, speakers and seeds, of
        `stage_two`.
    """
    accuracy = metrics[metrics["metric"] == "accuracy"]
    keys = ["model", "approach", "protocol", "source", "target", "stage", "test_domain"]
    by_result = {tuple(row[key] for key in keys): row for row in accuracy.to_dict("records")}
    sources = set(accuracy["source"])
    rows = []
    for (model, approach, protocol, source, target, stage, tested), row in by_result.items():
        if stage == 1 or source == target or tested != target:
            continue
        same = (model, approach, protocol)
        # whichever of the domains comes first in the config
        (joint,) = {f"{source}+{target}", f"{target}+{source}"} & sources
        rows.append(
            {"protocol": protocol, "source": source, "target": target, "model": model, "approach": approach}
            | _columns("stage_one", by_result[*same, source, "", 1, source])
            | _columns("stage_two", row)
            | _columns("direct", by_result[*same, target, "", 1, target])
            | _columns("equal_budget", by_result[*same, target, target, 2, target])
            | _columns("joint", by_result[*same, joint, "", 1, target])
            | _columns("source_after", by_result[*same, source, target, 2, source])
            | {key: row[key] for key in ("clips", "speakers", "seeds")}
        )
    return pd.DataFrame(rows).sort_values(["protocol", "source"], kind="stable", ignore_index=True)
