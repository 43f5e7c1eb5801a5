"""Predictions: the answers of every probe and every stage of adaptation to its test clips, as one table.

A result is one thing that can be tested: the probes of one layer, or one stage of adaptation on one domain. It has
predictions for the test clips of every seed, which are pooled."""

from __future__ import annotations

import pandas as pd

# what names a result; `layer` is a number, `mean` over the blocks, or `selected`; empty in adaptation
KEYS = ["model", "approach", "protocol", "source", "target", "stage", "test_domain", "layer"]


def read(predictions: list[str], clips: dict[str, str], probes: list[str]) -> pd.DataFrame:
    """Read predictions of probes and of adaptation as one table.

    Two more results stand for all layers of a probed encoder. `mean` holds the answers of all layers, so that its
    accuracy is the mean of theirs. `selected` holds, for every split, those of the layer with the best accuracy on the
    validation part (the first of equals): a choice that the test part had no say in. Layer 0, the input of the first
    block, is left out of both unless there is no other.

    Parameters
    ----------
    predictions
        Prediction CSVs.
    clips
        The clips CSV of each domain.
    probes
        Probe CSVs of the encoders whose probes are among the predictions.

    Returns
    -------
    DataFrame
        `KEYS`, seed, clip_id, true, predicted, speaker: a row a result, seed and test clip; all strings.
    """
    parts = []
    for path in predictions:
        # an emotion may be called "none"
        part = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=lambda c: not c.startswith("logit_"))
        if "domain" in part:
            part = part.rename(columns={"domain": "test_domain"})
            part = part.assign(approach="probe", source=part["test_domain"], target="", stage="1")
        else:
            part = part.assign(layer="")
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    people = [
        pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["clip_id", "speaker"]).assign(test_domain=domain)
        for domain, path in clips.items()
    ]
    table = table.merge(pd.concat(people), on=["test_domain", "clip_id"], how="left", validate="many_to_one")
    table = table[[*KEYS, "seed", "clip_id", "true", "predicted", "speaker"]]
    return pd.concat([table, *(_summarised(table, path) for path in probes)], ignore_index=True)


def _summarised(table: pd.DataFrame, path: str) -> pd.DataFrame:
    probes = pd.read_csv(path, dtype=str, keep_default_na=False)
    probes = probes.astype({"layer": int, "validation": float}).rename(columns={"domain": "test_domain"})
    if probes["layer"].max() > 0:
        probes = probes[probes["layer"] > 0]
    split = ["model", "test_domain", "protocol", "seed"]
    best = probes.sort_values("layer").groupby(split)["validation"].idxmax()
    probes["layer"] = probes["layer"].map("{:02d}".format)
    of_probes = table[table["approach"] == "probe"]
    return pd.concat(
        of_probes.merge(some[[*split, "layer"]], on=[*split, "layer"]).assign(layer=name)
        for name, some in (("mean", probes), ("selected", probes.loc[best]))
    )
