"""The paper's claims about the recall of each emotion: section V-A, Fig. 2.

R is the recall of an emotion averaged over layers, with the random split. Layer 0 is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from speechsong.evaluation.claims_probes import LARGE, Probes
from speechsong.evaluation.claims_rows import NAMES, Claim, Encoder, both_claimed, everyone, of_family, of_role
from speechsong.evaluation.estimates import Estimate, complete, difference, largest, number, rank_correlation, smallest

SECTION = "V-A Fig. 2"
# recognised best in speech, as the paper says
BEST, THEN, REST = ("angry", "fearful"), ("calm",), ("neutral", "happy", "sad")


def judge_emotions(of: Probes, encoders: list[Encoder], emotions: list[str]) -> Iterator[dict]:
    """Judge what the paper says of single emotions.

    Parameters
    ----------
    of
    encoders
        Those of the run.
    emotions
        Those of the run.

    Yields
    ------
    dict
        Rows as from `Claim.row`.
    """
    encoders = everyone(encoders)
    yield from _best(of, encoders)
    yield from _across(of, encoders)
    yield from _neutral(of, encoders)
    yield from _falls(of, encoders, emotions)
    meaning = f"rank correlation (Spearman) of the recalls in {of.on(0)} and {of.on(1)} over the emotions"
    alike = Claim("the emotions rank alike on both domains", SECTION, meaning, 0, "above")
    for encoder in encoders:
        one, other = (complete([_recall(of, encoder, side, e) for e in emotions]) for side in (0, 1))
        found = rank_correlation(list(zip(one, other, strict=True))) if one and other else None
        yield alike.row(encoder.name, number(found), fit=of.fit)


def _recall(of: Probes, encoder: Encoder, side: int, emotion: str) -> Estimate | None:
    return of.accuracy(encoder.name, of.on(side), "every", emotion) if of.sides else None


def _best(of: Probes, encoders: list[Encoder]) -> Iterator[dict]:
    for text, better, worse in (
        (f"{' and '.join(BEST)} are recognised best ({of.on(0)})", BEST, THEN + REST),
        (f"then comes {THEN[0]} ({of.on(0)})", THEN, REST),
    ):
        meaning = f"smallest difference in recall of {' and '.join(better)} to {', '.join(worse)}, in points"
        claim = Claim(text, SECTION, meaning, 0, "above")
        for encoder in encoders:
            found = [
                difference(_recall(of, encoder, 0, a), _recall(of, encoder, 0, b)) for a, b in product(better, worse)
            ]
            yield claim.row(encoder.name, smallest(known) if (known := complete(found)) else None, fit=of.fit)


def _across(of: Probes, encoders: list[Encoder]) -> Iterator[dict]:
    """Yield rows on emotions that are harder or easier in music than in speech."""
    meaning = f"recall in {of.on(1)} minus recall in {of.on(0)}, in points"
    for emotion, word, side in (
        ("fearful", "harder", "below"),
        ("calm", "harder", "below"),
        ("angry", "easier", "above"),
    ):
        claim = Claim(f"{emotion} is {word} in {of.on(1)}", SECTION, meaning, 0, side)
        for encoder in of_role(encoders):
            yield claim.row(encoder.name, number(_step(of, encoder, emotion)), fit=of.fit)
    for encoder in of_role(encoders, "music"):
        for other in of_role(encoders, "speech"):
            text = f"fearful loses more in {of.on(1)} than with {other.name}"
            claim = Claim(
                text, SECTION, f"{meaning}, minus that of {other.name}", 0, "below", both_claimed(encoder, other)
            )
            found = difference(*(_step(of, e, "fearful") for e in (encoder, other)))
            yield claim.row(encoder.name, number(found), fit=of.fit)


def _step(of: Probes, encoder: Encoder, emotion: str) -> Estimate | None:
    return difference(_recall(of, encoder, 1, emotion), _recall(of, encoder, 0, emotion))


def _neutral(of: Probes, encoders: list[Encoder]) -> Iterator[dict]:
    """Yield rows: neutral music is far better with the music encoder than any other neutral."""
    claim = Claim(
        f"neutral is far better in {of.on(1)} than any other neutral",
        SECTION,
        f"smallest difference in recall of neutral to {of.on(0)}, and to the other encoders, in points",
        LARGE,
        "above",
    )
    for encoder in of_role(encoders, "music"):
        # the paper speaks of its own three encoders
        rivals = [e for e in of_role(encoders) if e is encoder or e.name in NAMES or encoder.name not in NAMES]
        own = _recall(of, encoder, 1, "neutral")
        found = [
            difference(own, _recall(of, other, side, "neutral"))
            for other in rivals
            for side in (0, 1)
            if (other, side) != (encoder, 1)
        ]
        yield claim.row(encoder.name, smallest(known) if (known := complete(found)) else None, fit=of.fit)


def _falls(of: Probes, encoders: list[Encoder], emotions: list[str]) -> Iterator[dict]:
    """Yield rows: wav2vec 2.0 falls in its deep layers for every emotion but angry music."""
    meaning = "recall of the last quarter of the layers minus that of the middle quarter, in points"
    stays = Claim(f"angry {of.on(1)} does not fall in the deep layers", SECTION, meaning, -LARGE, "above")
    falls = Claim(
        f"all but angry {of.on(1)} fall in the deep layers",
        SECTION,
        f"largest, over emotions and domains, of: {meaning}",
        -LARGE,
        "below",
    )
    for encoder in of_family(encoders, "wav2vec2"):
        found = {
            (side, emotion): of.change(encoder.name, of.on(side), emotion) if of.sides else None
            for side in (0, 1)
            for emotion in emotions
        }
        own = found.pop((1, "angry"), None)
        others = complete([*found.values()])
        yield stays.row(encoder.name, number(own), fit=of.fit)
        yield falls.row(encoder.name, largest(others) if own and others else None, fit=of.fit)
