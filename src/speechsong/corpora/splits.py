"""Splits: which clips a classifier is trained on, which select its epoch, and which it is tested on, once.

There are two protocols. `random` draws the clips of each domain separately, as the paper does, so the parts share
speakers, statements and takes. `speaker` is five-fold over speakers: seed k tests fold k, validates on fold k + 1 and
trains on the rest, so seeds 0 to 4 test every speaker once. Seeds 5 to 9 do the same with new folds, and so on.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from speechsong.errors import UserError

PARTS = ("train", "validation", "test")
FOLDS = 5


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
            "use `protocols: [random]`"
        )
    order: list[str] = []
    for gender in sorted(set(genders.values())):
        people = sorted(s for s, g in genders.items() if g == gender)
        order += [people[i] for i in rng.permutation(len(people))]
    # dealt in one go, so that the second gender continues at the fold where the first one stopped
    return {speaker: i % FOLDS for i, speaker in enumerate(order)}


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
        "random" or "speaker".
    seed
        Seed of the draw. For `speaker`, seed mod 5 is the fold that is tested.
    fractions
        Shares of train, validation and test, for `random`.
    paired
        Whether the domains have the same speakers, who then have the same folds in both.

    Returns
    -------
    list of dict
        clip_id, domain, part; both domains, in the order of the clips.

    Raises
    ------
    UserError
        If a part has no clip of some emotion, or there are too few speakers.
    """
    rows = []
    folds: dict[str, dict[str, int]] = {}
    if protocol == "speaker":
        genders = {d: {c["speaker"]: c["gender"] for c in table} for d, table in clips.items()}
        if paired:
            merged = {s: g for table in genders.values() for s, g in table.items()}
            genders = dict.fromkeys(clips, merged)
        folds = {d: speaker_folds(g, np.random.default_rng(seed // FOLDS)) for d, g in genders.items()}
    for position, (domain, table) in enumerate(clips.items()):
        if protocol == "random":
            rng = np.random.default_rng([seed, position])
            parts = random_parts([c["sha256"] for c in table], fractions, rng)
        else:
            kinds = {seed % FOLDS: "test", (seed + 1) % FOLDS: "validation"}
            parts = [kinds.get(folds[domain][c["speaker"]], "train") for c in table]
        _check(domain, table, parts, protocol, seed)
        rows += [{"clip_id": c["clip_id"], "domain": domain, "part": p} for c, p in zip(table, parts, strict=True)]
    return rows


def _check(domain: str, table: list[dict], parts: list[str], protocol: str, seed: int) -> None:
    totals = Counter(c["emotion"] for c in table)
    counts = Counter((p, c["emotion"]) for c, p in zip(table, parts, strict=True))
    for emotion, total in sorted(totals.items()):
        for part in PARTS:
            if counts[part, emotion] == 0:
                raise UserError(
                    f"domain `{domain}`: the {protocol} split of seed {seed} leaves no clip of `{emotion}` in its "
                    f"{part} part ({total} in all); add recordings, leave the emotion out of `emotions`, or "
                    "change `split`"
                )
