"""Splits: which clips a classifier is trained on, which select its epoch, and which it is tested on, once.

There are four protocols:

random : the clips of each domain are drawn separately, as in the paper, so the parts share speakers, statements and
    takes.
speaker : five-fold over speakers. Seed k tests fold k, validates on fold k + 1 and trains on the rest, so seeds 0 to 4
    test every speaker once. Seeds 5 to 9 do the same with new folds, and so on.
statement : one statement is left out, as a control for the words. With n statements, seed k tests statement k mod n.
    The clips of the others are drawn for training and validation, so these two share everything.
given : parts or folds are those that the tables of the corpora give.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from speechsong.errors import UserError

PARTS = ("train", "validation", "test")
FOLDS = 5
# what tables call the parts
_SYNONYMS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev", "development"},
    "test": {"test", "testing", "evaluation", "eval"},
}


# said wherever another protocol than `speaker` is advised
_RANDOM = " (a random split measures who speaks as well as emotion)"


def random_parts(groups: list[str], fractions: list[float], rng: np.random.Generator) -> list[str]:
    """Draw parts of the sizes that the fractions give, keeping every group in one part.

    Parameters
    ----------
    groups : list of n str
        One label per clip; clips with the same label (byte-identical ones) stay together.
    fractions : list of 3 float
        Shares of train, validation and test. Train and validation have round(n * share) clips, test has the rest.
    rng
        The source of randomness.

    Returns
    -------
    list of n str
        The part of each clip. The sizes are exact if there are enough ungrouped clips to make up for the groups.
    """
    n = len(groups)
    room = [round(n * fractions[0]), round(n * fractions[1])]
    room.append(n - sum(room))
    members = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    units = list(members.values())
    units = [units[i] for i in rng.permutation(len(units))]
    parts = [""] * n
    # groups first, each to a part drawn in proportion to its free places; then single clips fill the rest
    for unit in sorted(units, key=len, reverse=True):
        if len(unit) == 1:
            choice = next(i for i in range(3) if room[i] > 0)
        else:
            weights = np.array([r if r >= len(unit) else 0 for r in room], dtype=float)
            weights = weights if weights.any() else np.maximum(room, 0).astype(float)
            choice = int(rng.choice(3, p=weights / weights.sum()))
        room[choice] -= len(unit)
        for i in unit:
            parts[i] = PARTS[choice]
    return parts


def speaker_folds(genders: dict[str, str], rng: np.random.Generator) -> dict[str, int]:
    """Deal speakers to five folds, each gender as evenly as possible.

    Parameters
    ----------
    genders
        The gender of each speaker ("" where unknown).
    rng
        The source of randomness.

    Returns
    -------
    dict
        The fold, 0 to 4, of each speaker.

    Raises
    ------
    UserError
        With fewer than five speakers.
    """
    if len(genders) < FOLDS:
        raise UserError(
            f"config key `split.protocols`: `speaker` needs at least {FOLDS} speakers, and there are {len(genders)}; "
            f"use `protocols: [random]`{_RANDOM}"
        )
    order: list[str] = []
    for gender in sorted(set(genders.values())):
        people = sorted(s for s, g in genders.items() if g == gender)
        order += [people[i] for i in rng.permutation(len(people))]
    # dealt in one go, so that the second gender continues at the fold where the first one stopped
    return {speaker: i % FOLDS for i, speaker in enumerate(order)}


def folds_of_domains(genders: dict[str, dict[str, str]], seed: int, *, paired: bool) -> dict[str, dict[str, int]]:
    """Deal the speakers of both domains to folds; seed k tests fold k mod 5.

    Parameters
    ----------
    genders
        The gender of each speaker, by domain.
    seed
        Of the split.
    paired
        As in `split`.

    Returns
    -------
    dict of dict
        As from `speaker_folds`, by domain.
    """
    if paired:
        everyone = {s: g for some in genders.values() for s, g in some.items()}
        genders = dict.fromkeys(genders, everyone)
    return {d: speaker_folds(some, np.random.default_rng(seed // FOLDS)) for d, some in genders.items()}


def given_parts(
    domain: str, clips: list[dict], seed: int, fractions: list[float], rng: np.random.Generator
) -> list[str]:
    """Give the parts that the column `split` says, by their names or as numbers of folds.

    Parameters
    ----------
    domain
        For messages.
    clips
        The rows of the domain's clips CSV, with `split`: "train", "validation" (or "dev" and the like) and "test", or
        any names of folds.
    seed
        Of n folds, fold seed mod n is tested and the next one validates, as in the protocol `speaker`.
    fractions
        Where no clip is for validation, and with two folds, validation is drawn from the training part, in the
        proportion of the first two fractions. Byte-identical clips stay in one part.
    rng
        The source of randomness of that draw.

    Returns
    -------
    list of str
        The part of each clip.

    Raises
    ------
    UserError
        If a clip has no split, or the splits are neither parts nor folds.
    """
    values = [clip.get("split", "") for clip in clips]
    levels = sorted(set(values), key=lambda value: (len(value), value))
    named = {value: part for value in levels for part in PARTS if value.casefold() in _SYNONYMS[part]}
    if "" in levels:
        clip = clips[values.index("")]["clip_id"]
        raise UserError(f"domain `{domain}`: clip {clip} has no split; fill in `split` or `fold` in the table")
    if named and len(named) < len(levels):
        unknown = next(value for value in levels if value not in named)
        raise UserError(f"domain `{domain}`: the split `{unknown}` is none of {', '.join(PARTS)}; correct the table")
    if not named:
        if len(levels) < 2:
            raise UserError(f"domain `{domain}`: all clips are in fold `{levels[0]}`; `given` needs two folds or more")
        named = dict.fromkeys(levels, "train")
        named[levels[(seed + 1) % len(levels)]] = "validation" if len(levels) > 2 else "train"
        named[levels[seed % len(levels)]] = "test"
    parts = [named[value] for value in values]
    return parts if "validation" in parts else _with_validation(clips, parts, fractions, rng)


def split(
    clips: dict[str, list[dict]],
    protocol: str,
    seed: int,
    *,
    fractions: list[float],
    paired: bool,
) -> list[dict]:
    """Split both domains.

    Parameters
    ----------
    clips
        The rows of each domain's clips CSV.
    protocol
        "random", "speaker", "statement" or "given".
    seed
        Seed of the draw. For `speaker`, seed mod 5 is the fold that is tested; for `statement` it chooses the
        statement.
    fractions
        Shares of train, validation and test, for `random`; for `statement`, the first two in proportion.
    paired
        Whether the domains have the same speakers, who then have the same folds in both.

    Returns
    -------
    list of dict
        clip_id, domain, speaker, part; both domains, in the order of the clips.

    Raises
    ------
    UserError
        If a part has no clip of some emotion, or there are too few speakers or statements.
    """
    rows = []
    folds: dict[str, dict[str, int]] = {}
    if protocol == "speaker":
        genders = {d: {c["speaker"]: c["gender"] for c in table} for d, table in clips.items()}
        folds = folds_of_domains(genders, seed, paired=paired)
    for position, (domain, table) in enumerate(clips.items()):
        rng = np.random.default_rng([seed, position])
        if protocol == "random":
            parts = random_parts([c["sha256"] for c in table], fractions, rng)
        elif protocol == "statement":
            parts = _statement_parts(domain, table, seed, fractions, rng)
        elif protocol == "given":
            parts = given_parts(domain, table, seed, fractions, rng)
        else:
            kinds = {seed % FOLDS: "test", (seed + 1) % FOLDS: "validation"}
            parts = [kinds.get(folds[domain][c["speaker"]], "train") for c in table]
        _check(domain, table, parts, protocol, seed)
        rows += [
            {"clip_id": c["clip_id"], "domain": domain, "speaker": c["speaker"], "part": p}
            for c, p in zip(table, parts, strict=True)
        ]
    return rows


def _statement_parts(
    domain: str, table: list[dict], seed: int, fractions: list[float], rng: np.random.Generator
) -> list[str]:
    unknown = next((c["clip_id"] for c in table if not c["statement"]), None)
    statements = sorted({c["statement"] for c in table})
    if unknown is not None or len(statements) < 2:
        problem = f"clip `{unknown}` has no statement" if unknown is not None else f"all clips say `{statements[0]}`"
        raise UserError(
            f"config key `protocols`: `statement` needs at least two statements, and in domain `{domain}` {problem}; "
            "fill in the column `statement` of the corpus's table, or use other protocols"
        )
    tested = statements[seed % len(statements)]
    return _with_validation(table, ["test" if c["statement"] == tested else "train" for c in table], fractions, rng)


def _with_validation(
    clips: list[dict], parts: list[str], fractions: list[float], rng: np.random.Generator
) -> list[str]:
    """Draw a validation part from the training part, in the proportion of the first two fractions."""
    kept = [i for i, part in enumerate(parts) if part == "train"]
    train = fractions[0] / (fractions[0] + fractions[1])
    drawn = random_parts([clips[i]["sha256"] for i in kept], [train, 1 - train, 0.0], rng)
    parts = list(parts)
    for i, part in zip(kept, drawn, strict=True):
        # rounding may leave one clip for the third part
        parts[i] = "train" if part == "test" else part
    return parts


def _check(domain: str, table: list[dict], parts: list[str], protocol: str, seed: int) -> None:
    totals = Counter(c["emotion"] for c in table)
    counts = Counter((p, c["emotion"]) for c, p in zip(table, parts, strict=True))
    for emotion, total in sorted(totals.items()):
        for part in PARTS:
            if counts[part, emotion] == 0:
                people = len({c["speaker"] for c in table if c["emotion"] == emotion})
                raise UserError(
                    f"domain `{domain}`: the {protocol} split of seed {seed} leaves no clip of `{emotion}` in its "
                    f"{part} part ({total} in all, by {people} speakers); add recordings, leave the emotion out of "
                    f"`emotions`, or change `split`{_RANDOM if protocol == 'speaker' else ''}"
                )
