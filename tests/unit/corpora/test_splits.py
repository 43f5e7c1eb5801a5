"""Splits: sizes, nobody and no duplicate on two sides, everybody tested once, chance that repeats."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import one_line
from speechsong.corpora.splits import PARTS, random_parts, speaker_folds, split
from speechsong.errors import UserError

FRACTIONS = [0.6, 0.2, 0.2]
EMOTIONS = {"neutral": 4, "calm": 8, "happy": 8, "sad": 8, "angry": 8, "fearful": 8}
ACTORS = [f"{i:02d}" for i in range(1, 25) if i != 18]


def clips(domain: str, actors: list[str] = ACTORS, emotions: dict[str, int] = EMOTIONS) -> list[dict]:
    """Rows of a clips CSV, as many as RAVDESS has for each actor and emotion."""
    return [
        {
            "clip_id": f"{domain}-{emotion}-{i}-{actor}",
            "speaker": actor,
            "gender": "male" if int(actor) % 2 else "female",
            "emotion": emotion,
            "statement": f"0{1 + i % 2}",
            "sha256": f"{domain}-{emotion}-{i}-{actor}",
        }
        for actor in actors
        for emotion, count in emotions.items()
        for i in range(count)
    ]


def both(**options) -> dict[str, list[dict]]:
    return {"speech": clips("speech", **options), "music": clips("music", **options)}


def run(tables: dict, protocol: str, seed: int, paired: bool = True, fractions: list[float] = FRACTIONS) -> dict:
    """The part of each clip, by domain, in the order of its clips."""
    rows = split(tables, protocol, seed, fractions=fractions, paired=paired)
    assert [(r["domain"], r["clip_id"]) for r in rows] == [(d, c["clip_id"]) for d, t in tables.items() for c in t]
    assert all(set(r) == {"clip_id", "domain", "speaker", "part"} for r in rows)
    return {d: [r["part"] for r in rows if r["domain"] == d] for d in tables}


def speakers(table: list[dict], parts: list[str], part: str) -> set[str]:
    return {c["speaker"] for c, p in zip(table, parts, strict=True) if p == part}


# --- random


def test_sizes_of_the_paper():
    tables = both()
    for parts in run(tables, "random", 0).values():
        assert Counter(parts) == {"train": 607, "validation": 202, "test": 203}


def test_seeds_repeat_and_differ():
    tables = both()
    draws = [run(tables, "random", seed) for seed in range(5)]
    assert run(tables, "random", 3) == draws[3]
    assert len({tuple(d["speech"]) for d in draws}) == 5


def test_domains_are_drawn_on_their_own():
    parts = run(both(), "random", 0)
    alike = np.mean([a == b for a, b in zip(parts["speech"], parts["music"], strict=True)])
    # 0.44 by chance for parts of 0.6, 0.2 and 0.2
    assert alike == pytest.approx(0.44, abs=0.06)


def test_every_clip_is_as_likely_to_be_tested():
    labels = [str(i) for i in range(50)]
    draws = [random_parts(labels, FRACTIONS, np.random.default_rng(seed)) for seed in range(200)]
    tested = np.mean([[part == "test" for part in parts] for parts in draws], axis=0)
    assert tested.mean() == pytest.approx(0.2)
    # five standard errors of a share of 0.2 in 200 draws
    assert np.abs(tested - 0.2).max() < 5 * np.sqrt(0.16 / 200)


def test_duplicates_are_on_one_side():
    tables = both()
    copies = [(0, 700), (3, 4), (100, 900), (200, 800), (10, 1000)]
    for a, b in copies:
        tables["speech"][b]["sha256"] = tables["speech"][a]["sha256"]
    seen = set()
    for seed in range(10):
        parts = run(tables, "random", seed)["speech"]
        assert Counter(parts) == {"train": 607, "validation": 202, "test": 203}
        assert all(parts[a] == parts[b] for a, b in copies)
        seen |= {parts[a] for a, _ in copies}
    # and not always on the same one
    assert seen == set(PARTS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12),
    st.integers(0, 40),
    st.sampled_from([[0.6, 0.2, 0.2], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]]),
    st.integers(0, 2**32 - 1),
)
def test_groups_stay_together(sizes, singles, fractions, seed):
    labels = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)] + [f"s{i}" for i in range(singles)]
    labels = [labels[i] for i in np.random.default_rng(seed).permutation(len(labels))]
    parts = random_parts(labels, fractions, np.random.default_rng(seed))
    assert parts == random_parts(labels, fractions, np.random.default_rng(seed))
    assert len(parts) == len(labels)
    assert set(parts) <= set(PARTS)
    assert len({(label, part) for label, part in zip(labels, parts, strict=True)}) == len(set(labels))
    n, counts = len(labels), Counter(parts)
    wanted = [round(n * fractions[0]), round(n * fractions[1])]
    wanted.append(n - sum(wanted))
    found = [counts[p] for p in PARTS]
    # a group goes where it has no room only if all parts have less than its size
    assert max(f - w for f, w in zip(found, wanted, strict=True)) <= max(sizes) - 1
    if Counter(Counter(labels).values())[1] >= 2 * max(sizes) - 2:
        # enough single clips to fill up whatever the groups leave
        assert found == wanted


# --- speaker


@pytest.mark.parametrize("paired", [True, False])
def test_speakers_are_in_one_part(paired):
    tables = both()
    for seed in range(10):
        for domain, parts in run(tables, "speaker", seed, paired).items():
            groups = [speakers(tables[domain], parts, part) for part in PARTS]
            assert set.union(*groups) == set(ACTORS)
            assert sum(map(len, groups)) == len(ACTORS)


@pytest.mark.parametrize("first", [0, 5, 10])
def test_everybody_is_tested_and_validated_once(first):
    tables = both()
    draws = [run(tables, "speaker", seed)["speech"] for seed in range(first, first + 5)]
    for part in ("test", "validation"):
        everybody = [s for parts in draws for s in speakers(tables["speech"], parts, part)]
        assert sorted(everybody) == ACTORS
    # seed k validates on what seed k + 1 tests
    for k in range(5):
        tested_next = speakers(tables["speech"], draws[(k + 1) % 5], "test")
        assert speakers(tables["speech"], draws[k], "validation") == tested_next


def test_paired_domains_have_the_same_folds():
    # music lacks clips and has another order, but not other speakers
    tables = {"speech": clips("speech"), "music": clips("music", ACTORS[::-1], {"calm": 1, "sad": 2})}
    for seed in range(5):
        parts = run(tables, "speaker", seed)
        for part in PARTS:
            assert len({frozenset(speakers(tables[d], parts[d], part)) for d in tables}) == 1


def test_paired_folds_do_not_move_where_a_domain_lacks_somebody():
    tables = {"speech": clips("speech"), "music": clips("music", ACTORS[2:])}
    for seed in range(5):
        parts = run(tables, "speaker", seed)
        for part in PARTS:
            spoken, sung = (speakers(tables[d], parts[d], part) for d in tables)
            assert sung == spoken - set(ACTORS[:2])


def test_independent_domains_have_folds_of_their_own_speakers():
    others = [f"{i:02d}" for i in range(31, 43)]
    tables = {"speech": clips("speech"), "music": clips("music", others)}
    alone = run({"music": clips("music", others)}, "speaker", 1, paired=False)
    parts = run(tables, "speaker", 1, paired=False)
    assert parts["music"] == alone["music"]
    for seed in range(5):
        tested = speakers(tables["music"], run(tables, "speaker", seed, paired=False)["music"], "test")
        assert 2 <= len(tested) <= 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["male", "female", ""]), min_size=5, max_size=40), st.integers(0, 2**32 - 1))
def test_folds_are_balanced_by_gender(genders, seed):
    people = {f"p{i}": g for i, g in enumerate(genders)}
    folds = speaker_folds(people, np.random.default_rng(seed))
    assert folds.keys() == people.keys()
    assert set(folds.values()) == set(range(5))
    for gender in {*genders, None}:
        counts = Counter(f for p, f in folds.items() if gender in (None, people[p]))
        assert max(counts.values()) - min(counts[f] for f in range(5)) <= 1


def test_folds_do_not_depend_on_the_order_of_speakers():
    people = {a: "male" if int(a) % 2 else "female" for a in ACTORS}
    folds = speaker_folds(people, np.random.default_rng(0))
    assert speaker_folds(dict(reversed(people.items())), np.random.default_rng(0)) == folds


def test_later_seeds_deal_anew():
    tables = both()

    def deal(first: int) -> set[frozenset]:
        draws = [run(tables, "speaker", seed)["speech"] for seed in range(first, first + 5)]
        return {frozenset(speakers(tables["speech"], parts, "test")) for parts in draws}

    assert deal(0) == deal(0)
    assert not deal(0) & deal(5)


# --- what cannot be split


def message(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("paired", [True, False])
def test_four_speakers_are_too_few(paired):
    with pytest.raises(UserError, match=r"`split\.protocols`.*at least 5 speakers, and there are 4") as caught:
        run(both(actors=ACTORS[:4]), "speaker", 0, paired)
    message(caught)
    assert len(run(both(actors=ACTORS[:5]), "speaker", 0, paired)["speech"]) == 220


def test_an_emotion_of_one_speaker_is_named():
    tables = both()
    tables["music"] = [c for c in tables["music"] if c["emotion"] != "calm" or c["speaker"] == "07"]
    with pytest.raises(UserError) as caught:
        run(tables, "speaker", 0)
    text = message(caught)
    for part in ("`music`", "`calm`", "speaker split", "seed 0", "8 in all"):
        assert part in text


def test_an_emotion_of_two_clips_is_named():
    tables = both()
    sad = [c for c in tables["speech"] if c["emotion"] == "sad"]
    tables["speech"] = [c for c in tables["speech"] if c not in sad[2:]]
    with pytest.raises(UserError) as caught:
        run(tables, "random", 4)
    text = message(caught)
    for part in ("`speech`", "`sad`", "random split", "seed 4", "2 in all"):
        assert part in text


def test_a_part_without_clips_is_named():
    with pytest.raises(UserError, match="no clip of `angry` in its validation part"):
        run(both(), "random", 0, fractions=[0.5, 0.0001, 0.4999])


# --- statement


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_one_statement_is_tested_and_the_others_are_learnt(seed):
    tables = both()
    for domain, parts in run(tables, "statement", seed).items():
        said = {part: set() for part in PARTS}
        for clip, part in zip(tables[domain], parts, strict=True):
            said[part].add(clip["statement"])
        assert said["test"] == {f"0{1 + seed % 2}"}
        assert said["train"] == said["validation"] == {f"0{2 - seed % 2}"}
        counts = Counter(parts)
        # validation has a quarter of what is not tested
        assert counts["validation"] == pytest.approx(0.25 * (len(parts) - counts["test"]), abs=1)


def test_seeds_that_test_the_same_statement_draw_anew():
    tables = both()
    first, other = (run(tables, "statement", seed)["speech"] for seed in (0, 2))
    assert first != other
    assert [part == "test" for part in first] == [part == "test" for part in other]


@pytest.mark.parametrize(
    ("said", "message"),
    [("", "domain `music` clip `music-neutral-0-01` has no statement"), ("01", "domain `music` all clips say `01`")],
)
def test_without_two_statements_there_is_none_to_leave_out(said, message):
    tables = both()
    tables["music"] = [clip | {"statement": said} for clip in tables["music"]]
    with pytest.raises(UserError, match=message):
        run(tables, "statement", 0)


# --- given


def given_clips(values: list[str], domain: str = "speech") -> list[dict]:
    """Clips of two emotions in turn, with the splits given, each for both emotions."""
    return [
        {
            "clip_id": f"{domain}-{i}-{emotion}",
            "speaker": str(i),
            "gender": "",
            "emotion": emotion,
            "sha256": f"{i}-{emotion}",
            "split": v,
        }
        for i, v in enumerate(values)
        for emotion in ("sad", "calm")
    ]


def test_parts_by_name_are_taken_as_they_are():
    values = ["train", "Train", "dev", "TEST", "training", "test"]
    parts = ["train", "train", "validation", "test", "train", "test"]
    tables = {"speech": given_clips(values), "music": given_clips(values[::-1])}
    for seed in (0, 7):
        found = run(tables, "given", seed)
        assert found == {"speech": [p for p in parts for _ in "sc"], "music": [p for p in parts[::-1] for _ in "sc"]}


@pytest.mark.parametrize("folds", [3, 5, 12])
def test_each_fold_is_tested_once_and_the_next_one_validates(folds):
    # as numbers, so that fold 10 is not between 1 and 2
    values = [str(i % folds + 1) for i in range(4 * folds)]
    tables = {d: given_clips(values, d) for d in ("speech", "music")}
    tested = Counter()
    for seed in range(folds):
        parts = run(tables, "given", seed)["speech"]
        by_part = {p: {c["split"] for c, q in zip(tables["speech"], parts, strict=True) if p == q} for p in PARTS}
        assert by_part["test"] == {str(seed + 1)}
        assert by_part["validation"] == {str((seed + 1) % folds + 1)}
        assert len(by_part["train"]) == folds - 2
        tested.update(c["clip_id"] for c, p in zip(tables["speech"], parts, strict=True) if p == "test")
    assert set(tested.values()) == {1}
    assert len(tested) == 8 * folds
    assert run(tables, "given", folds) == run(tables, "given", 0)


@pytest.mark.parametrize("values", [["train"] * 30 + ["test"] * 10, ["a"] * 30 + ["b"] * 10])
def test_validation_is_drawn_from_training_where_none_is_given(values):
    tables = {d: given_clips(values, d) for d in ("speech", "music")}
    seed = 1 if values[0] == "a" else 0
    found = run(tables, "given", seed)["speech"]
    assert {c["split"] for c, p in zip(tables["speech"], found, strict=True) if p == "test"} == {values[-1]}
    assert Counter(found) == {"train": 45, "validation": 15, "test": 20}
    assert run(tables, "given", seed + 2)["speech"] != found


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (["train", "", "test"], ["speech-1-sad", "no split"]),
        (["train", "tset", "dev"], ["`tset`", "train, validation, test"]),
        (["1", "1"], ["all clips are in fold `1`"]),
        (["train", "dev"], ["test part"]),
    ],
)
def test_a_given_split_that_is_none(values, parts):
    tables = {d: given_clips(values, d) for d in ("speech", "music")}
    with pytest.raises(UserError) as caught:
        run(tables, "given", 0)
    for part in ("`speech`", *parts):
        assert part in one_line(caught)


def test_nobody_is_sent_to_the_random_split_without_a_word():
    few = both(actors=ACTORS[:4])
    with pytest.raises(UserError, match=r"random.*measures who speaks"):
        run(few, "speaker", 0)
    tied = both()
    for table in tied.values():
        for clip in table:
            clip["emotion"] = "sad" if clip["speaker"] < "05" else "calm"
    with pytest.raises(UserError, match=r"by 4 speakers.*measures who speaks"):
        for seed in range(5):
            run(tied, "speaker", seed)
