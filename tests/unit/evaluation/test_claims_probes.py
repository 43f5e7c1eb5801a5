"""Claims about accuracy by layer and emotion, asked of planted answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_claims import EMOTIONS, as_the_paper, by_name, probed
from speechsong.evaluation import claims_emotions, claims_probes
from speechsong.evaluation.claims_rows import MISSING, PAPER, Encoder

DOMAINS = ["speech", "music"]
# the paper says both, of mert: it does not fall (I), and it does (III); its emotions are far from alike here
NOT_BOTH = {
    ("accuracy does not fall in the deep layers (speech)", "mert"),
    ("the emotions rank alike on both domains", "mert"),
}


def rows(table: pd.DataFrame, encoders=PAPER, sides=DOMAINS) -> dict[tuple, dict]:
    found = []
    for of in claims_probes.probes(table, sides):
        found += claims_probes.judge_layers(of, list(encoders), DOMAINS)
        found += claims_emotions.judge_emotions(of, list(encoders), EMOTIONS)
    return by_name(found)


def other(domain: str) -> str:
    return "music" if domain == "speech" else "speech"


# ways to turn what the paper says round
TURNED = {
    "domains": lambda m, d, i, e: as_the_paper(m, other(d), i, e),
    "layers": lambda m, d, i, e: as_the_paper(m, d, 9 - i if i else 0, e),
    "encoders": lambda m, d, i, e: as_the_paper({"w2v2": "hubert", "hubert": "w2v2"}.get(m, m), d, i, e),
    "music encoder": lambda m, d, i, e: as_the_paper({"w2v2": "mert", "mert": "w2v2"}.get(m, m), d, i, e),
    "emotions": lambda m, d, i, e: as_the_paper(m, d, i, EMOTIONS[5 - EMOTIONS.index(e)]),
    "profiles": lambda m, d, i, e: as_the_paper(m, d, 9 - i if i and d == "music" else i, e),
    "apart": lambda m, d, i, e: as_the_paper(m, d, i, e) + (0.2 if d == "music" else -0.2 if m == "w2v2" else 0),
    "gap": lambda m, d, i, e: as_the_paper(m, d, i, e) + (0.14 if d == "speech" and m != "mert" else 0),
    "hopeless": lambda m, d, i, e: 0.02 if m == "mert" and d == "speech" else as_the_paper(m, d, i, e),
}


@pytest.fixture(scope="module")
def paper() -> dict[tuple, dict]:
    return rows(probed(as_the_paper))


def test_answers_as_the_paper_has_them_confirm_all_that_it_says(paper):
    assert {key for key, row in paper.items() if row["verdict"] != "holds"} == NOT_BOTH
    assert {row["in_paper"] for row in paper.values()} == {"yes"}


def test_numbers_by_hand(paper):
    number = {key: row["number"] for key, row in paper.items()}
    # (50 + 48) / 2 - 70
    assert number["accuracy falls in the deep layers (speech)", "w2v2"] == pytest.approx(-21)
    assert number["better than w2v2 in the deep layers (speech)", "mert"] == pytest.approx(9)
    assert number["better at speech than mert", "hubert"] == pytest.approx(72.5 - 59.25)
    assert number["music is ahead in the shallow layers", "mert"] == pytest.approx(-20 + 100 * 0.04 / 6)
    assert number["angry and fearful are recognised best (speech)", "w2v2"] == pytest.approx(6)
    assert number["then comes calm (speech)", "w2v2"] == pytest.approx(12)
    assert number["angry music does not fall in the deep layers", "w2v2"] == 0
    assert number["all but angry music fall in the deep layers", "w2v2"] == pytest.approx(-21)
    assert number["recognises emotions in speech as well", "mert"] == pytest.approx(59.25)


def test_every_claim_is_refuted_where_what_it_says_is_turned_round(paper):
    refuted = set()
    for turned in TURNED.values():
        found = rows(probed(turned))
        refuted |= {key for key, row in found.items() if row["verdict"] == "does not hold"}
    assert {claim for claim, _ in paper} - {claim for claim, _ in refuted} == set()


def test_what_turning_round_refutes():
    found = rows(probed(TURNED["domains"]))
    for key in (("better at speech than at music", "hubert"), ("better at music than at speech", "mert")):
        assert found[key]["verdict"] == "does not hold"
    found = rows(probed(TURNED["encoders"]))
    for key in (
        ("accuracy falls in the deep layers (music)", "w2v2"),
        ("accuracy does not fall in the deep layers (music)", "hubert"),
        ("the gap is larger than that of w2v2 in the upper half", "hubert"),
    ):
        assert found[key]["verdict"] == "does not hold"
    found = rows(probed(TURNED["profiles"]))
    assert found["the layers rank alike on both domains", "hubert"]["verdict"] == "does not hold"


def test_nothing_is_decided_by_speakers_that_differ_too_much():
    # of so many some are decided by chance
    found = [rows(probed(lambda m, d, i, e: 0.5, spread=0.3, seed=seed)) for seed in range(3)]
    undecided = [key for one in found for key, row in one.items() if row["verdict"] == "undecided"]
    decided = {claim for claim, _ in found[0]} - {claim for claim, _ in undecided}
    # half is more than chance, and no fall
    assert decided <= {"recognises emotions in speech as well", "all but angry music fall in the deep layers"}
    assert len(undecided) > 0.8 * sum(map(len, found))


def test_profiles_without_an_order_decide_nothing():
    row = rows(probed(lambda m, d, i, e: 0.5))["the layers rank alike on both domains", "w2v2"]
    assert (row["verdict"], np.isnan(row["number"])) == ("undecided", True)


def test_every_fit_is_judged_by_itself_and_the_other_domain_is_no_part_of_it():
    plain = probed(as_the_paper).assign(fit="paper")
    turned = probed(TURNED["encoders"]).assign(fit="converged")
    across = probed(lambda m, d, i, e: 0.1).assign(fit="paper", source=lambda t: t["test_domain"].map(other))
    found = rows(pd.concat([plain, turned, across]))
    claim = "accuracy falls in the deep layers (speech)"
    assert found[claim, "w2v2"]["verdict"] == "holds"
    assert found[claim, "w2v2", "converged"]["verdict"] == "does not hold"
    assert {row["fit"] for row in found.values()} == {"paper", "converged"}


def test_encoders_of_other_names_are_asked_by_family_and_role():
    names = {"w2v2": "small", "hubert": "large", "mert": "songs"}
    back = {new: old for old, new in names.items()}
    table = probed(lambda m, d, i, e: as_the_paper(back[m], d, i, e), tuple(names.values()))
    mine = [Encoder(names[e.name], e.family, e.pretrained_on) for e in PAPER]
    found = rows(table, mine)
    ours = {key: row for key, row in found.items() if key[1] in back}
    assert {row["in_paper"] for row in ours.values()} == {"no"}
    assert ours["accuracy falls in the deep layers (speech)", "small"]["verdict"] == "holds"
    assert ours["better at speech than songs", "large"]["verdict"] == "holds"
    # the paper's own are not there
    theirs = [row for row in found.values() if row["encoder"] not in back]
    assert {row["verdict"] for row in theirs} == {MISSING}
    assert {row["encoder"] for row in theirs} == {e.name for e in PAPER}


def test_an_encoder_of_which_nothing_is_known_gets_no_claim_that_needs_a_role_or_a_family():
    table = probed(lambda m, d, i, e: as_the_paper("hubert", d, i, e), ("mine",))
    asked = {claim for claim, *who in rows(table, [Encoder("mine")]) if who == ["mine"]}
    assert asked == {
        *("the layers rank alike on both domains", "the emotions rank alike on both domains"),
        *("angry and fearful are recognised best (speech)", "then comes calm (speech)"),
    }


def test_too_few_layers_have_no_middle_but_a_mean():
    found = rows(probed(as_the_paper, layers=2))
    whole = {"better at speech than at music", "better at music than w2v2", "then comes calm (speech)"}
    assert whole <= {claim for (claim, _), row in found.items() if row["verdict"] != MISSING}
    parts = {claim for claim, _ in found if "layers" in claim or "upper half" in claim}
    assert {row["verdict"] for (claim, _), row in found.items() if claim in parts} == {MISSING}
    assert {row["bound"] for row in found.values()} >= {0, 5, -5}


def test_domains_of_which_neither_is_known_to_be_speech_are_not_set_against_each_other():
    found = rows(probed(as_the_paper), sides=None)
    assert found["accuracy falls in the deep layers (speech)", "w2v2"]["verdict"] == "holds"
    assert found["better at speech than at music", "w2v2"]["verdict"] == MISSING


def epochs(late: float, spread: float = 0.0, seeds: int = 5) -> pd.DataFrame:
    """Make best epochs of 12 layers: 100, but `late` in layer 11, and the most in layer 0, which does not count."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"model": "w2v2", "domain": domain, "layer": layer, "protocol": protocol, "seed": seed}
        | {"best_epoch": {0: 500, 11: late}.get(layer, 100) + spread * rng.normal()}
        for domain in DOMAINS
        for layer in range(13)
        for protocol in ("random", "speaker")
        for seed in range(seeds)
    )


@pytest.mark.parametrize(
    ("late", "spread", "verdict"), [(200, 3, "holds"), (20, 3, "does not hold"), (100, 50, "undecided")]
)
def test_the_layer_before_the_last_needs_the_most_epochs(late, spread, verdict):
    found = by_name(claims_probes.judge_epochs(epochs(late, spread), list(PAPER)))
    row = found["the layer before the last needs the most epochs", "w2v2"]
    assert row["verdict"] == verdict
    if spread == 3:
        assert f"it has rank {1 if late > 100 else 12} of 12" in row["meaning"]
        assert row["number"] == pytest.approx(late - 100, abs=6)
    assert found["the layer before the last needs the most epochs", "mert"]["verdict"] == MISSING
