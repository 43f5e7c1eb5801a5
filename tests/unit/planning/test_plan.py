"""What a run will have, before anything is fetched or made; and what is said where that cannot be."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from common import one_line, touch
from speechsong.corpora.readers import scan
from speechsong.corpora.recordings import FETCHED
from speechsong.errors import UserError
from speechsong.planning.plan import expected, plan

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "corpus.csv").write_text(text, encoding=encoding)
    return str(folder / "corpus.csv")


def config(root: Path, **changes) -> dict:
    return {
        "domains": ["speech", "music"],
        "speakers": "paired",
        "corpora": {
            "speech": {"reader": "ravdess", "root": str(root), "channel": "speech"},
            "music": {"reader": "ravdess", "root": str(root), "channel": "song"},
        },
        "emotions": EMOTIONS,
        "fad": {"blocks": 10},
    } | changes


def test_plan_of_the_paper(shared):
    run = plan(config(shared / "data" / "ravdess-24k"))
    assert list(run.recordings) == ["speech", "music"]
    for recordings in run.recordings.values():
        assert len(recordings) == len({r.clip_id for r in recordings}) == 1012
        assert Counter(r.emotion for r in recordings) == {"neutral": 92} | dict.fromkeys(EMOTIONS[1:], 184)
        assert len({r.speaker for r in recordings}) == 23
        assert all(Path(r.path).is_file() for r in recordings[::100])
    assert len(run.notes) == 1
    assert "speech 18" in run.notes[0]
    assert run.unfetched == {}
    assert run.blocks["speech"] == run.blocks["music"]
    assert sorted(Counter(run.blocks["speech"].values()).values()) == [2] * 7 + [3] * 3


def test_plan_with_everybody(shared):
    run = plan(config(shared / "data" / "ravdess-24k", speakers="independent"))
    assert {d: len(rs) for d, rs in run.recordings.items()} == {"speech": 1056, "music": 1012}
    assert run.notes == []
    assert "18" in run.blocks["speech"]
    assert "18" not in run.blocks["music"]


def test_an_empty_root_without_a_source(tmp_path):
    with pytest.raises(UserError) as caught:
        plan(config(tmp_path / "none"))
    text = one_line(caught)
    for part in ("corpus `speech`", str(tmp_path / "none"), "`corpora.speech.root`"):
        assert part in text


def test_a_root_with_one_channel_only(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav")
    with pytest.raises(UserError, match=r"corpus `music`: .* holds no song recording"):
        plan(config(tmp_path, emotions=["calm"]))


def sourced(root: Path, source: str) -> dict:
    chosen = config(root, emotions=["calm", "sad"])
    for corpus in chosen["corpora"].values():
        corpus["source"] = source
    return chosen


@pytest.mark.parametrize(("source", "count"), [("zenodo", 23 * 16), ("demo", 80)])
def test_an_empty_root_is_planned_as_it_will_be(tmp_path, source, count):
    chosen = sourced(tmp_path / "new", source)
    run = plan(chosen)
    assert {d: len(rs) for d, rs in run.recordings.items()} == {"speech": count, "music": count}
    assert run.unfetched == {source: chosen["corpora"]}
    assert run.markers(source) == [str(tmp_path / "new" / FETCHED)]
    assert all(r.path.startswith(str(tmp_path / "new")) for r in run.recordings["music"])


def test_what_was_planned_is_what_comes(tmp_path):
    chosen = sourced(tmp_path, "demo")
    before = plan(chosen)
    touch(
        tmp_path,
        *(os.path.relpath(r.path, tmp_path) for d in ("speech", "music") for r in expected(chosen["corpora"][d])),
    )
    after = plan(chosen)
    assert after.recordings == before.recordings
    assert after.blocks == before.blocks
    assert after.unfetched == {}


def test_expected_recordings_of_zenodo_are_the_real_ones(shared):
    root = shared / "data" / "ravdess-24k"
    for domain, corpus in config(root)["corpora"].items():
        real = {(r.clip_id, r.emotion, r.speaker, Path(r.path).parent) for r in scan(domain, corpus)}
        fetched = expected(corpus | {"source": "zenodo"})
        assert {(r.clip_id, r.emotion, r.speaker, Path(r.path).parent) for r in fetched} == real


def test_one_channel_may_be_there_while_the_other_is_to_be_fetched(tmp_path):
    touch(tmp_path / "a", *(f"03-01-0{e}-01-01-01-0{s}.wav" for e in (2, 4) for s in (1, 2)))
    chosen = sourced(tmp_path / "a", "zenodo")
    chosen["corpora"]["music"]["root"] = str(tmp_path / "b")
    run = plan(chosen)
    assert list(run.unfetched["zenodo"]) == ["music"]
    assert run.markers("zenodo") == [str(tmp_path / "b" / FETCHED)]
    assert len(run.recordings["speech"]) == 4


def test_fetched_recordings_that_are_gone(tmp_path):
    touch(tmp_path, FETCHED)
    with pytest.raises(UserError, match=r"\.fetched says that recordings were fetched, but there are none") as caught:
        plan(sourced(tmp_path, "zenodo"))
    assert str(tmp_path) in one_line(caught)


def test_a_table_without_rows_is_never_fetched(tmp_path):
    # `source`, `root` and `channel` are left over from the default that a user's entry was merged into
    chosen = sourced(tmp_path / "ravdess", "zenodo")
    chosen["corpora"]["speech"] |= {"reader": "table", "table": table(tmp_path, "path,emotion,speaker\n")}
    with pytest.raises(UserError, match="corpus `speech`") as caught:
        plan(chosen)
    assert "corpus.csv" in one_line(caught)


def test_a_table_without_rows_or_source(tmp_path):
    chosen = config(tmp_path)
    chosen["corpora"]["speech"] = {"reader": "table", "table": table(tmp_path, "path,emotion,speaker\n")}
    with pytest.raises(UserError, match="corpus `speech`") as caught:
        plan(chosen)
    assert "corpus.csv" in one_line(caught)
