"""Confounding: whether emotion is tied to who speaks, so that what tells emotions apart may be the voice.

Snakemake measures it whenever it parses the workflow, so this module imports nothing heavy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

# a medium to strong association (Cohen 1988); in a corpus where everybody acts every emotion it is near 0
LIMIT = 0.3
# attributes of a recording that should be independent of its emotion, and their plural
_ATTRIBUTES = {"speaker": "speakers", "gender": "genders", "session": "sessions"}


def cramers_v(pairs: Iterable[tuple[str, str]]) -> float:
    """Measure the association of two labels by Cramér's V, corrected for bias (Bergsma 2013).

    Parameters
    ----------
    pairs
        The two labels of each recording.

    Returns
    -------
    float
        0 if they are independent, or if one of them never varies; 1 if one determines the other. The correction keeps
        many speakers with few recordings each from looking like an association.
    """
    cells = Counter(pairs)
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for (row, column), count in cells.items():
        rows[row] += count
        columns[column] += count
    n, r, k = cells.total(), len(rows), len(columns)
    if min(r, k) < 2:
        return 0.0
    phi2 = sum(count**2 / (rows[row] * columns[column]) for (row, column), count in cells.items()) - 1
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return min(1.0, sqrt(phi2 / smaller)) if smaller > 0 else 0.0


def confounded(clips: Sequence[Mapping[str, str]]) -> list[str]:
    """Say with what the emotion of a domain's clips is confounded.

    Parameters
    ----------
    clips
        Each with emotion, speaker and, if known, gender and session.

    Returns
    -------
    list of str
        One sentence for each attribute whose association with emotion is at least `LIMIT`, or of which every level has
        one emotion only.
    """
    lines = []
    for attribute, plural in _ATTRIBUTES.items():
        pairs = [(clip[attribute], clip["emotion"]) for clip in clips if clip.get(attribute)]
        emotions = defaultdict(set)
        for level, emotion in pairs:
            emotions[level].add(emotion)
        single = sum(len(found) == 1 for found in emotions.values())
        tied = single == len(emotions) > 1 and len(set().union(*emotions.values())) > 1
        v = cramers_v(pairs)
        if v >= LIMIT or tied:
            v = max(v, float(tied))
            lines.append(
                f"Emotion and {attribute} are confounded (Cramér's V {v:.2f}; {single} of "
                f"{len(emotions)} {plural} have one emotion only), so {_MEANING[attribute]}."
            )
    return lines


_MEANING = {
    "speaker": "random splits measure who speaks as well as emotion, and distances between emotions are also distances "
    "between speakers",
    "gender": "what tells emotions apart may be the gender",
    "session": "what tells emotions apart may be the session and its microphone",
}
