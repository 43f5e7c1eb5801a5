"""Strata: the accuracy of probes on parts of the test clips, by what is said, how strongly, and by whom.

Only the layers that validation selects count, tested on the domain that they were trained on.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechsong.evaluation import intervals
from speechsong.evaluation.comparisons import accuracies
from speechsong.evaluation.predictions import own
from speechsong.evaluation.scores import percent

KEYS = ["model", "fit", "protocol", "test_domain"]
_SHARES = [f"{name}{end}" for name in ("accuracy", "others", "difference") for end in ("", "_low", "_high")]
COLUMNS = [*KEYS, "attribute", "level", *_SHARES, "clips", "speakers", "emotions"]


def label(predictions: pd.DataFrame, clips: pd.DataFrame) -> pd.DataFrame:
    """Keep the answers of selected layers on their own domain, and add what is known of each clip.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    clips
        The rows of all clips CSVs.
    """
    chosen = own(predictions[predictions["selected"] == "yes"])
    known = clips.drop(columns=["speaker", "emotion"]).rename(columns={"domain": "test_domain"})
    return chosen.merge(known, on=["test_domain", "clip_id"], how="left", validate="many_to_one")


def strata(labelled: pd.DataFrame, attributes: list[str]) -> pd.DataFrame:
    """Compare the accuracy on each level of an attribute with that on all other clips.

    Parameters
    ----------
    labelled
        From `label`.
    attributes
        Its columns to compare by. An empty value is unknown.

    Returns
    -------
    DataFrame
        One row per result, attribute and level: `KEYS`, attribute, level; accuracy on its clips, others (accuracy on
        the other clips) and difference, in %, each with its 95 % interval over speakers; clips (distinct ones),
        speakers, and the number of emotions. Emotions that lack a level are left out, because the difference would
        also be one between emotions. An attribute with fewer than two levels in a domain has no rows there.
    """
    rows = []
    for values, answers in labelled.groupby(KEYS, sort=False):
        for attribute in attributes:
            known = answers[answers[attribute] != ""]
            levels = sorted(known[attribute].unique())
            counts = known.groupby("true")[attribute].nunique()
            known = known[known["true"].isin(counts.index[counts == len(levels)])]
            if len(levels) < 2 or known.empty:
                continue
            for level in levels:
                inside = known[attribute] == level
                here, others = accuracies(known[inside], known[~inside])
                rows.append(
                    dict(zip(KEYS, values, strict=True))
                    | {"attribute": attribute, "level": level}
                    | percent("accuracy", here.value, here.interval())
                    | percent("others", others.value, others.interval())
                    | percent("difference", *here.minus(others))
                    | {"clips": here.clips, "speakers": here.speakers, "emotions": known["true"].nunique()}
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def by_speaker(labelled: pd.DataFrame) -> list[dict]:
    """Compute the accuracy on the clips of each speaker.

    Parameters
    ----------
    labelled
        From `label`.

    Returns
    -------
    list of dict
        One row per result and speaker, by falling accuracy: `KEYS`, speaker_id, gender; accuracy in % with Wilson's
        95 % interval over the clips, which takes them as independent; and clips (distinct ones).
    """
    rows = []
    for values, answers in labelled.groupby(KEYS, sort=False):
        people = []
        for speaker, of_speaker in answers.groupby("speaker"):
            clips = of_speaker["clip_id"].nunique()
            share = float(np.mean(of_speaker["true"] == of_speaker["predicted"]))
            people.append(
                dict(zip(KEYS, values, strict=True))
                | {"speaker_id": speaker, "gender": of_speaker["gender"].iloc[0]}
                | percent("accuracy", share, intervals.wilson(share, clips))
                | {"clips": clips}
            )
        rows += sorted(people, key=lambda row: -row["accuracy"])
    return rows
