"""Sentences say what the tables say: planted numbers, signs and what is undecided."""

from __future__ import annotations

import re

import pandas as pd

from speechsong.report.findings import findings


def number(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def run() -> dict[str, pd.DataFrame]:
    """Make the tables of a run in which `mert` is best with new speakers, and `w2v2` with the random split."""
    probes, leakage, transfer, compared, fads, similar = [], [], [], [], [], []
    for domain, other in (("speech", "music"), ("music", "speech")):
        for protocol in ("random", "speaker"):
            for fit in ("paper", "converged"):
                for model in ("w2v2", "mert"):
                    best = model == ("w2v2" if protocol == "random" else "mert")
                    value = (80 if best else 60) + (fit == "converged") + 2 * (domain == "music")
                    keys = {"domain": domain, "protocol": protocol, "fit": fit, "model": model}
                    probes.append(keys | number("selected", value, value - 4, value + 3))
                    keys = {"model": model, "approach": "probe", "fit": fit, "protocol": protocol}
                    kept = 0.5 if fit == "converged" else 0.9
                    for distance in ("fad", "kad"):
                        value = (-0.4 if domain == "speech" else -0.1) if distance == "fad" else 0.7
                        some = {"source": domain, "target": other, "outcome": "kept", "distance": distance}
                        found = number("correlation", value, value - 0.2, value + 0.2)
                        similar.append(keys | some | {"over": "layers and emotions"} | found)
                    transfer.append(
                        keys | {"source": domain, "target": other, "over": "selected"} | number("kept", kept, 0.4, 0.6)
                    )
        for over in ("selected", "mean"):
            for source in (domain, other):
                keys = {"model": "mert", "fit": "converged", "source": source, "test_domain": domain, "over": over}
                low = 5 if domain == "speech" else -1
                own = source == domain and over == "selected"
                leakage.append(keys | number("difference", 10.0 if own else 77, low, 15))
        for test in ("sign-flip", "mcnemar"):
            keys = {"model": "mert", "protocol": "speaker", "test_domain": domain, "test": test}
            keys |= {"approach": "probe", "family": "converged against paper"}
            value = 3.0 if domain == "speech" else -2.0
            compared.append(keys | number("difference", value, value - 1, value + 1))
            keys |= {"approach": "ws", "family": "two-stage against equal budget"}
            compared.append(keys | number("difference", value, value - 1, value + 2.5))
    for model in ("w2v2", "mert"):
        for rank, emotion in enumerate(("angry", "sad"), 1):
            fads.append(
                {"model": model, "over": "mean", "emotion": emotion, "rank": rank, "rank_resampled": 0.93}
                | number("fad_corrected", 6.6 + rank, 5.3, 8.1)
            )
    named = {"probe": probes, "leakage": leakage, "transfer": transfer, "comparisons": compared, "fad": fads}
    named |= {"similarity": similar}
    return {name: pd.DataFrame(rows) for name, rows in named.items()}


def test_every_sentence_by_hand():
    assert findings(run()) == [
        ("With new speakers, mert recognises emotions in speech with an accuracy of 81.0 % [77.0, 84.0].", "probe"),
        ("With new speakers, mert recognises emotions in music with an accuracy of 83.0 % [79.0, 86.0].", "probe"),
        ("New speakers cost mert 10.0 points [5.0, 15.0] in speech.", "leakage"),
        ("Whether new speakers cost mert anything in music is undecided: 10.0 points [−1.0, 15.0].", "leakage"),
        (
            "Training its probes until they converge changes their accuracy by 3.0 points [2.0, 4.0] in speech and by "
            "−2.0 points [−3.0, −1.0] in music.",
            "comparisons",
        ),
        ("Angry is nearest: FAD 7.60 [5.30, 8.10], first in 93 % of the draws of speakers.", "fad"),
        (
            "Of the accuracy above chance, its probes keep 50 % [40, 60] on music after training on speech alone, and "
            "50 % [40, 60] on speech after training on music alone.",
            "transfer",
        ),
        (
            "The rank correlation of FAD with what transfer keeps is −0.40 [−0.60, −0.20] from speech to music, and "
            "−0.10 [−0.30, 0.10] from music to speech (undecided).",
            "similarity",
        ),
        (
            "With ws, training on the other domain first helps on speech, compared with the equal budget: 3.0 points "
            "[2.0, 5.5].",
            "comparisons",
        ),
        (
            "With ws, training on the other domain first may help or harm (undecided) on music, compared with the "
            "equal budget: −2.0 points [−3.0, 0.5].",
            "comparisons",
        ),
    ]


def test_no_sentence_is_without_its_interval():
    for sentence, _ in findings(run()):
        assert re.search(r"\[−?[\d.]+, −?[\d.]+\]", sentence)
    blank = {
        name: table.assign(**{column: float("nan") for column in table if column.endswith("_low")})
        for name, table in run().items()
    }
    assert findings(blank) == []


def test_a_run_of_the_random_split_alone_says_so():
    tables = {name: table for name, table in run().items() if name in ("probe", "fad")}
    tables["probe"] = tables["probe"][tables["probe"]["protocol"] == "random"]
    first, *_ = findings(tables)
    assert first[0].startswith("With speakers that it has heard, w2v2 recognises emotions in speech")


def test_without_probes_nothing_is_said():
    assert findings({}) == []
