"""Predictions: the answers of all probes and all stages of adaptation to their test clips, in one table.

Conventions
-----------
The table has one row per answer, with these columns:

model, approach, fit, protocol, source, target, test_domain : str
    Which probe or stage answered, and on which domain it was tested. The approach of a probe is `probe`, its fit is how
    it was trained (`paper` or `converged`), its source is the domain that it was trained on, and it has no target ("").
    The target is also empty in stage one of adaptation, and the fit in all of adaptation.
stage : int
    1 or 2.
layer : Int64
    The layer of a probe; missing in adaptation.
seed : int
clip_id, true, predicted, speaker : str
    The test clip, its emotion, the answer, and the speaker.
selected : str
    Whether this layer has the best accuracy on the validation part of this split (`yes` or `no`; of equally good
    layers, the first); empty in adaptation. The test part plays no role in this choice.

A result is what gets a score: all answers, over all seeds, that share `KEYS`. `over` says which layers a result of
probes covers: one `layer`, whose number is in the column `layer`; the `mean`, which has the answers of all layers, so
that its accuracy is the mean of theirs; or the `selected` layer of each split. Layer 0, the input of the first block,
is left out of `mean` and `selected` unless there is no other. In adaptation `over` is empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from speechsong.errors import UserError

_LABELS = ["model", "approach", "fit", "protocol", "source", "target", "stage", "test_domain"]
KEYS = [*_LABELS, "over", "layer"]
COLUMNS = [*_LABELS, "layer", "seed", "clip_id", "true", "predicted", "speaker", "selected"]
_SPLIT = ["model", "source", "fit", "protocol", "seed"]
_TYPES = dict.fromkeys([*COLUMNS, "domain"], str) | {"stage": int, "layer": "Int64", "seed": int, "validation": float}


def gather(paths: list[str], clips: dict[str, str], probes: list[str]) -> pd.DataFrame:
    """Gather predictions, and add the speakers and the layers that validation selected.

    Parameters
    ----------
    paths
        CSVs of the predictions of probes or of adaptation.
    clips
        The clips CSV of each domain.
    probes
        The probe CSVs of the models whose probes are among the predictions.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, rows in the order of the files.

    Raises
    ------
    UserError
        If a clip is in no clips CSV.
    """
    speakers = pd.concat(
        _read(path)[["clip_id", "speaker"]].assign(test_domain=domain) for domain, path in clips.items()
    )
    # an encoder may have no stages of adaptation
    parts = [_answers(path, speakers) for path in paths] or [pd.DataFrame(columns=COLUMNS)]
    table = pd.concat(parts, ignore_index=True)
    if probes:
        chosen = pd.concat(map(_chosen, probes)).assign(selected="yes")
        table = table.drop(columns="selected").merge(chosen, on=[*_SPLIT, "layer"], how="left")
        table["selected"] = table["selected"].fillna("no").where(table["layer"].notna(), "")
    return table[COLUMNS]


def _answers(path: str, speakers: pd.DataFrame) -> pd.DataFrame:
    table = _read(path)
    if "domain" in table:
        table = table.rename(columns={"domain": "source"}).assign(approach="probe", target="", stage=1)
    else:
        table["layer"] = pd.array([None] * len(table), dtype="Int64")
        table["fit"] = ""
    table = table.merge(speakers, on=["test_domain", "clip_id"], how="left", validate="many_to_one")
    unknown = table[table["speaker"].isna()]
    if len(unknown):
        clip, domain = unknown.iloc[0][["clip_id", "test_domain"]]
        raise UserError(f"{path}: clip `{clip}` is not among the clips of `{domain}`; delete the file and run again")
    return table.assign(selected="")[COLUMNS]


def _chosen(path: str) -> pd.DataFrame:
    """The layer that the validation part of each split selects, from a probe CSV."""
    probes = _read(path).rename(columns={"domain": "source"})
    probes = probes[probes["test_domain"] == probes["source"]]
    best = deep(probes).sort_values("layer").groupby(_SPLIT)["validation"].idxmax()
    return probes.loc[best, [*_SPLIT, "layer"]]


def read(paths: list[str]) -> pd.DataFrame:
    """Read gathered predictions of several models as one table, with the types given above."""
    return pd.concat(map(_read, paths), ignore_index=True)


def _read(path: str) -> pd.DataFrame:
    # an emotion may be called "none"
    return pd.read_csv(
        path, dtype=_TYPES, usecols=lambda name: name in _TYPES, keep_default_na=False, na_values={"layer": [""]}
    )


def own(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what was tested on the domain that was trained on last."""
    return table[table["test_domain"] == table["target"].where(table["target"] != "", table["source"])]


def approach(keys: dict | pd.Series) -> str:
    """Name the approach of a result, and of a probe how it was trained: "ws", "probe", "converged probe"."""
    return f"{keys['fit']} {keys['approach']}" if keys["fit"] == "converged" else keys["approach"]


def deep(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out layer 0, the input of the first block, unless there is no other."""
    return table[table["layer"] > 0] if (table["layer"] > 0).any() else table


def results(table: pd.DataFrame) -> Iterator[tuple[dict, pd.DataFrame]]:
    """List all results: those of every layer, those of adaptation, then each model's mean and selected layer.

    Parameters
    ----------
    table
        From `read`.

    Yields
    ------
    keys : dict
        `KEYS` of the result; `layer` is an int, or None where there is none.
    answers : DataFrame
        Its rows of the table.
    """
    probed, adapted = table[table["layer"].notna()], table[table["layer"].isna()]
    for (*labels, layer), answers in probed.groupby([*_LABELS, "layer"], sort=False):
        yield _keys(labels, "layer", int(layer)), answers
    for labels, answers in adapted.groupby(_LABELS, sort=False):
        yield _keys(labels, ""), answers
    for _, of_model in probed.groupby("model", sort=False):
        layers = deep(of_model)
        for over, part in (("mean", layers), ("selected", layers[layers["selected"] == "yes"])):
            for labels, answers in part.groupby(_LABELS, sort=False):
                yield _keys(labels, over), answers


def _keys(labels: list, over: str, layer: int | None = None) -> dict:
    return dict(zip(KEYS, (*labels, over, layer), strict=True))
