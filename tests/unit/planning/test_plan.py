"""What a run will have, before anything is fetched or made; and what is said where that cannot be."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from common import one_line, touch
from speechsong.corpora import splits
from speechsong.corpora.edits import Edits
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
        "split": {"protocols": ["random"], "seeds": [0]},
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


# --- what a user should know before the run


def tables(folder: Path, rows: list[str], header: str = "path,emotion,speaker") -> dict:
    """The configuration of a run on one table twice, of recordings that are empty files."""
    touch(folder, *(row.split(",")[0] for row in rows))
    path = table(folder, "\n".join([header, *rows, ""]))
    return config(
        folder,
        corpora={d: {"reader": "table", "table": path} for d in ("speech", "music")},
        emotions=["sad", "calm"],
    )


def test_a_run_is_told_that_emotion_is_tied_to_speakers(tmp_path):
    rows = [f"{i}.wav,{'sad' if i % 4 < 2 else 'calm'},{i % 4}" for i in range(40)]
    notes = plan(tables(tmp_path, rows)).notes
    assert len(notes) == 2
    for note, domain in zip(notes, ("speech", "music"), strict=True):
        for part in (f"`{domain}`", "emotion and speaker", "4 of 4 speakers", "who speaks"):
            assert part.casefold() in note.casefold()
    free = [f"{i}.wav,{'sad' if i % 2 else 'calm'},{i // 10}" for i in range(40)]
    assert plan(tables(tmp_path, free)).notes == []


def test_the_shared_case_of_one_emotion_for_each_speaker(shared):
    path = str(shared / "cases/tables/one_emotion_a_speaker.csv")
    corpora = {d: {"reader": "table", "table": path} for d in ("speech", "music")}
    run = plan(config(shared, corpora=corpora, emotions=["happy", "sad", "angry"]))
    assert ["3 of 3 speakers have one emotion only" in note for note in run.notes] == [True, True]


def test_ravdess_is_not_confounded(shared):
    for speakers in ("paired", "independent"):
        notes = plan(config(shared / "data" / "ravdess-24k", speakers=speakers)).notes
        assert not any("confounded" in note for note in notes)


def test_a_given_split_must_be_there(tmp_path):
    rows = ["1.wav,sad,a,train", "2.wav,calm,a,"]
    chosen = tables(tmp_path, rows, "path,emotion,speaker,split") | {"adapt": {"protocols": ["given"]}}
    with pytest.raises(UserError) as caught:
        plan(chosen)
    text = one_line(caught)
    for part in ("`given`", "clip 2", "`split` or `fold`"):
        assert part in text
    plan(chosen | {"adapt": {"protocols": ["random"]}})


def test_the_index_depends_on_a_given_split_and_embeddings_do_not(tmp_path):
    runs = [
        plan(tables(tmp_path, ["1.wav,sad,a," + part, "2.wav,calm,a,"], "path,emotion,speaker,split")) for part in "12"
    ]
    assert runs[0].given("speech") != runs[1].given("speech")
    assert runs[0].digest("speech") == runs[1].digest("speech")
    assert plan(tables(tmp_path, ["1.wav,sad,a", "2.wav,calm,a"])).given("speech") == ""


def test_recordings_to_be_fetched_have_the_labels_of_the_run(tmp_path):
    corpus = {"reader": "ravdess", "root": str(tmp_path / "none"), "channel": "speech", "source": "zenodo"}
    plain = expected(corpus)
    found = expected(corpus | {"labels": {"fearful": "fear"}, "exclude": [plain[0].clip_id]})
    assert {r.emotion for r in found} == {r.emotion for r in plain} - {"fearful"} | {"fear"}
    assert len(found) == len(plain) - 1


def test_recordings_to_be_fetched_have_the_edits_of_their_corpus(tmp_path):
    corpus = {"reader": "ravdess", "root": str(tmp_path / "none"), "channel": "speech", "source": "zenodo"}
    assert {r.edits for r in expected(corpus | {"seconds": 2.0})} == {Edits(seconds=2.0)}


# --- pre-training


def names(channel: str, actors: range) -> list[str]:
    """Files of RAVDESS with two emotions of each actor."""
    return [f"03-{channel}-{emotion}-01-01-01-{actor:02d}.wav" for actor in actors for emotion in ("02", "03")]


def pretraining(tmp_path: Path, **changes) -> dict:
    """A run on actors 1 and 2, with an encoder that is pre-trained on actors 3 to 6 of another folder."""
    touch(tmp_path / "run", *names("01", range(1, 3)), *names("02", range(1, 3)))
    touch(tmp_path / "more", *names("01", range(3, 7)), "03-01-08-01-01-01-03.wav")
    whole = config(tmp_path / "run", emotions=["calm", "happy"], models=["mine"])
    whole["corpora"]["more"] = {"reader": "ravdess", "root": str(tmp_path / "more"), "channel": "speech"}
    entry = {"domains": ["more"], "layout": "hubert", "width": 32, "blocks": 1, "steps": 1} | changes
    return whole | {"encoders": {"mine": {"pretrain": entry, "layers": 1, "window_seconds": 30}}}


def test_all_of_a_corpus_is_pretrained_on_but_for_speakers_left_out(tmp_path):
    run = plan(pretraining(tmp_path))
    assert list(run.recordings) == ["speech", "music"]
    # of every emotion
    assert len(run.pretraining["mine"]) == 9
    assert not any("pre-trained" in note for note in run.notes)
    fewer = plan(pretraining(tmp_path, exclude_speakers=["03", "04"]))
    assert {r.speaker for r in fewer.pretraining["mine"]} == {"05", "06"}
    assert run.pretraining_digest("mine") != fewer.pretraining_digest("mine")
    # labels are not learnt
    relabelled = pretraining(tmp_path)
    relabelled["corpora"]["more"]["labels"] = {"happy": "glad"}
    assert plan(relabelled).pretraining_digest("mine") == run.pretraining_digest("mine")
    # a recording that is not in the run
    before = run.pretraining_digest("mine")
    os.utime(tmp_path / "more/03-01-08-01-01-01-03.wav", (1, 1))
    assert plan(pretraining(tmp_path)).pretraining_digest("mine") != before


def test_speakers_whom_the_run_tests_are_a_leak(tmp_path):
    run = plan(pretraining(tmp_path, domains=["more", "speech"]))
    (note,) = [note for note in run.notes if "pre-trained" in note]
    assert note == (
        "Encoder `mine` is pre-trained on recordings of 2 of the speakers whom the run tests; "
        "`encoders.mine.pretrain.exclude_speakers` leaves out those of a test fold"
    )
    # the same files under another name
    whole = pretraining(tmp_path)
    whole["corpora"]["more"]["root"] = str(tmp_path)
    assert any("recordings of 2 of the speakers" in note for note in plan(whole).notes)


@pytest.mark.parametrize("paired", [True, False])
def test_speakers_of_other_folds_are_no_leak(tmp_path, paired):
    speakers = range(1, 13)
    touch(tmp_path / "run", *names("01", speakers), *names("02", speakers))
    whole = config(tmp_path / "run", emotions=["calm", "happy"], models=["mine"])
    whole["speakers"] = "paired" if paired else "independent"
    whole["split"] = {"protocols": ["speaker"], "seeds": [1, 5]}
    rows = [
        {"clip_id": f"{d}{s}{e}", "speaker": f"{s:02d}", "gender": "male" if s % 2 else "female", "emotion": e}
        | {"statement": "01", "sha256": f"{d}{s}{e}"}
        for d in ("speech", "music")
        for s in speakers
        for e in ("calm", "happy")
    ]
    clips = {d: [row for row in rows if row["clip_id"].startswith(d)] for d in ("speech", "music")}
    shares = [0.6, 0.2, 0.2]
    made = [row for k in (1, 5) for row in splits.split(clips, "speaker", k, fractions=shares, paired=paired)]
    tested = {d: {r["speaker"] for r in made if r["part"] == "test" and r["domain"] == d} for d in clips}
    entry = {"domains": ["speech"], "layout": "hubert", "width": 32, "blocks": 1, "steps": 1}
    whole["encoders"] = {"mine": {"pretrain": entry, "layers": 1, "window_seconds": 30}}
    (note,) = [note for note in plan(whole).notes if "pre-trained" in note]
    assert f"recordings of {len(tested['speech'])} of the speakers" in note
    entry["exclude_speakers"] = sorted(tested["speech"])
    assert not any("pre-trained" in note for note in plan(whole).notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"exclude_speakers": ["3"]},
            "config key `encoders.mine.pretrain.exclude_speakers`: there is no speaker `3` in more; did you mean `03`? "
            "(there are: 03, 04, 05, 06)",
        ),
        (
            {"exclude_speakers": ["03", "04", "05"]},
            "config key `encoders.mine.pretrain`: it needs two speakers or more, one of whom is held out, and 1 of "
            "more is left; name more `domains` or exclude fewer speakers",
        ),
    ],
)
def test_speakers_who_cannot_be_left_out(tmp_path, changes, said):
    with pytest.raises(UserError) as caught:
        plan(pretraining(tmp_path, **changes))
    assert one_line(caught) == said


def test_a_corpus_to_pretrain_on_without_recordings_is_one_line(tmp_path):
    whole = pretraining(tmp_path)
    whole["corpora"]["more"]["root"] = str(tmp_path / "none")
    with pytest.raises(UserError) as caught:
        plan(whole)
    assert one_line(caught).startswith(f"corpus `more`: {tmp_path}/none holds no speech recording")


def test_a_corpus_to_pretrain_on_may_still_be_fetched(tmp_path):
    whole = pretraining(tmp_path)
    whole["corpora"]["more"] |= {"root": str(tmp_path / "none"), "source": "demo"}
    run = plan(whole)
    assert list(run.unfetched["demo"]) == ["more"]
    assert len({r.speaker for r in run.pretraining["mine"]}) == 10
