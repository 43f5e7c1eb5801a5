"""Which recordings a run has: names, folders, tables, speakers; and what is said where something is wrong."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong import clips, corpora, planning
from speechsong.corpora import Recording
from speechsong.files import UserError

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]


def message(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


# --- RAVDESS names


@pytest.mark.parametrize(
    ("name", "channel", "fields"),
    [
        ("03-01-01-01-01-01-01.wav", "speech", ("neutral", "01", "male", "01", "01", "normal")),
        ("03-01-02-02-02-01-24.wav", "speech", ("calm", "24", "female", "02", "01", "strong")),
        ("03-02-03-01-01-02-17.flac", "song", ("happy", "17", "male", "01", "02", "normal")),
        ("03-02-04-02-02-02-10.WAV", "song", ("sad", "10", "female", "02", "02", "strong")),
        ("03-01-05-01-02-01-09.wav", "speech", ("angry", "09", "male", "02", "01", "normal")),
        ("03-01-06-01-02-01-12.wav", "speech", ("fearful", "12", "female", "02", "01", "normal")),
        ("03-01-07-01-02-01-12.wav", "speech", ("disgust", "12", "female", "02", "01", "normal")),
        ("03-01-08-01-02-01-12.wav", "speech", ("surprised", "12", "female", "02", "01", "normal")),
    ],
)
def test_names(name, channel, fields):
    path = f"some where/Actor_01/{name}"
    found, r = corpora.parse_ravdess(path)
    assert found == channel
    assert (r.emotion, r.speaker, r.gender, r.statement, r.take, r.intensity) == fields
    assert (r.clip_id, r.path) == (Path(name).stem, path)


@pytest.mark.parametrize(
    "stem",
    [
        "03-01-06-01-02-01",
        "03-01-06-01-02-01-12-01",
        "3-1-6-1-2-1-12",
        "01-01-06-01-02-01-12",  # video and audio
        "02-01-06-01-02-01-12",  # video only
        "03-03-06-01-02-01-12",
        "03-01-09-01-02-01-12",
        "03-01-00-01-02-01-12",
        "03-01-06-03-02-01-12",
        "03-01-06-01-03-01-12",
        "03-01-06-01-02-03-12",
        "03-01-06-01-02-01-25",
        "03-01-06-01-02-01-00",
        "03-01-06-01-02-01-12 (1)",
        "song",
        "",
    ],
)
def test_other_names_are_refused(stem):
    with pytest.raises(UserError) as caught:
        corpora.parse_ravdess(f"below/{stem}.wav")
    text = message(caught)
    assert text.startswith(f"below/{stem}.wav: not the name of an audio-only RAVDESS recording")
    assert "reader: table" in text


# --- folders


def test_folders_are_searched_to_the_bottom(tmp_path):
    names = [
        "03-01-02-01-01-01-01.wav",
        "Actor_02/03-01-02-01-01-01-02.WAV",
        "a/b c/ä/03-02-02-01-01-01-03.flac",
        "a/b c/03-02-02-01-01-01-04.Flac",
    ]
    touch(tmp_path, *names, "README.txt", "a/notes.csv", "a/03-01-02-01-01-01-05.mp3", "a/wav")
    assert corpora.files_below(str(tmp_path)) == sorted(str(tmp_path / n) for n in names)


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "03-01-02-01-01-01-01.wav")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert corpora.files_below(str(tmp_path / "root")) == [str(tmp_path / "root/link/03-01-02-01-01-01-01.wav")]


def test_leavings_of_other_programs_are_no_recordings(tmp_path):
    touch(
        tmp_path,
        "03-01-02-01-01-01-01.wav",
        "._03-01-02-01-01-01-01.wav",
        "__MACOSX/Actor_01/03-01-02-01-01-01-02.wav",
        ".trash/03-01-02-01-01-01-03.wav",
    )
    assert corpora.files_below(str(tmp_path)) == [str(tmp_path / "03-01-02-01-01-01-01.wav")]


def test_hidden_files_are_no_recordings(tmp_path):
    # `files.atomic` writes to such names; a job that was killed leaves one behind
    touch(tmp_path, "03-01-02-01-01-01-01.wav", ".03-01-02-01-01-01-02.x1y2z3.wav")
    assert corpora.files_below(str(tmp_path)) == [str(tmp_path / "03-01-02-01-01-01-01.wav")]


def test_a_folder_that_is_being_filled_has_none_yet(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav", corpora.INCOMPLETE)
    assert corpora.files_below(str(tmp_path)) == []
    (tmp_path / corpora.INCOMPLETE).unlink()
    assert len(corpora.files_below(str(tmp_path))) == 1


def test_no_folder_at_all(tmp_path):
    assert corpora.files_below(str(tmp_path / "none")) == []


def test_the_mark_goes_when_a_folder_is_filled(tmp_path):
    with corpora.being_filled(tmp_path / "new"):
        touch(tmp_path / "new", "03-01-02-01-01-01-01.wav")
        assert corpora.files_below(str(tmp_path / "new")) == []
    assert len(corpora.files_below(str(tmp_path / "new"))) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_the_mark_stays_where_filling_breaks_off(tmp_path, error):
    with pytest.raises(error), corpora.being_filled(tmp_path):
        touch(tmp_path, "03-01-02-01-01-01-01.wav")
        raise error("broke off")
    assert corpora.files_below(str(tmp_path)) == []
    # until it is filled after all
    with corpora.being_filled(tmp_path):
        pass
    assert len(corpora.files_below(str(tmp_path))) == 1


def test_scan_keeps_one_channel_sorted(tmp_path):
    touch(tmp_path, "b/03-01-02-01-01-01-02.wav", "c/03-01-02-01-01-01-01.wav", "a/03-02-02-01-01-01-01.wav")
    found = corpora.scan("speech", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    assert [r.clip_id for r in found] == ["03-01-02-01-01-01-01", "03-01-02-01-01-01-02"]
    found = corpora.scan("music", {"reader": "ravdess", "root": str(tmp_path), "channel": "song"})
    assert [r.path for r in found] == [str(tmp_path / "a/03-02-02-01-01-01-01.wav")]


@pytest.mark.parametrize("other", ["b/03-01-02-01-01-01-01.wav", "a/03-01-02-01-01-01-01.flac"])
def test_a_clip_that_is_there_twice_is_named(tmp_path, other):
    touch(tmp_path, "a/03-01-02-01-01-01-01.wav", other)
    with pytest.raises(UserError) as caught:
        corpora.scan("talk", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    text = message(caught)
    for part in ("corpus `talk`", "there twice", str(tmp_path / other), str(tmp_path / "a/03-01-02-01-01-01-01.wav")):
        assert part in text


def test_one_stray_name_stops_the_scan(tmp_path):
    touch(tmp_path, "a/03-01-02-01-01-01-01.wav", "a/mix.wav")
    with pytest.raises(UserError, match=r"a/mix\.wav: not the name"):
        corpora.scan("speech", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})


def test_a_run_uses_the_chosen_emotions_of_people_in_both_domains(tmp_path):
    touch(tmp_path, *(f"03-01-{e}-01-01-01-0{i}.wav" for e in ("02", "03") for i in range(1, 6)))
    touch(tmp_path, *(f"03-02-{e}-01-01-01-0{i}.wav" for e in ("02", "03") for i in (2, 4)))
    entries = {
        d: {"reader": "ravdess", "root": str(tmp_path), "channel": c} for d, c in (("a", "speech"), ("b", "song"))
    }
    config = {"domains": ["a", "b"], "corpora": entries, "emotions": ["happy"], "speakers": "paired"}
    found = corpora.used(config)
    assert {d: [r.clip_id for r in some] for d, some in found.items()} == {
        d: [f"03-{c}-03-01-01-01-0{i}" for i in (2, 4)] for d, c in (("a", "01"), ("b", "02"))
    }
    assert len(corpora.used(config | {"speakers": "independent"})["a"]) == 5


def test_a_digest_changes_with_a_file_and_with_what_is_said_of_it(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav", "03-01-02-01-01-01-02.wav")
    recordings = corpora.scan("a", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    first = corpora.digest(recordings)
    assert corpora.digest(list(recordings)) == first
    seen = {first, corpora.digest(recordings[:1]), corpora.digest([recordings[0], replace(recordings[1], speaker="9")])}
    path = Path(recordings[1].path)
    stamp = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    seen.add(corpora.digest(recordings))  # longer, of the same time
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 10**9))
    seen.add(corpora.digest(recordings))  # as long, but older
    path.unlink()
    seen.add(corpora.digest(recordings))  # still to be fetched
    assert len(seen) == 6


# --- tables


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "corpus.csv").write_text(text, encoding=encoding)
    return str(folder / "corpus.csv")


def test_a_table_with_three_columns(tmp_path):
    touch(tmp_path, "x/1.wav", "x/2.flac")
    found = corpora.read_table(table(tmp_path, "path,emotion,speaker\nx/1.wav,sad,ann\nx/2.flac,calm,ben\n"), None)
    assert found == [
        Recording("x/1", str(tmp_path / "x/1.wav"), "sad", "ann"),
        Recording("x/2", str(tmp_path / "x/2.flac"), "calm", "ben"),
    ]


def test_a_table_with_every_column_in_another_order(tmp_path):
    touch(tmp_path, "1.wav")
    header = "note,speaker,gender,take,clip_id,intensity,emotion,statement,path"
    found = corpora.read_table(table(tmp_path, f"{header}\nhm,ann,female,02,first,strong,sad,kids,1.wav\n"), None)
    assert found == [
        Recording("first", str(tmp_path / "1.wav"), "sad", "ann", "female", "kids", "02", "strong"),
    ]


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path):
    touch(tmp_path, "1.wav")
    text = "path,emotion,speaker\r\n1.wav,sad,ann\r\n"
    assert len(corpora.read_table(table(tmp_path, text, "utf-8-sig"), None)) == 1


@pytest.mark.parametrize(
    "name", ["two words.wav", "comma, and.wav", 'a "quote".wav', "Jürgen/лето/夏.wav", "a.b.c.wav", " lead.wav"]
)
def test_names_of_any_kind(tmp_path, name):
    touch(tmp_path, name)
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "emotion", "speaker"], [name, "sad", "Zoë, the 1st"]])
    (found,) = corpora.read_table(str(tmp_path / "t.csv"), None)
    assert (found.path, found.speaker) == (str(tmp_path / name), "Zoë, the 1st")
    assert found.clip_id == name.removesuffix(".wav")


def test_paths_start_from_the_table_from_root_or_nowhere(tmp_path):
    touch(tmp_path, "lists/1.wav", "audio/1.wav", "far/1.wav")
    (tmp_path / "lists/t.csv").write_text("path,emotion,speaker\n1.wav,sad,ann\n")
    listed, rooted = (
        corpora.read_table(str(tmp_path / "lists/t.csv"), root)[0].path for root in (None, str(tmp_path / "audio"))
    )
    assert (listed, rooted) == (str(tmp_path / "lists/1.wav"), str(tmp_path / "audio/1.wav"))
    (tmp_path / "lists/t.csv").write_text(f"path,emotion,speaker\n{tmp_path}/far/1.wav,sad,ann\n")
    for root in (None, str(tmp_path / "audio")):
        assert corpora.read_table(str(tmp_path / "lists/t.csv"), root)[0].path == str(tmp_path / "far/1.wav")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,emotion\n1.wav,sad\n", ["column speaker is missing"]),
        ("file,label\n1.wav,sad\n", ["column emotion, path, speaker is missing"]),
        ("path;emotion;speaker\n1.wav;sad;ann\n", ["column emotion, path, speaker is missing"]),
        ("", ["column emotion, path, speaker is missing"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n1.wav,,ann\n", ["line 3", "column emotion is empty"]),
        ("path,emotion,speaker\n1.wav,sad,  \n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n1.wav,sad\n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n,sad,ann\n", ["line 2", "column path is empty"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n2.wav,sad,ann\n", ["line 3", "there is no file", "2.wav"]),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, parts):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, text)
    with pytest.raises(UserError) as caught:
        corpora.read_table(path, None)
    found = message(caught)
    for part in (path, *parts):
        assert part in found


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: there is no such table.*`corpora\.\*\.table`") as caught:
        corpora.read_table(str(tmp_path / "none.csv"), None)
    message(caught)


def test_a_table_that_is_not_utf8_is_named(tmp_path):
    # as spreadsheets still save it
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,Zoë\n", "latin-1")
    with pytest.raises(UserError) as caught:
        corpora.read_table(path, None)
    assert path in message(caught)


def test_a_clip_twice_in_a_table(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")
    path = table(tmp_path, "path,emotion,speaker,clip_id\n1.wav,sad,ann,a\n2.wav,sad,ann,a\n")
    with pytest.raises(UserError, match=r"corpus `talk`: clip a is there twice"):
        corpora.scan("talk", {"reader": "table", "table": path})


def test_a_table_is_scanned_sorted_by_clip(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "3.wav")
    path = table(tmp_path, "path,emotion,speaker\n3.wav,sad,ann\n1.wav,calm,ben\n2.wav,calm,ben\n")
    assert [r.clip_id for r in corpora.scan("talk", {"reader": "table", "table": path})] == ["1", "2", "3"]


# --- what a run compares


def made(spec: dict[str, list[str]]) -> list[Recording]:
    """Recordings of each emotion by the speakers given."""
    return [Recording(f"{e}-{s}", f"{e}-{s}.wav", e, s) for e, speakers in spec.items() for s in speakers]


def test_paired_runs_drop_who_is_in_one_domain_only():
    found = {
        "speech": made({"calm": ["01", "18", "19"], "sad": ["01", "18"]}),
        "music": made({"calm": ["01"], "sad": ["01", "20"]}),
    }
    kept, dropped = corpora.select(found, ["calm", "sad"], paired=True)
    assert {d: {r.speaker for r in rs} for d, rs in kept.items()} == {"speech": {"01"}, "music": {"01"}}
    assert dropped == ["speech 18", "speech 19", "music 20"]


def test_independent_runs_drop_nobody():
    found = {"speech": made({"calm": ["01", "18"], "sad": ["01"]}), "music": made({"calm": ["a"], "sad": ["b"]})}
    kept, dropped = corpora.select(found, ["calm", "sad"], paired=False)
    assert kept == found
    assert dropped == []


def test_other_emotions_are_left_out_and_their_speakers_do_not_count():
    found = {
        "speech": made({"calm": ["01", "02"], "disgust": ["01", "03"]}),
        "music": made({"calm": ["01", "02"], "disgust": ["03"]}),
    }
    kept, dropped = corpora.select(found, ["calm"], paired=True)
    assert {r.emotion for rs in kept.values() for r in rs} == {"calm"}
    assert dropped == []


@pytest.mark.parametrize("paired", [True, False])
def test_a_misspelt_emotion_is_named_with_a_suggestion(paired):
    found = {"speech": made({"fearful": ["1"], "sad": ["1"]}), "music": made({"fearful": ["1"], "sad": ["1"]})}
    with pytest.raises(UserError) as caught:
        corpora.select(found, ["sad", "fearfull"], paired)
    text = message(caught)
    for part in ("`emotions`", "`speech`", "`fearfull`", "did you mean `fearful`?", "it has: fearful, sad"):
        assert part in text


def test_an_emotion_that_one_domain_lacks_is_named():
    found = {"speech": made({"disgust": ["1"], "sad": ["1"]}), "music": made({"sad": ["1"]})}
    with pytest.raises(UserError, match="domain `music` has no recording of `disgust`") as caught:
        corpora.select(found, ["sad", "disgust"], paired=True)
    assert "did you mean" not in message(caught)


def test_an_emotion_that_only_dropped_speakers_have_is_named():
    found = {"speech": made({"calm": ["1"], "sad": ["2"]}), "music": made({"calm": ["2"], "sad": ["2"]})}
    with pytest.raises(UserError, match="`calm`") as caught:
        corpora.select(found, ["calm", "sad"], paired=True)
    assert "`speech`" in message(caught)


def test_no_common_speaker():
    found = {"speech": made({"sad": ["1"]}), "music": made({"sad": ["one"]})}
    with pytest.raises(UserError, match=r"`speakers`.*no speaker in common.*`speakers: independent`") as caught:
        corpora.select(found, ["sad"], paired=True)
    message(caught)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, 60).map(str), min_size=1, max_size=40), st.integers(2, 12))
def test_speaker_blocks(speakers, blocks):
    found = corpora.speaker_blocks(speakers, blocks)
    assert found.keys() == speakers
    sizes = Counter(found.values())
    assert sorted(sizes) == list(range(min(blocks, len(speakers))))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    # in whatever order they come
    assert corpora.speaker_blocks(set(reversed(sorted(speakers))), blocks) == found


# --- plans


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
    run = planning.plan(config(shared / "data" / "ravdess-24k"))
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
    run = planning.plan(config(shared / "data" / "ravdess-24k", speakers="independent"))
    assert {d: len(rs) for d, rs in run.recordings.items()} == {"speech": 1056, "music": 1012}
    assert run.notes == []
    assert "18" in run.blocks["speech"]
    assert "18" not in run.blocks["music"]


def test_an_empty_root_without_a_source(tmp_path):
    with pytest.raises(UserError) as caught:
        planning.plan(config(tmp_path / "none"))
    text = message(caught)
    for part in ("corpus `speech`", str(tmp_path / "none"), "`corpora.speech.root`"):
        assert part in text


def test_a_root_with_one_channel_only(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav")
    with pytest.raises(UserError, match=r"corpus `music`: .* holds no song recording"):
        planning.plan(config(tmp_path, emotions=["calm"]))


def sourced(root: Path, source: str) -> dict:
    chosen = config(root, emotions=["calm", "sad"])
    for corpus in chosen["corpora"].values():
        corpus["source"] = source
    return chosen


@pytest.mark.parametrize(("source", "count"), [("zenodo", 23 * 16), ("demo", 80)])
def test_an_empty_root_is_planned_as_it_will_be(tmp_path, source, count):
    chosen = sourced(tmp_path / "new", source)
    run = planning.plan(chosen)
    assert {d: len(rs) for d, rs in run.recordings.items()} == {"speech": count, "music": count}
    assert run.unfetched == {source: chosen["corpora"]}
    assert run.markers(source) == [str(tmp_path / "new" / corpora.FETCHED)]
    assert all(r.path.startswith(str(tmp_path / "new")) for r in run.recordings["music"])


def test_what_was_planned_is_what_comes(tmp_path):
    chosen = sourced(tmp_path, "demo")
    before = planning.plan(chosen)
    touch(
        tmp_path,
        *(
            os.path.relpath(r.path, tmp_path)
            for d in ("speech", "music")
            for r in planning.expected(chosen["corpora"][d])
        ),
    )
    after = planning.plan(chosen)
    assert after.recordings == before.recordings
    assert after.blocks == before.blocks
    assert after.unfetched == {}


def test_expected_recordings_of_zenodo_are_the_real_ones(shared):
    root = shared / "data" / "ravdess-24k"
    for domain, corpus in config(root)["corpora"].items():
        real = {(r.clip_id, r.emotion, r.speaker, Path(r.path).parent) for r in corpora.scan(domain, corpus)}
        fetched = planning.expected(corpus | {"source": "zenodo"})
        assert {(r.clip_id, r.emotion, r.speaker, Path(r.path).parent) for r in fetched} == real


def test_one_channel_may_be_there_while_the_other_is_to_be_fetched(tmp_path):
    touch(tmp_path / "a", *(f"03-01-0{e}-01-01-01-0{s}.wav" for e in (2, 4) for s in (1, 2)))
    chosen = sourced(tmp_path / "a", "zenodo")
    chosen["corpora"]["music"]["root"] = str(tmp_path / "b")
    run = planning.plan(chosen)
    assert list(run.unfetched["zenodo"]) == ["music"]
    assert run.markers("zenodo") == [str(tmp_path / "b" / corpora.FETCHED)]
    assert len(run.recordings["speech"]) == 4


def test_fetched_recordings_that_are_gone(tmp_path):
    touch(tmp_path, corpora.FETCHED)
    with pytest.raises(UserError, match=r"\.fetched says that recordings were fetched, but there are none") as caught:
        planning.plan(sourced(tmp_path, "zenodo"))
    assert str(tmp_path) in message(caught)


def test_a_table_without_rows_is_never_fetched(tmp_path):
    # `source`, `root` and `channel` are left over from the default that a user's entry was merged into
    chosen = sourced(tmp_path / "ravdess", "zenodo")
    chosen["corpora"]["speech"] |= {"reader": "table", "table": table(tmp_path, "path,emotion,speaker\n")}
    with pytest.raises(UserError, match="corpus `speech`") as caught:
        planning.plan(chosen)
    assert "corpus.csv" in message(caught)


def test_a_table_without_rows_or_source(tmp_path):
    chosen = config(tmp_path)
    chosen["corpora"]["speech"] = {"reader": "table", "table": table(tmp_path, "path,emotion,speaker\n")}
    with pytest.raises(UserError, match="corpus `speech`") as caught:
        planning.plan(chosen)
    assert "corpus.csv" in message(caught)


# --- the index


def test_index_of_real_originals(shared):
    folder = shared / "data" / "ravdess-original-samples"
    found = corpora.scan("talk", {"reader": "ravdess", "root": str(folder), "channel": "speech"})
    rows = clips.index("talk", found)
    assert [r["clip_id"] for r in rows] == [r.clip_id for r in found]
    for row in rows:
        info = soundfile.info(row["path"])
        assert (row["sample_rate"], row["channels"]) == (info.samplerate, info.channels) == (48000, info.channels)
        assert row["seconds"] == pytest.approx(info.duration, abs=1e-6)
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
        assert row["domain"] == "talk"
    # two recordings of RAVDESS are the same bytes
    assert {r["clip_id"]: r["duplicate_of"] for r in rows if r["duplicate_of"]} == {
        "03-01-03-01-02-02-07": "03-01-03-01-02-01-07"
    }


def test_index_stops_at_what_cannot_be_used(tmp_path):
    soundfile.write(tmp_path / "1.wav", 0.1 * np.random.default_rng(0).standard_normal(1000), 16000)
    soundfile.write(tmp_path / "2.wav", np.zeros(1000), 16000)
    recordings = [Recording(str(i), str(tmp_path / f"{i}.wav"), "sad", "ann") for i in (1, 2)]
    with pytest.raises(UserError, match=r"2\.wav: the recording is silent"):
        clips.index("talk", recordings)


def test_a_name_that_is_not_utf_8_is_refused_in_one_line(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "03-01-06-01-02-01-12.wav").touch()
    with pytest.raises(UserError) as caught:
        corpora.scan("talk", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    text = str(caught.value)
    # it can be printed
    assert text.encode().isascii()
    assert text.startswith("corpus `talk`: ")
    assert "caf\\udce9" in text
    assert text.endswith("not UTF-8; rename it")
