"""The paper's claims: a checklist of what Sun et al. (2024) find, each computed from this run.

`claims_rows` says how a claim is judged. The other modules hold the claims by their subject: `claims_probes` and
`claims_emotions` (V-A), `claims_adaptation` (V-B), `claims_distances` (V-C).

Conventions
-----------
Accuracies are those of the random split, as in the paper. Differences are in points of %. Verdicts are not adjusted for
their number. A claim that this run cannot answer has the verdict `MISSING`. The column in_paper says whether the paper
makes the claim of this very encoder, or this run asks the same of another.

References
----------
[1] Sun et al., 2024, arXiv:2409.17899.
"""

from __future__ import annotations

import pandas as pd

from speechsong.evaluation.claims_adaptation import adapted, judge_adaptation
from speechsong.evaluation.claims_distances import distances, judge_distances
from speechsong.evaluation.claims_emotions import judge_emotions
from speechsong.evaluation.claims_probes import judge_epochs, judge_layers, probes
from speechsong.evaluation.claims_rows import MISSING, Encoder


def known_encoders(described: pd.DataFrame, pretrained_on: dict[str, str]) -> list[Encoder]:
    """Say what is known of the encoders of a run.

    Parameters
    ----------
    described
        Rows of the CSVs of encoders: model, control, family.
    pretrained_on
        By model: speech, music, or "" if unknown.

    Returns
    -------
    list of Encoder
        Controls have neither a family nor a role: the paper speaks of encoders that have learnt.
    """
    table = described.astype(object).where(described.notna(), "")
    return [
        Encoder(model) if control else Encoder(model, family, pretrained_on[model])
        for model, control, family in zip(table["model"], table["control"], table["family"], strict=True)
    ]


def check(
    predictions: pd.DataFrame,
    epochs: pd.DataFrame,
    fads: pd.DataFrame,
    left_out: pd.DataFrame,
    encoders: list[Encoder],
    domains: list[str],
    sides: list[str] | None,
    emotions: list[str],
    paper: bool,
) -> pd.DataFrame:
    """Judge all claims.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    epochs
        Rows of the probe CSVs of all models.
    fads, left_out
        Rows of the FAD CSVs and of the left_out.csv of all models.
    encoders
        Those of the run.
    domains
    sides
        Our names of speech and music; None if it is unknown which is which.
    emotions
    paper
        Whether the run has the paper's recordings and emotions. Of others the paper claims nothing.

    Returns
    -------
    DataFrame
        One row per claim, encoder, fit and kind of FAD, with the columns of `Claim.row`.
    """
    rows = []
    for of in probes(predictions, sides):
        rows += [*judge_layers(of, encoders, domains), *judge_emotions(of, encoders, emotions)]
    rows += judge_epochs(epochs, encoders)
    rows += judge_adaptation(adapted(predictions), encoders, domains, sides)
    found = {
        str(model): distances(of_model, left_out[left_out["model"] == model])
        for model, of_model in fads.groupby("model", sort=False)
    }
    rows += judge_distances(found, encoders)
    # what the paper does not claim and this run cannot answer is no row
    table = pd.DataFrame(row for row in rows if row["verdict"] != MISSING or row["in_paper"] == "yes")
    return table if paper else table.assign(in_paper="no")
