"""Emotion tied to speakers, genders or sessions is noticed; a corpus where everybody acts everything is not accused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats.contingency import association

from speechsong.corpora.confounding import confounded, cramers_v

EMOTIONS = ["neutral", "happy", "sad", "angry"]


def clips(pairs, attribute: str = "speaker") -> list[dict]:
    return [{"speaker": str(i), attribute: str(level), "emotion": emotion} for i, (level, emotion) in enumerate(pairs)]


@pytest.mark.parametrize("seed", range(5))
def test_cramers_v_is_scipys_with_the_correction_of_bergsma(seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 30, (int(rng.integers(2, 9)), 4))
    table[0, 0] += 40
    pairs = [(i, j) for (i, j), count in np.ndenumerate(table) for _ in range(count)]
    (r, k), n = table.shape, table.sum()
    plain = association(table, method="cramer", correction=False)
    phi2 = max(0, plain**2 * (min(r, k) - 1) - (r - 1) * (k - 1) / (n - 1))
    expected = np.sqrt(phi2 / (min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1))
    assert cramers_v(pairs) == pytest.approx(expected, abs=1e-12)


def test_cramers_v_at_its_ends():
    assert cramers_v([(s, e) for s in range(20) for e in EMOTIONS for _ in range(2)]) == 0
    assert cramers_v([(s, EMOTIONS[s % 4]) for s in range(20) for _ in range(500)]) == pytest.approx(1, abs=0.01)
    assert cramers_v([]) == cramers_v([("a", "sad")]) == cramers_v([("a", "sad"), ("b", "sad")]) == 0


@pytest.mark.parametrize(("speakers", "each"), [(24, 44), (500, 4), (1000, 2), (91, 82)])
def test_no_alarm_where_emotions_are_dealt_by_chance(speakers, each):
    rng = np.random.default_rng(speakers)
    pairs = [(s, str(e)) for s in range(speakers) for e in rng.choice(EMOTIONS, each)]
    assert confounded(clips(pairs)) == []


def test_as_in_a_published_corpus():
    # 26 of 29 speakers have one emotion
    pairs = [(s, EMOTIONS[s % 4]) for s in range(26) for _ in range(15)]
    pairs += [(s, e) for s in range(26, 29) for e in EMOTIONS for _ in range(5)]
    (line,) = confounded(clips(pairs))
    for part in ("Emotion and speaker are confounded", "26 of 29 speakers have one emotion only", "who speaks"):
        assert part in line


def test_one_clip_of_each_speaker():
    (line,) = confounded(clips([(1, "happy"), (2, "sad"), (3, "angry")]))
    assert "3 of 3 speakers" in line


@pytest.mark.parametrize(("attribute", "plural"), [("gender", "genders"), ("session", "sessions")])
def test_a_gender_or_a_session_for_each_emotion(attribute, plural):
    levels = ["f", "m"] if attribute == "gender" else EMOTIONS
    tied = [(levels[i % len(levels)], EMOTIONS[i % 4]) for i in range(80)]
    rows = [row | {"speaker": ""} for row in clips(tied, attribute)]
    (line,) = confounded(rows)
    assert f"Emotion and {attribute} are confounded" in line
    assert plural in line
    free = [row | {"speaker": ""} for row in clips([(x, e) for x in levels for e in EMOTIONS * 10], attribute)]
    assert confounded(free) == []


def test_what_is_not_known_is_not_confounded():
    pairs = [(s, e) for s in range(4) for e in EMOTIONS]
    assert confounded([row | {"gender": "", "session": ""} for row in clips(pairs)]) == []
    assert confounded([]) == []
