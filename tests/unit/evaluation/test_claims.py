"""The paper's claims as a table: a verdict is what number, interval and bound say, and every claim has its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_claims import EMOTIONS, as_the_paper, by_name, fads, probed, stages
from speechsong.evaluation import claims
from speechsong.evaluation.claims_rows import MISSING, PAPER, Claim, Encoder, depths, judge
from speechsong.evaluation.estimates import Number

DOMAINS = ["speech", "music"]
COLUMNS = ["claim", "section", "encoder", "in_paper", "fit", "fad", "verdict", "number", "number_low", "number_high"]
COLUMNS += ["bound", "side", "meaning"]


@pytest.mark.parametrize(
    ("low", "high", "bound", "side", "verdict"),
    [
        (1, 3, 0, "above", "holds"),
        (-3, -1, 0, "above", "does not hold"),
        (-1, 3, 0, "above", "undecided"),
        (-9, -6, -5, "below", "holds"),
        (-4, 2, -5, "below", "does not hold"),
        (-9, 2, -5, "below", "undecided"),
        (-4, 5, 5, "within", "holds"),
        (6, 9, 5, "within", "does not hold"),
        (-9, -6, 5, "within", "does not hold"),
        (-9, 0, 5, "within", "undecided"),
        (-9, 9, 5, "within", "undecided"),
        *((np.nan, np.nan, 0, side, "undecided") for side in ("above", "below", "within")),
    ],
)
def test_verdicts(low, high, bound, side, verdict):
    assert judge(low, high, bound, side) == verdict


def test_a_row_has_all_that_its_verdict_follows_from():
    claim = Claim("rises", "V-C", "slope", 2.0, "above", ("hubert",))
    row = claim.row("hubert", Number(3, 2.5, 4), fad="plain", note="; layers 1 to 12")
    assert list(row) == COLUMNS
    assert (row["verdict"], row["in_paper"], row["fad"], row["fit"]) == ("holds", "yes", "plain", "")
    assert (row["bound"], row["side"], row["meaning"]) == (2, "above", "slope; layers 1 to 12")
    missing = claim.row("mine", None)
    assert (missing["verdict"], missing["in_paper"], missing["bound"]) == (MISSING, "no", 2)
    assert np.isnan(missing["number"])


def test_quarters_and_the_upper_half():
    twelve = depths(12)
    assert (twelve.shallow, twelve.middle, twelve.deep) == ((1, 2, 3), (5, 6, 7), (10, 11, 12))
    assert (twelve.upper, twelve.every) == (tuple(range(7, 13)), tuple(range(1, 13)))
    assert depths(24).middle == (10, 11, 12, 13, 14, 15)


def test_controls_have_no_family_and_no_role():
    described = pd.DataFrame(
        {"model": ["big", "drawn", "logmel", "mine"], "control": [np.nan, "random", "log-mel", np.nan]}
        | {"family": ["hubert", "hubert", np.nan, "whisper"]}
    )
    roles = {"big": "speech", "drawn": "speech", "logmel": "", "mine": ""}
    assert claims.known_encoders(described, roles) == [
        *(Encoder("big", "hubert", "speech"), Encoder("drawn"), Encoder("logmel"), Encoder("mine", "whisper"))
    ]


def whole(models: tuple[str, ...], encoders: list[Encoder], paper: bool = True) -> pd.DataFrame:
    like = dict(zip(models, ("w2v2", "hubert", "mert"), strict=False))
    keys = [(s, t) for s in DOMAINS for t in ("", *DOMAINS)]
    adapted = {(m, a, s, t): 70 + 5 * bool(t) for m in models for a in ("baseline", "ws") for s, t in keys}
    parts = [probed(lambda m, d, i, e: as_the_paper(like[m], d, i, e), models), stages(adapted)]
    distances = [fads(m, lambda i, e: 1 + i + len(e)) for m in models]
    epochs = pd.DataFrame(
        {"model": m, "domain": d, "layer": i, "protocol": "random", "seed": s, "best_epoch": 100 + i}
        for m in models
        for d in DOMAINS
        for i in range(9)
        for s in range(2)
    )
    tables = (pd.concat(some) for some in zip(*distances, strict=True))
    return claims.check(pd.concat(parts), epochs, *tables, encoders, DOMAINS, DOMAINS, EMOTIONS, paper)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return whole(("w2v2", "hubert", "mert"), list(PAPER))


def test_the_table_has_every_claim_once(table):
    assert list(table) == COLUMNS
    by_name(table.to_dict("records"))
    of_paper = table[table["in_paper"] == "yes"]
    assert set(of_paper["section"]) == {
        *("V-A I", "V-A II", "V-A III", "V-A Fig. 2", "V-A settings", "V-B", "V-C I", "V-C II", "V-C III")
    }
    assert of_paper["claim"].nunique() > 50
    # a run without peft cannot answer what is said of it
    missing = table.loc[table["verdict"] == MISSING, "claim"]
    assert missing.str.contains("peft").all()


def test_encoders_that_are_not_there_have_rows_that_say_so(table):
    alone = whole(("mine",), [Encoder("mine", "wav2vec2", "speech")])
    theirs = alone[alone["in_paper"] == "yes"]
    assert set(theirs["verdict"]) == {MISSING}
    assert {"w2v2", "hubert", "mert", "w2v2, hubert, mert"} == set(theirs["encoder"])
    assert set(theirs["claim"]) == set(table.loc[table["in_paper"] == "yes", "claim"])
    ours = alone[alone["encoder"] == "mine"]
    assert set(ours["in_paper"]) == {"no"}
    assert MISSING not in set(ours["verdict"])
    assert "accuracy falls in the deep layers (speech)" in set(ours["claim"])


def test_of_other_recordings_the_paper_claims_nothing():
    assert set(whole(("w2v2", "hubert", "mert"), list(PAPER), paper=False)["in_paper"]) == {"no"}


def test_the_page_lists_every_claim(table):
    page = " ".join((Path(__file__).parents[3] / "docs/claims.md").read_text(encoding="utf-8").split())
    assert [claim for claim in sorted(set(table["claim"])) if f"`{claim}`" not in page] == []
