"""A misspelt name is answered by the known one that is most like it."""

from __future__ import annotations

import pytest

from speechsong.errors import UserError, closest


@pytest.mark.parametrize(
    ("name", "known", "ending"),
    [
        ("fearfull", ["sad", "fearful", "angry"], "; did you mean `fearful`?"),
        ("sad", {"glad": 1, "said": 2}, "; did you mean `said`?"),
        (12, [1, 2, 123], "; did you mean `123`?"),
        ("zzz", ["sad", "fearful"], ""),
        ("sad", [], ""),
    ],
)
def test_the_closest_name(name, known, ending):
    assert closest(name, known) == ending


def test_a_users_mistake_is_its_line():
    assert str(UserError("a.wav: silent")) == "a.wav: silent"
