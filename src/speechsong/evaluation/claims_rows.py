"""Rows of the paper's claims: how a number with its interval becomes a verdict, and of whom a claim is made.

A claim puts a number against a bound. It holds if the whole 95 % interval of the number is on the claimed side of the
bound, does not hold if the whole interval is on the other side, and is undecided otherwise. Nothing else goes into a
verdict.

References
----------
[1] Sun et al., 2024, arXiv:2409.17899. `docs/claims.md` lists its sentences beside the claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from speechsong.evaluation.estimates import Number

MISSING = "not in this run"
# fewer blocks have no middle and no end
LEAST_LAYERS = 3
NOTHING = Number(*(float("nan"),) * 3)


@dataclass(frozen=True)
class Encoder:
    """An encoder that claims are about.

    Attributes
    ----------
    name : str
        In the catalogue.
    family : str
        The `model_type` of its config.json; "" for controls, to which no claim about a family applies.
    pretrained_on : str
        "speech" or "music"; "" if unknown, so that no claim about such encoders applies.
    """

    name: str
    family: str = ""
    pretrained_on: str = ""


PAPER = (
    Encoder("w2v2", "wav2vec2", "speech"),
    Encoder("hubert", "hubert", "speech"),
    Encoder("mert", "mert_model", "music"),
)
NAMES = tuple(encoder.name for encoder in PAPER)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, put as a number and a bound.

    Attributes
    ----------
    text : str
        What is claimed of an encoder.
    section : str
        Of the paper.
    meaning : str
        What the number is.
    bound : float
    side : str
        Where the number should be: `above` or `below` the bound, or `within` it on either side of 0.
    claimed : tuple of str
        The encoders of which the paper says it.
    """

    text: str
    section: str
    meaning: str
    bound: float
    side: str
    claimed: tuple[str, ...] = NAMES

    def row(self, encoder: str, number: Number | None, *, fit: str = "", fad: str = "", note: str = "") -> dict:
        """Judge the claim.

        Parameters
        ----------
        encoder
            Of whom it is made.
        number
            None if the run cannot answer.
        fit
            How the probes were trained; "" if there are none in it.
        fad
            `plain` or `corrected`; "" if there is none in it.
        note
            Goes after the meaning.

        Returns
        -------
        dict
            claim, section, encoder, in_paper (yes or no), fit, fad, verdict, number, number_low, number_high, bound,
            side, meaning.
        """
        value, low, high = number or NOTHING
        return {
            "claim": self.text,
            "section": self.section,
            "encoder": encoder,
            "in_paper": "yes" if encoder in self.claimed else "no",
            "fit": fit,
            "fad": fad,
            "verdict": judge(low, high, self.bound, self.side) if number else MISSING,
            "number": value,
            "number_low": low,
            "number_high": high,
            "bound": self.bound,
            "side": self.side,
            "meaning": self.meaning + note,
        }


def judge(low: float, high: float, bound: float, side: str) -> str:
    """Judge by an interval whether a number is `above` or `below` a bound, or `within` -bound and bound."""
    if side == "within":
        inside, outside = -bound <= low <= high <= bound, low > bound or high < -bound
    elif side == "above":
        inside, outside = low > bound, high < bound
    else:
        inside, outside = high < bound, low > bound
    return "holds" if inside else "does not hold" if outside else "undecided"


def everyone(encoders: list[Encoder]) -> list[Encoder]:
    """List the encoders of the run, and then those of the paper that it lacks."""
    names = {encoder.name for encoder in encoders}
    return [*encoders, *(encoder for encoder in PAPER if encoder.name not in names)]


def of_family(encoders: list[Encoder], *families: str) -> list[Encoder]:
    """Pick encoders by their family."""
    return [encoder for encoder in encoders if encoder.family in families]


def of_role(encoders: list[Encoder], *roles: str) -> list[Encoder]:
    """Pick encoders by what they were pre-trained on; without a role, all that were pre-trained on speech or music."""
    return [encoder for encoder in encoders if encoder.pretrained_on in (roles or ("speech", "music"))]


def both_claimed(a: Encoder, b: Encoder) -> tuple[str, ...]:
    """Name encoder A if the paper can have compared it with encoder B."""
    return (a.name,) if {a.name, b.name} <= set(NAMES) else ()


@dataclass(frozen=True)
class Depths:
    """Parts of an encoder's layers: the first, middle and last quarter, the upper half, and all but layer 0."""

    shallow: tuple[int, ...]
    middle: tuple[int, ...]
    deep: tuple[int, ...]
    upper: tuple[int, ...]
    every: tuple[int, ...]


def depths(blocks: int) -> Depths:
    """Divide the layers 1 to `blocks`. Of 12: 1 to 3, 5 to 7, 10 to 12, and 7 to 12."""
    quarter = max(1, blocks // 4)
    start = (blocks - quarter) // 2
    every = tuple(range(1, blocks + 1))
    return Depths(every[:quarter], every[start : start + quarter], every[-quarter:], every[blocks // 2 :], every)
