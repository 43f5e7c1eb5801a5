"""The numbers that Sun et al. (2024, arXiv 2409.17899) print, and ours beside them.

The paper's "UA" is plain accuracy over 203 test clips: nearly every value is a multiple of 1/203. Table II is missing
in the copy that the numbers were taken from. Values are in %.
"""

from __future__ import annotations

import pandas as pd

CLIPS = 203  # in a test part

# speech emotion recognition: encoder -> (best, its layer), (worst, its layer), mean over the layers
TABLE_1 = {
    "w2v2": ((79.80, 5), (47.78, 12), 70.28),
    "hubert": ((85.22, 6), (71.92, 1), 79.31),
    "mert": ((76.85, 5), (59.11, 12), 67.82),
}

# approach, encoder -> speech then music (stage one, stage two), music then speech; None where the cell is not legible
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
    """Whether a printed value is further from every multiple of 1/203 than rounding or a slip of the last digit."""
    files = value / 100 * CLIPS
    return abs(files - round(files)) / CLIPS * 100 > 0.015


def beside(probes: pd.DataFrame, adapted: pd.DataFrame, domains: list[str] | None) -> pd.DataFrame:
    """Set our numbers beside the paper's.

    Parameters
    ----------
    probes
        From `tables.best_and_worst`.
    adapted
        From `tables.two_stages`.
    domains
        Our names of RAVDESS speech and song; None where the run is of others, or of other emotions, and no number of
        ours belongs beside the paper's.

    Returns
    -------
    DataFrame
        A row a printed number: table, encoder, approach, what, paper, paper_layer, ours with its interval over
        speakers, layer, difference (ours minus the paper's, in points), files (the difference in test clips of 203),
        inside (whether the paper's lies in our interval: yes, no, or empty where we have no number), note. Ours is with
        the random split.
    """
    speech, music = domains or ("speech", "music")
    if domains is None:
        probes, adapted = probes[:0], adapted[:0]
    probes = probes[(probes["protocol"] == "random") & (probes["domain"] == speech)].set_index("model")
    adapted = adapted[adapted["protocol"] == "random"].set_index(["approach", "model", "source", "target"])
    rows = []
    for encoder, ((best, best_layer), (worst, worst_layer), mean) in TABLE_1.items():
        ours = probes.loc[encoder] if encoder in probes.index else None
        for what, value, layer in (("best", best, best_layer), ("worst", worst, worst_layer), ("mean", mean, None)):
            rows.append(
                _row("I", encoder, "probe", f"{what} layer" if layer else "mean of layers", value, layer, ours, what)
            )
    for (approach, encoder), directions in TABLE_3.items():
        for (source, target), values in zip(((speech, music), (music, speech)), directions, strict=True):
            key = (approach, encoder, source, target)
            ours = adapted.loc[key] if key in adapted.index else None
            for stage, value in zip(("stage_one", "stage_two"), values, strict=True):
                what = f"{source}, stage one" if stage == "stage_one" else f"{source} then {target}"
                rows.append(_row("III", encoder, approach, what, value, None, ours, stage))
    return pd.DataFrame(rows)


def _row(
    table: str,
    encoder: str,
    approach: str,
    what: str,
    paper: float | None,
    layer: int | None,
    ours: pd.Series | None,
    column: str,
) -> dict:
    nothing = float("nan")
    value, low, high = (nothing if ours is None else ours[c] for c in (column, f"{column}_low", f"{column}_high"))
    paper = nothing if paper is None else paper
    difference = value - paper
    inside = "" if pd.isna(difference) or pd.isna(low) else "yes" if low <= paper <= high else "no"
    note = (
        "not legible"
        if pd.isna(paper)
        else "no multiple of 1/203: a misprint"
        if column != "mean" and misprinted(paper)
        else ""
    )
    return {
        "table": table,
        "encoder": encoder,
        "approach": approach,
        "what": what,
        "paper": paper,
        "paper_layer": "" if layer is None else str(layer),
        "ours": value,
        "ours_low": low,
        "ours_high": high,
        "layer": "" if ours is None or layer is None else str(ours[f"{column}_layer"]),
        "difference": difference,
        "files": difference / 100 * CLIPS,
        "inside": inside,
        "note": note,
    }
