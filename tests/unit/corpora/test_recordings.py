"""Which recordings a run has: folders, emotions, speakers; and what is said where something is wrong."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from common import one_line, touch
from speechsong.corpora.readers import scan
from speechsong.corpora.recordings import (
    INCOMPLETE,
    Recording,
    being_filled,
    digest,
    excluded,
    files_below,
    select,
    speaker_blocks,
)
from speechsong.errors import UserError

# --- folders


def test_folders_are_searched_to_the_bottom(tmp_path):
    names = [
        "03-01-02-01-01-01-01.wav",
        "Actor_02/03-01-02-01-01-01-02.WAV",
        "a/b c/ä/03-02-02-01-01-01-03.flac",
        "a/b c/03-02-02-01-01-01-04.Flac",
        "a/03-01-02-01-01-01-05.mp3",
        "a/03-01-02-01-01-01-06.opus",
    ]
    touch(tmp_path, *names, "README.txt", "a/notes.csv", "a/03-01-02-01-01-01-07.mp4", "a/wav")
    assert files_below(str(tmp_path)) == sorted(str(tmp_path / n) for n in names)


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "03-01-02-01-01-01-01.wav")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert files_below(str(tmp_path / "root")) == [str(tmp_path / "root/link/03-01-02-01-01-01-01.wav")]


def test_links_back_to_a_folder_end(tmp_path):
    touch(tmp_path, "a/b/03-01-02-01-01-01-01.wav")
    for name in ("one", "two", "a/three", "a/b/four"):
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    (found,) = files_below(str(tmp_path))
    assert Path(found).samefile(tmp_path / "a/b/03-01-02-01-01-01-01.wav")


def test_only_regular_files_are_recordings(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav")
    os.mkfifo(tmp_path / "03-01-02-01-01-01-02.wav")
    (tmp_path / "03-01-02-01-01-01-03.wav").mkdir()
    (tmp_path / "03-01-02-01-01-01-04.wav").symlink_to(tmp_path / "none")
    (tmp_path / "03-01-02-01-01-01-05.wav").symlink_to("03-01-02-01-01-01-01.wav")
    assert [Path(p).stem[-2:] for p in files_below(str(tmp_path))] == ["01", "05"]


def test_leavings_of_other_programs_are_no_recordings(tmp_path):
    touch(
        tmp_path,
        "03-01-02-01-01-01-01.wav",
        "._03-01-02-01-01-01-01.wav",
        "__MACOSX/Actor_01/03-01-02-01-01-01-02.wav",
        ".trash/03-01-02-01-01-01-03.wav",
    )
    assert files_below(str(tmp_path)) == [str(tmp_path / "03-01-02-01-01-01-01.wav")]


def test_hidden_files_are_no_recordings(tmp_path):
    # `files.atomic` writes to such names; a job that was killed leaves one behind
    touch(tmp_path, "03-01-02-01-01-01-01.wav", ".03-01-02-01-01-01-02.x1y2z3.wav")
    assert files_below(str(tmp_path)) == [str(tmp_path / "03-01-02-01-01-01-01.wav")]


def test_a_folder_that_is_being_filled_has_none_yet(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav", INCOMPLETE)
    assert files_below(str(tmp_path)) == []
    (tmp_path / INCOMPLETE).unlink()
    assert len(files_below(str(tmp_path))) == 1


def test_no_folder_at_all(tmp_path):
    assert files_below(str(tmp_path / "none")) == []


def test_the_mark_goes_when_a_folder_is_filled(tmp_path):
    with being_filled(tmp_path / "new"):
        touch(tmp_path / "new", "03-01-02-01-01-01-01.wav")
        assert files_below(str(tmp_path / "new")) == []
    assert len(files_below(str(tmp_path / "new"))) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_the_mark_stays_where_filling_breaks_off(tmp_path, error):
    with pytest.raises(error), being_filled(tmp_path):
        touch(tmp_path, "03-01-02-01-01-01-01.wav")
        raise error("broke off")
    assert files_below(str(tmp_path)) == []
    # until it is filled after all
    with being_filled(tmp_path):
        pass
    assert len(files_below(str(tmp_path))) == 1


def test_a_digest_changes_with_a_file_and_with_what_is_said_of_it(tmp_path):
    touch(tmp_path, "03-01-02-01-01-01-01.wav", "03-01-02-01-01-01-02.wav")
    recordings = scan("a", {"reader": "ravdess", "root": str(tmp_path), "channel": "speech"})
    first = digest(recordings)
    assert digest(list(recordings)) == first
    seen = {first, digest(recordings[:1]), digest([recordings[0], replace(recordings[1], speaker="9")])}
    path = Path(recordings[1].path)
    stamp = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    seen.add(digest(recordings))  # longer, of the same time
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 10**9))
    seen.add(digest(recordings))  # as long, but older
    path.unlink()
    seen.add(digest(recordings))  # still to be fetched
    assert len(seen) == 6


# --- what a run compares


def made(spec: dict[str, list[str]]) -> list[Recording]:
    """Recordings of each emotion by the speakers given."""
    return [Recording(f"{e}-{s}", f"{e}-{s}.wav", e, s) for e, speakers in spec.items() for s in speakers]


def test_paired_runs_drop_who_is_in_one_domain_only():
    found = {
        "speech": made({"calm": ["01", "18", "19"], "sad": ["01", "18"]}),
        "music": made({"calm": ["01"], "sad": ["01", "20"]}),
    }
    kept, dropped = select(found, ["calm", "sad"], paired=True)
    assert {d: {r.speaker for r in rs} for d, rs in kept.items()} == {"speech": {"01"}, "music": {"01"}}
    assert dropped == ["speech 18", "speech 19", "music 20"]


def test_independent_runs_drop_nobody():
    found = {"speech": made({"calm": ["01", "18"], "sad": ["01"]}), "music": made({"calm": ["a"], "sad": ["b"]})}
    kept, dropped = select(found, ["calm", "sad"], paired=False)
    assert kept == found
    assert dropped == []


def test_other_emotions_are_left_out_and_their_speakers_do_not_count():
    found = {
        "speech": made({"calm": ["01", "02"], "disgust": ["01", "03"]}),
        "music": made({"calm": ["01", "02"], "disgust": ["03"]}),
    }
    kept, dropped = select(found, ["calm"], paired=True)
    assert {r.emotion for rs in kept.values() for r in rs} == {"calm"}
    assert dropped == []


@pytest.mark.parametrize("paired", [True, False])
def test_a_misspelt_emotion_is_named_with_a_suggestion(paired):
    found = {"speech": made({"fearful": ["1"], "sad": ["1"]}), "music": made({"fearful": ["1"], "sad": ["1"]})}
    with pytest.raises(UserError) as caught:
        select(found, ["sad", "fearfull"], paired)
    text = one_line(caught)
    for part in ("`emotions`", "`speech`", "`fearfull`", "did you mean `fearful`?", "it has: fearful, sad"):
        assert part in text


def test_an_emotion_that_one_domain_lacks_is_named():
    found = {"speech": made({"disgust": ["1"], "sad": ["1"]}), "music": made({"sad": ["1"]})}
    with pytest.raises(UserError, match="domain `music` has no recording of `disgust`") as caught:
        select(found, ["sad", "disgust"], paired=True)
    assert "did you mean" not in one_line(caught)


def test_an_emotion_that_only_dropped_speakers_have_is_named():
    found = {"speech": made({"calm": ["1"], "sad": ["2"]}), "music": made({"calm": ["2"], "sad": ["2"]})}
    with pytest.raises(UserError, match="`calm`") as caught:
        select(found, ["calm", "sad"], paired=True)
    assert "`speech`" in one_line(caught)


def test_no_common_speaker():
    found = {"speech": made({"sad": ["1"]}), "music": made({"sad": ["one"]})}
    with pytest.raises(UserError, match=r"`speakers`.*no speaker in common.*`speakers: independent`") as caught:
        select(found, ["sad"], paired=True)
    one_line(caught)


@pytest.mark.parametrize(
    ("names", "others", "differ"),
    [
        (["01", "02"], ["1", "2"], "`01` of speech and `1` of music differ in leading zeros"),
        (["09", "10"], ["9", "10"], "`09` of speech and `9` of music differ in leading zeros"),
        (["anna", "x"], ["Anna", "x"], "`anna` of speech and `Anna` of music differ in case"),
    ],
)
def test_speakers_who_would_be_the_same_but_for_their_spelling(names, others, differ):
    # without a word, nine of ten could be left out
    found = {"speech": made({"sad": names}), "music": made({"sad": others})}
    with pytest.raises(UserError) as caught:
        select(found, ["sad"], paired=True)
    assert differ in one_line(caught)
    assert select(found, ["sad"], paired=False)[0] == found


def test_spellings_that_exist_in_both_domains_are_people():
    found = {d: made({"sad": ["1", "01", "2"]}) for d in ("speech", "music")}
    assert select(found, ["sad"], paired=True) == (found, [])


# --- what is left out


def test_clips_are_left_out_by_a_list_or_by_the_lines_of_a_file(tmp_path):
    names = ["a/1", 'the "second"', "лето #3"]
    text = "# why\n- " + "\n\n- ".join(json.dumps(name, ensure_ascii=False) for name in names)
    (tmp_path / "list.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(names), encoding="utf-8")
    for exclude in (names, str(tmp_path / "list.yaml"), str(tmp_path / "list.txt")):
        assert excluded(exclude) == set(names)
    assert yaml.safe_load(text) == names
    assert excluded(None) == excluded([]) == frozenset()


@pytest.mark.parametrize("content", [None, b"caf\xe9", b'- "open\n'])
def test_a_list_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError) as caught:
        excluded(str(tmp_path / "list.txt"))
    assert str(tmp_path / "list.txt") in one_line(caught)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, 60).map(str), min_size=1, max_size=40), st.integers(2, 12))
def test_speaker_blocks(speakers, blocks):
    found = speaker_blocks(speakers, blocks)
    assert found.keys() == speakers
    sizes = Counter(found.values())
    assert sorted(sizes) == list(range(min(blocks, len(speakers))))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    # in whatever order they come
    assert speaker_blocks(set(reversed(sorted(speakers))), blocks) == found
