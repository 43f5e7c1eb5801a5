"""The paper's claims about two-stage adaptation: section V-B.

The gain is the accuracy of stage two on its target minus that of direct training on the target, in points of %. The
random split counts, as in the paper. The paper calls a gain of 0 (wav2vec 2.0, peft, speech) a help, so a tie does not
count against its `always`: the bound is a loss of half of one of its 203 clips.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from speechsong.evaluation.claims_rows import NAMES, PAPER, Claim, Encoder, both_claimed, everyone, of_family, of_role
from speechsong.evaluation.estimates import Estimate, difference, mean, number, smallest, tally
from speechsong.evaluation.paper import CLIPS
from speechsong.evaluation.predictions import own

TIE = -100 / CLIPS / 2
APPROACHES = ("baseline", "ws", "peft")
# gains of the music encoder that the paper gives as examples: approach, and whether the target is music
EXAMPLES = (("ws", False), ("peft", True))

# accuracy on the domain that was trained on last, by model, approach, source and target ("" in stage one)
Adapted = dict[tuple, Estimate]


def adapted(predictions: pd.DataFrame) -> Adapted:
    """Compute the accuracy of every stage on the domain that it trained on last.

    Parameters
    ----------
    predictions
        From `predictions.read`.
    """
    stages = predictions[predictions["approach"].isin(APPROACHES) & (predictions["protocol"] == "random")]
    counted = tally(own(stages), ["model", "approach", "source", "target"])
    found = {key: counted.accuracy([key]) for key in counted.counts}
    return {key: estimate for key, estimate in found.items() if estimate}


def judge_adaptation(
    found: Adapted, encoders: list[Encoder], domains: list[str], sides: list[str] | None
) -> Iterator[dict]:
    """Judge what the paper says of adaptation.

    Parameters
    ----------
    found
        From `adapted`.
    encoders
        Those of the run.
    domains
    sides
        Our names of speech and music; None if it is unknown which is which.

    Yields
    ------
    dict
        Rows as from `Claim.row`.
    """
    encoders = everyone(encoders)
    directions = [(domains[1], domains[0]), (domains[0], domains[1])]
    yield from _always(found, encoders, directions)
    yield from _single(found, encoders, directions, sides)
    meaning = "mean gain of the other domain first, over approaches and directions, minus that of {}, in points"
    for encoder in of_role(encoders, "speech"):
        for other in of_role(encoders, "music"):
            claim = Claim(
                f"gains more from the other domain than {other.name}",
                "V-B",
                meaning.format(other.name),
                0,
                "above",
                both_claimed(encoder, other),
            )
            of_both = [_gains(found, e.name, directions) for e in (encoder, other)]
            # the paper's table lacks one cell; what both have is compared
            shared = [key for key in of_both[0] if key in of_both[1]]
            pair = [mean([gains[key] for key in shared]) for gains in of_both] if shared else [None, None]
            total = difference(*pair)
            yield claim.row(encoder.name, number(total))
    yield from _approaches(found, encoders, directions)
    yield from _best(found, encoders, sides)


def _gain(found: Adapted, model: str, approach: str, source: str, target: str, budget: bool = False) -> Estimate | None:
    """Subtract direct training from two stages; with `budget`, training on the target twice."""
    start = (model, approach, target, target if budget else "")
    return difference(found.get((model, approach, source, target)), found.get(start))


def _gains(
    found: Adapted, model: str, directions: list[tuple[str, str]], budget: bool = False
) -> dict[tuple[str, str, str], Estimate]:
    """Give all gains of an encoder that the run has, by approach, source and target."""
    gains = {(a, s, t): _gain(found, model, a, s, t, budget) for a in APPROACHES for s, t in directions}
    return {key: gain for key, gain in gains.items() if gain}


def _always(found: Adapted, encoders: list[Encoder], directions: list[tuple[str, str]]) -> Iterator[dict]:
    """Yield rows: the other domain first always helps speech encoders, and does not always help the music encoder."""
    meaning = "smallest gain over approaches and directions, in points"
    tie = f"{meaning}; a tie counts as a help, as in the paper"
    always = Claim("the other domain first always helps", "V-B", tie, TIE, "above")
    not_always = Claim("the other domain first does not always help", "V-B", meaning, 0, "below")
    budget = Claim(
        "the other domain first always helps, against the equal budget",
        "V-B",
        "smallest difference to training on the target twice, over approaches and directions, in points",
        TIE,
        "above",
        (),  # the paper has no such control
    )
    for encoder in of_role(encoders):
        own = always if encoder.pretrained_on == "speech" else not_always
        for claim, gains in (
            (own, _gains(found, encoder.name, directions)),
            (budget, _gains(found, encoder.name, directions, budget=True)),
        ):
            if gains:
                above = sum(gain.value > 0 for gain in gains.values())
                note = f"; {above} of {len(gains)} are above 0"
                yield claim.row(encoder.name, smallest([*gains.values()]), note=note)
            else:
                yield claim.row(encoder.name, None)


def _single(
    found: Adapted, encoders: list[Encoder], directions: list[tuple[str, str]], sides: list[str] | None
) -> Iterator[dict]:
    """Yield a row per encoder, approach and direction."""
    speech = tuple(e.name for e in PAPER if e.pretrained_on == "speech")
    music = tuple(e.name for e in PAPER if e.pretrained_on == "music")
    meaning = "gain in accuracy, in points; a tie counts as a help, as in the paper"
    for encoder in of_role(encoders):
        for approach in APPROACHES:
            for source, target in directions:
                example = sides is not None and (approach, target == sides[1]) in EXAMPLES
                claimed = speech + (music if example else ())
                claim = Claim(f"{source} first helps {target} ({approach})", "V-B", meaning, TIE, "above", claimed)
                gain = _gain(found, encoder.name, approach, source, target)
                if gain or encoder.name in claimed:
                    yield claim.row(encoder.name, number(gain))


def _approaches(found: Adapted, encoders: list[Encoder], directions: list[tuple[str, str]]) -> Iterator[dict]:
    """Yield rows: peft is better than ws, and ws better than baseline, after stage two."""
    for better, worse, claimed in (("peft", "ws", NAMES), ("ws", "baseline", ())):
        for encoder in of_role(encoders):
            for source, target in directions:
                text = f"{better} is better than {worse} ({source} then {target})"
                meaning = f"accuracy on {target} after both stages, with {better} minus with {worse}, in points"
                both = (found.get((encoder.name, approach, source, target)) for approach in (better, worse))
                margin = difference(*both)
                claim = Claim(text, "V-B", meaning, 0, "above", claimed)
                yield claim.row(encoder.name, number(margin))


def _best(found: Adapted, encoders: list[Encoder], sides: list[str] | None) -> Iterator[dict]:
    """Yield rows: HuBERT with peft is the best on speech of all speech encoders, and gains the most there."""
    speech, music = sides or ("speech", "music")
    claimed = tuple(e.name for e in PAPER if e.family == "hubert")
    best = Claim(
        f"peft after {music} is the best on {speech}",
        "V-B",
        "smallest difference in accuracy to any other training of a speech encoder, in points",
        0,
        "above",
        claimed,
    )
    most = Claim(
        f"peft gains the most on {speech}",
        "V-B",
        f"smallest difference in gain on {speech} to any other approach and speech encoder, in points",
        0,
        "above",
        claimed,
    )
    for encoder in of_role(of_family(encoders, "hubert"), "speech"):
        # the paper speaks of its own encoders
        rivals = [e.name for e in of_role(encoders, "speech") if e is encoder or e.name in NAMES]
        own = (encoder.name, "peft", music, speech)
        ways = [(m, a, s, t) for m in rivals for a in APPROACHES for s, t in ((music, speech), (speech, ""))]
        others = [difference(found.get(own), found.get(way)) for way in ways if way != own]
        gain = _gain(found, *own)
        gains = [
            difference(gain, _gain(found, m, a, music, speech)) for m in rivals for a in APPROACHES if (m, a) != own[:2]
        ]
        for claim, margins in ((best, others), (most, gains)):
            known = [margin for margin in margins if margin] if sides else []
            yield claim.row(
                encoder.name, smallest(known) if known else None, note=f"; there are {len(known)}" if known else ""
            )
