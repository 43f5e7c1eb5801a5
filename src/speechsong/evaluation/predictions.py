"""Predictions: the answers of all probes and all stages of adaptation to their test clips, in one table.

Conventions
-----------
The table has one row per answer, with these columns:

model, approach, fit, protocol, source, target, test_domain : str
    Which probe or stage answered, and on which domain it was tested. The approach of a probe is `probe`, its fit is how
    it was trained (`paper` or `converged`), its source is the domain that it was trained on, and it has no target ("").
    The target is also empty in stage one of adaptation, and the fit in all of adaptation. The source of joint training
    is both domains with a + between them; no domain has a + in its name.
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

from collections.abc import Iterator, Sequence

import pandas as pd

from speechsong import files
from speechsong.errors import UserError

_LABELS = ["model", "approach", "fit", "protocol", "source", "target", "stage", "test_domain"]
KEYS = [*_LABELS, "over", "layer"]
COLUMNS = [*_LABELS, "layer", "seed", "clip_id", "true", "predicted", "speaker", "selected"]
# what only the predictions of probes have, and only those of stages of adaptation
_OF_PROBE = ("layer", "fit")
_OF_STAGE = ("approach", "source", "target", "stage")
_SPLIT = ["model", "source", "fit", "protocol", "seed"]
# texts that no row lacks
_FILLED = ("model", "protocol", "test_domain", "clip_id", "true", "predicted")
_TYPES = dict.fromkeys([*COLUMNS, "domain", "emotion"], str) | {
    "stage": int,
    "layer": "Int64",
    "seed": int,
    "validation": float,
}
_AGAIN = "delete the file and run again"


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
        If a file is not as the workflow wrote it, a clip is in no clips CSV or has another emotion there, or a file has
        other answers than those to the clips of its split.
    """
    index = pd.concat(_index(path).assign(test_domain=domain) for domain, path in clips.items())
    # an encoder may have no stages of adaptation
    parts = [_answers(path, index) for path in paths] or [pd.DataFrame(columns=COLUMNS)]
    _check_complete(parts, paths)
    table = pd.concat(parts, ignore_index=True)
    if probes:
        chosen = pd.concat(map(_chosen, probes)).assign(selected="yes")
        table = table.drop(columns="selected").merge(chosen, on=[*_SPLIT, "layer"], how="left")
        table["selected"] = table["selected"].fillna("no").where(table["layer"].notna(), "")
    return table[COLUMNS]


def _index(path: str) -> pd.DataFrame:
    """The speaker and the emotion of each clip, from a clips CSV."""
    table = _read(path, ("clip_id", "speaker", "emotion"))[["clip_id", "speaker", "emotion"]]
    if table["clip_id"].duplicated().any():
        raise UserError(f"{path}: has a clip twice; {_AGAIN}")
    return table


def _answers(path: str, index: pd.DataFrame) -> pd.DataFrame:
    table = _read(path, ("model", "protocol", "seed", "test_domain", "clip_id", "true", "predicted"))
    if table.empty:
        raise UserError(f"{path}: has no row; {_AGAIN}")
    if "domain" in table:
        _require(path, table, _OF_PROBE)
        table = table.rename(columns={"domain": "source"}).assign(approach="probe", target="", stage=1)
    else:
        _require(path, table, _OF_STAGE)
        table["layer"] = pd.array([None] * len(table), dtype="Int64")
        table["fit"] = ""
    table = table.merge(index, on=["test_domain", "clip_id"], how="left")
    for wrong, what in (
        (table["emotion"].isna(), "not among the clips"),
        (table["emotion"] != table["true"], "of another emotion among the clips"),
    ):
        if wrong.any():
            clip, domain = table.loc[wrong, ["clip_id", "test_domain"]].iloc[0]
            raise UserError(f"{path}: clip `{clip}` is {what} of `{domain}`; {_AGAIN}")
    return table.assign(selected="")[COLUMNS]


def _require(path: str, table: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; {_AGAIN}")


def _check_complete(parts: list[pd.DataFrame], paths: list[str]) -> None:
    """Check that all results of a split answer the same clips, each once, and with an emotion of the clips."""
    split = ["protocol", "seed", "test_domain"]
    every = pd.concat([part[[*split, "clip_id"]] for part in parts], ignore_index=True)
    clips = every.groupby(split)["clip_id"].nunique()
    emotions = {emotion for part in parts for emotion in part["true"].unique()}
    for part, path in zip(parts, paths, strict=False):
        unknown = set(part["predicted"].unique()) - emotions
        if unknown:
            raise UserError(f"{path}: answers `{min(unknown)}`, which no clip is; {_AGAIN}")
        for keys, answers in part.groupby([*_LABELS, "layer", "seed"], sort=False, dropna=False):
            labels = dict(zip([*_LABELS, "layer", "seed"], keys, strict=True))
            protocol, seed, domain = (labels[name] for name in split)
            if answers["clip_id"].duplicated().any():
                raise UserError(f"{path}: has two answers to one clip; {_AGAIN}")
            if len(answers) < clips[protocol, seed, domain]:
                raise UserError(
                    f"{path}: answers {len(answers)} of the {clips[protocol, seed, domain]} test clips of `{domain}` "
                    f"in {protocol}-{seed}; {_AGAIN}"
                )


def _chosen(path: str) -> pd.DataFrame:
    """The layer that the validation part of each split selects, from a probe CSV."""
    probes = _read(path, ("model", "domain", "fit", "protocol", "seed", "layer", "validation")).rename(
        columns={"domain": "source"}
    )
    probes = probes[probes["test_domain"] == probes["source"]]
    best = deep(probes).sort_values("layer").groupby(_SPLIT)["validation"].idxmax()
    return probes.loc[best, [*_SPLIT, "layer"]]


def read(paths: list[str]) -> pd.DataFrame:
    """Read gathered predictions of several models as one table, with the types given above.

    Raises
    ------
    UserError
        If a file cannot be read, lacks answers or has them twice.
    """
    parts = [_read(path, COLUMNS) for path in paths]
    _check_complete(parts, paths)
    table = pd.concat(parts, ignore_index=True)
    for labels, column in (("emotions", "true"), ("speakers", "speaker")):
        known = table[["test_domain", "clip_id", column]].drop_duplicates()
        twice = known[known.duplicated(["test_domain", "clip_id"])]
        if len(twice):
            raise UserError(
                f"{' and '.join(map(str, paths))}: clip `{twice['clip_id'].iloc[0]}` has two {labels}; delete the "
                "files and run again"
            )
    return table


def _read(path: str, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV of this module, of probes or of clips; its texts are not empty, and its numbers are numbers."""
    with files.table(path):
        table = pd.read_csv(
            path,
            dtype=_TYPES,
            usecols=lambda name: name in _TYPES,
            # an emotion may be called "none"
            keep_default_na=False,
            na_values={"layer": [""]},
            on_bad_lines="error",
            index_col=False,
        )
        _require(path, table, needed)
        if "selected" in table and not set(table["selected"].unique()) <= {"yes", "no", ""}:
            raise ValueError("selected is not yes, no or empty")
        for name in _FILLED:
            if name in table and (table[name] == "").any():
                raise ValueError(f"has a row without {name}")
    return table


def own(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what was tested on the domain that was trained on last. Joint training has no such domain."""
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
