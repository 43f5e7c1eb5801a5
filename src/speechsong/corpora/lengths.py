"""Lengths and bandwidths of the recordings: what differs between two corpora besides what one wants to compare."""

from __future__ import annotations

import pandas as pd

# a larger difference between the domains gets a warning
TENTH = 1.1
COLUMNS = {"heard": "long", "bandwidth": "wide"}


def describe(clips: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Describe the recordings of each domain and emotion.

    Parameters
    ----------
    clips
        The clips CSV of each domain.

    Returns
    -------
    DataFrame
        One row per domain and emotion, the last one `all`: domain, emotion, clips; seconds and heard (seconds left
        after trimming and cutting), each with its quartiles in X_q1 and X_q3; sample_rate (Hz; several with spaces
        between) and bandwidth (Hz), medians. `differs` says where the domain is more than a tenth above the other.
    """
    rows = []
    for domain, table in clips.items():
        for emotion in [*dict.fromkeys(table["emotion"]), "all"]:
            some = table if emotion == "all" else table[table["emotion"] == emotion]
            row: dict[str, object] = {"domain": domain, "emotion": emotion, "clips": len(some)}
            for name in ("seconds", "heard"):
                quartiles = some[name].astype(float).quantile([0.5, 0.25, 0.75])
                row |= dict(zip((name, f"{name}_q1", f"{name}_q3"), quartiles, strict=True))
            row["sample_rate"] = " ".join(map(str, sorted(some["sample_rate"].astype(int).unique())))
            row["bandwidth"] = float(some["bandwidth"].astype(float).median())
            rows.append(row)
    found = pd.DataFrame(rows)
    found["differs"] = [_differs(row, found) for row in found.to_dict("records")]
    return found


def _differs(row: dict, table: pd.DataFrame) -> str:
    other = table[(table["domain"] != row["domain"]) & (table["emotion"] == row["emotion"])]
    if other.empty:
        return ""
    ratios = {word: row[name] / float(other[name].iloc[0]) for name, word in COLUMNS.items()}
    return ", ".join(f"{ratio:.2f} times as {word}" for word, ratio in ratios.items() if ratio > TENTH)


def warnings(table: pd.DataFrame) -> list[str]:
    """Say where all recordings of a domain differ from those of the other by more than a tenth, in one line each."""
    whole = table[table["emotion"] == "all"]
    domains = list(whole["domain"])
    lines = []
    for row in whole[whole["differs"] != ""].to_dict("records"):
        other = next(domain for domain in domains if domain != row["domain"])
        lines.append(
            f"Recordings of {row['domain']} are {row['differs']} as those of {other}: distances and probes may show "
            "that (see docs/controls.md)"
        )
    return lines
