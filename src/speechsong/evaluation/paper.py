"""The paper's numbers beside ours: those that Sun et al. (2024) print, and the same ones from this run.

Conventions
-----------
Accuracies are in %. The paper calls its measure UA, but nearly every value is a multiple of 1/203: it is plain accuracy
over the 203 clips of one test part. Ours is with the random split, as the paper's is, over all seeds together. A value
is None if it is not legible in the copy that the numbers were taken from. That copy lacks Table II.

References
----------
[1] Sun et al., 2024, arXiv:2409.17899.
"""

from __future__ import annotations

import pandas as pd

CLIPS = 203  # of a test part

# speech emotion recognition, by encoder: (best, its layer), (worst, its layer), mean over the layers
TABLE_1 = {
    "w2v2": ((79.80, 5), (47.78, 12), 70.28),
    "hubert": ((85.22, 6), (71.92, 1), 79.31),
    "mert": ((76.85, 5), (59.11, 12), 67.82),
}

# by approach and encoder: speech then music (stage one, stage two), music then speech
TABLE_3 = {
    ("baseline", "w2v2"): ((73.89, 69.95), (65.02, 74.88)),
    ("baseline", "hubert"): ((83.25, 76.35), (68.97, 84.24)),
    ("baseline", "mert"): ((62.56, 83.74), (85.22, 61.58)),
    ("ws", "w2v2"): ((79.31, 77.83), (73.40, 80.30)),
    ("ws", "hubert"): ((80.30, 81.28), (78.82, 82.76)),
    ("ws", "mert"): ((61.85, 89.66), (84.23, 72.77)),
    ("peft", "w2v2"): ((87.20, 87.68), (79.80, 87.20)),
    ("peft", "hubert"): ((88.18, None), (None, 93.10)),
    ("peft", "mert"): ((85.22, 93.60), (91.63, 82.76)),
}


def misprinted(value: float) -> bool:
    """Tell whether a printed value is further from a multiple of 1/203 than rounding or a slip of the last digit."""
    clips = value / 100 * CLIPS
    return abs(clips - round(clips)) / CLIPS * 100 > 0.015


def beside(probes: pd.DataFrame, adapted: pd.DataFrame, domains: list[str] | None) -> pd.DataFrame:
    """Set our numbers beside the paper's.

    Parameters
    ----------
    probes
        From `summaries.best_and_worst`.
    adapted
        From `summaries.two_stages`.
    domains
        Names of the domains that are RAVDESS speech and song; None if the run has other corpora or emotions, so that no
        number of ours belongs beside the paper's.

    Returns
    -------
    DataFrame
        One row per number that the paper prints: table, encoder, approach, what, paper, paper_layer, ours with its
        interval over speakers, layer, difference (ours minus the paper's, in points), files (the difference as a number
        of the 203 test clips), inside (whether the paper's number is in our interval: yes, no, or empty if one of them
        is missing), note.
    """
    speech, music = domains or ("speech", "music")
    if domains is None:
        probes, adapted = probes[:0], adapted[:0]
    probes = probes[(probes["protocol"] == "random") & (probes["fit"] == "paper")].set_index(["domain", "model"])
    adapted = adapted[adapted["protocol"] == "random"].set_index(["approach", "model", "source", "target"])
    rows = []
    # our copy of the paper lacks the numbers of its Table II
    missing = dict.fromkeys(TABLE_1, ((None, None), (None, None), None))
    for table, domain, printed in (("I", speech, TABLE_1), ("II", music, missing)):
        for encoder, ((best, best_layer), (worst, worst_layer), mean) in printed.items():
            labels = {"table": table, "encoder": encoder, "approach": "probe"}
            ours = probes.loc[(domain, encoder)] if (domain, encoder) in probes.index else None
            rows.append(labels | _row("best layer", best, ours, "best", best_layer))
            rows.append(labels | _row("worst layer", worst, ours, "worst", worst_layer))
            rows.append(labels | _row("mean of layers", mean, ours, "mean"))
    for (approach, encoder), directions in TABLE_3.items():
        labels = {"table": "III", "encoder": encoder, "approach": approach}
        for (source, target), (one, two) in zip(((speech, music), (music, speech)), directions, strict=True):
            key = (approach, encoder, source, target)
            ours = adapted.loc[key] if key in adapted.index else None
            rows.append(labels | _row(f"{source}, stage one", one, ours, "stage_one"))
            rows.append(labels | _row(f"{source} then {target}", two, ours, "stage_two"))
    return pd.DataFrame(rows).astype({"paper_layer": "Int64", "layer": "Int64"})


def _row(what: str, paper: float | None, ours: pd.Series | None, column: str, paper_layer: int | None = None) -> dict:
    """Set a column of our row beside the paper's number, which is of one layer if `paper_layer` is given."""
    nothing = float("nan")
    value, low, high = (nothing if ours is None else ours[c] for c in (column, f"{column}_low", f"{column}_high"))
    paper = nothing if paper is None else paper
    difference = value - paper
    inside, note = "", ""
    if not (pd.isna(difference) or pd.isna(low)):
        inside = "yes" if low <= paper <= high else "no"
    if pd.isna(paper):
        note = "not legible"
    elif column != "mean" and misprinted(paper):
        note = "not a multiple of 1/203: a misprint"
    return {
        "what": what,
        "paper": paper,
        "paper_layer": paper_layer,
        "ours": value,
        "ours_low": low,
        "ours_high": high,
        "layer": None if ours is None or column not in ("best", "worst") else ours[f"{column}_layer"],
        "difference": difference,
        "files": difference / 100 * CLIPS,
        "inside": inside,
        "note": note,
    }
