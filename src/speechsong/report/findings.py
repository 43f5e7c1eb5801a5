"""What a run shows, in a few sentences: each is computed from a table and has an interval in it.

The sentences are about one encoder, the one whose probes are best on average over the domains. They use new speakers
(the speaker split) and converged probes where the run has them. A difference whose interval holds zero is undecided.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

_PEOPLE = {"speaker": "new speakers", "given": "the test clips that the tables give"}


def findings(tables: dict[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Say what a run shows.

    Parameters
    ----------
    tables
        By name, as in `results/tables`: probe, leakage, comparisons, fad, transfer, similarity. Those that the run
        lacks, and numbers without an interval, are passed over.

    Returns
    -------
    list of tuple of str
        At most ten sentences for two domains, each with the name of its table.
    """
    if "probe" not in tables:
        return []
    probes = tables["probe"]
    kind = {"protocol": _last(probes["protocol"], "speaker"), "fit": _last(probes["fit"], "converged")}
    probes = _pick(probes, **kind)
    model = str(probes.groupby("model", sort=False)["selected"].mean().idxmax())
    kind |= {"model": model}
    people = _PEOPLE.get(kind["protocol"], "speakers that it has heard")
    sentences = [
        (
            f"With {people}, {model} recognises emotions in {row['domain']} with an accuracy of "
            f"{_percent(row, 'selected')}.",
            "probe",
        )
        for row in _rows(_pick(probes, model=model), "selected")
    ]
    for name, tell in (
        ("leakage", _leakage),
        ("comparisons", _fits),
        ("fad", _nearest),
        ("transfer", _transfer),
        ("similarity", _similarity),
        ("comparisons", _adaptation),
    ):
        if name in tables:
            sentences += [(sentence, name) for sentence in tell(tables[name], kind)]
    return sentences


def _leakage(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    own = table[(table["test_domain"] == table["source"]) & (table["over"] == "selected")]
    for row in _rows(_pick(own, model=kind["model"], fit=kind["fit"]), "difference"):
        cost = _points(row, "difference")
        yield {
            1: f"New speakers cost {kind['model']} {cost} in {row['test_domain']}.",
            -1: f"In {row['test_domain']}, {kind['model']} is better with new speakers, by {cost}.",
            0: f"Whether new speakers cost {kind['model']} anything in {row['test_domain']} is undecided: {cost}.",
        }[_sign(row, "difference")]


def _fits(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    rows = _pick(table, family="converged against paper", test="sign-flip", model=kind["model"])
    parts = [
        f"{_points(row, 'difference')} in {row['test_domain']}{'' if _sign(row, 'difference') else ' (undecided)'}"
        for row in _rows(_pick(rows, protocol=kind["protocol"]), "difference")
    ]
    if parts:
        yield f"Training its probes until they converge changes their accuracy by {' and by '.join(parts)}."


def _nearest(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    for row in _rows(_pick(table, model=kind["model"], over="mean"), "fad_corrected"):
        if row["rank"] == 1:
            yield (
                f"{row['emotion'].capitalize()} is nearest: FAD {_interval(row, 'fad_corrected', 2)}, first in "
                f"{100 * row['rank_resampled']:.0f} % of the draws of speakers."
            )


def _transfer(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    parts = []
    for row in _rows(_pick(table, **kind, over="selected", approach="probe"), "kept"):
        shares = row | {name: 100 * row[name] for name in ("kept", "kept_low", "kept_high")}
        parts.append(f"{_percent(shares, 'kept', 0)} on {row['target']} after training on {row['source']} alone")
    if parts:
        yield f"Of the accuracy above chance, its probes keep {', and '.join(parts)}."


def _similarity(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    rows = _pick(table, **kind, outcome="kept", distance="fad", over="layers and emotions")
    parts = [
        f"{_interval(row, 'correlation', 2)} from {row['source']} to {row['target']}"
        f"{'' if _sign(row, 'correlation') else ' (undecided)'}"
        for row in _rows(rows, "correlation")
    ]
    if parts:
        yield f"The rank correlation of FAD with what transfer keeps is {', and '.join(parts)}."


def _adaptation(table: pd.DataFrame, kind: dict[str, str]) -> Iterator[str]:
    rows = _pick(table, family="two-stage against equal budget", test="sign-flip", model=kind["model"])
    if rows.empty:
        return
    rows = _pick(rows, protocol=_last(rows["protocol"], "speaker"))
    # peft as a whole rather than one of its parts
    approach = "peft" if "peft" in set(rows["approach"]) else rows["approach"].iloc[-1]
    for row in _rows(_pick(rows, approach=approach), "difference"):
        sign, gain = _sign(row, "difference"), _points(row, "difference")
        verdict = {1: "helps", -1: "harms", 0: "may help or harm (undecided)"}[sign]
        yield (
            f"With {row['approach']}, training on the other domain first {verdict} on {row['test_domain']}, compared "
            f"with the equal budget: {gain}."
        )


def _last(column: pd.Series, wanted: str) -> str:
    """Choose a value of a column: the wanted one if it is there, else the first."""
    return wanted if wanted in set(column) else str(column.iloc[0])


def _pick(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _rows(table: pd.DataFrame, name: str) -> list[dict]:
    """List the rows in which a number has an interval."""
    return table.dropna(subset=[name, f"{name}_low", f"{name}_high"]).to_dict("records")


def _sign(row: dict, name: str) -> int:
    """Tell whether the interval of a difference lies above zero (1), below it (-1), or holds it (0)."""
    return int(row[f"{name}_low"] > 0) - int(row[f"{name}_high"] < 0)


def _interval(row: dict, name: str, decimals: int = 1) -> str:
    value, low, high = (
        f"{row[column]:.{decimals}f}".replace("-", "−") for column in (name, f"{name}_low", f"{name}_high")
    )
    return f"{value} [{low}, {high}]"


def _points(row: dict, name: str) -> str:
    value, _, bounds = _interval(row, name).partition(" ")
    return f"{value} points {bounds}"


def _percent(row: dict, name: str, decimals: int = 1) -> str:
    value, _, bounds = _interval(row, name, decimals).partition(" ")
    return f"{value} % {bounds}"
