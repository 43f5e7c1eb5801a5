"""Tables of recordings: every way in which people write them, and what is said where one could be misread."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from common import one_line, touch
from speechsong.corpora.readers import scan, survey
from speechsong.corpora.recordings import Recording, digest
from speechsong.corpora.tables import read_table
from speechsong.errors import UserError

# --- tables


def table(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "corpus.csv").write_text(text, encoding=encoding)
    return str(folder / "corpus.csv")


def test_a_table_with_three_columns(tmp_path):
    touch(tmp_path, "x/1.wav", "x/2.flac")
    found = read_table(table(tmp_path, "path,emotion,speaker\nx/1.wav,sad,ann\nx/2.flac,calm,ben\n"), None)
    assert found == [
        Recording("x/1", str(tmp_path / "x/1.wav"), "sad", "ann"),
        Recording("x/2", str(tmp_path / "x/2.flac"), "calm", "ben"),
    ]


def test_a_table_with_every_column_in_another_order(tmp_path):
    touch(tmp_path, "1.wav")
    header = "note,speaker,gender,take,clip_id,intensity,emotion,statement,path"
    found = read_table(table(tmp_path, f"{header}\nhm,ann,female,02,first,strong,sad,kids,1.wav\n"), None)
    assert found == [
        Recording("first", str(tmp_path / "1.wav"), "sad", "ann", "female", "kids", "02", "strong"),
    ]


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path):
    touch(tmp_path, "1.wav")
    text = "path,emotion,speaker\r\n1.wav,sad,ann\r\n"
    assert len(read_table(table(tmp_path, text, "utf-8-sig"), None)) == 1


@pytest.mark.parametrize(
    "name", ["two words.wav", "comma, and.wav", 'a "quote".wav', "Jürgen/лето/夏.wav", "a.b.c.wav", " lead.wav"]
)
def test_names_of_any_kind(tmp_path, name):
    touch(tmp_path, name)
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "emotion", "speaker"], [name, "sad", "Zoë, the 1st"]])
    (found,) = read_table(str(tmp_path / "t.csv"), None)
    assert (found.path, found.speaker) == (str(tmp_path / name), "Zoë, the 1st")
    assert found.clip_id == name.removesuffix(".wav")


def test_paths_start_from_the_table_from_root_or_nowhere(tmp_path):
    touch(tmp_path, "lists/1.wav", "audio/1.wav", "far/1.wav")
    (tmp_path / "lists/t.csv").write_text("path,emotion,speaker\n1.wav,sad,ann\n")
    listed, rooted = (
        read_table(str(tmp_path / "lists/t.csv"), root)[0].path for root in (None, str(tmp_path / "audio"))
    )
    assert (listed, rooted) == (str(tmp_path / "lists/1.wav"), str(tmp_path / "audio/1.wav"))
    (tmp_path / "lists/t.csv").write_text(f"path,emotion,speaker\n{tmp_path}/far/1.wav,sad,ann\n")
    for root in (None, str(tmp_path / "audio")):
        assert read_table(str(tmp_path / "lists/t.csv"), root)[0].path == str(tmp_path / "far/1.wav")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,emotion\n1.wav,sad\n", ["column speaker is missing"]),
        ("file,label\n1.wav,sad\n", ["column emotion, path, speaker is missing"]),
        ("path|emotion|speaker\n1.wav|sad|ann\n", ["column emotion, path, speaker is missing"]),
        ("", ["column emotion, path, speaker is missing"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n1.wav,,ann\n", ["line 3", "column emotion is empty"]),
        ("path,emotion,speaker\n1.wav,sad,  \n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n1.wav,sad\n", ["line 2", "column speaker is empty"]),
        ("path,emotion,speaker\n,sad,ann\n", ["line 2", "column path is empty"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n2.wav,sad,ann\n", ["line 3", "there is no file", "2.wav"]),
        ("path,emotion,speaker\n3.wav,sad,ann\n2.wav,sad,ann\n", ["line 2", "3.wav", "2 rows are like this"]),
        ("path,emotion,speaker\n1.wav,happy, very,1\n", ["line 2", "4 fields", "header has 3"]),
        ("path,emotion,speaker\n1.wav,sad,ann\n\n1.wav,sad,ann,\n", ["line 4", "4 fields", "header has 3"]),
        ("path,emotion,speaker,Speaker \n1.wav,sad,ann,ben\n", ["2 columns are called speaker"]),
        ('path,emotion,speaker\n1.wav,sad,"ann\n1.wav,sad,ben\n', ["line 2", "quotation mark"]),
        ('path,emotion,speaker\n1.wav,sad,"a\n1.wav,sad,b"\n', ["line 2", "column speaker", "quotation mark"]),
        ('path,emotion,speaker\n1.wav,sad,"a"b\n', ["line 2", "quotation mark"]),
        ('path,emotion,"speaker\n1.wav,sad,ann\n', ["line 1"]),
        ("path,emotion,speaker\n1.wav,sad,an\x00n\n", ["line 2"]),
        ("path,emotion,speaker\n" + 300 * "1" + ".wav,sad,ann\n", ["line 2", "cannot be opened", "too long"]),
        ("path,emotion,speaker\n" + 200_000 * "1" + ".wav,sad,ann\n", ["line 2", "field limit"]),
        ("path,emotion,speaker\n.,sad,ann\n", ["line 2", "not a regular file"]),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, parts):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, text)
    with pytest.raises(UserError) as caught:
        read_table(path, None)
    found = one_line(caught)
    for part in (path, *parts):
        assert part in found


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: there is no such table.*`corpora\.\*\.table`") as caught:
        read_table(str(tmp_path / "none.csv"), None)
    one_line(caught)


def test_a_table_that_is_not_utf8_is_named(tmp_path):
    # as spreadsheets still save it
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,Zoë\n", "latin-1")
    with pytest.raises(UserError) as caught:
        read_table(path, None)
    assert path in one_line(caught)


def test_a_clip_twice_in_a_table(tmp_path):
    (tmp_path / "1.wav").write_text("1")
    (tmp_path / "2.wav").write_text("2")
    path = table(tmp_path, "path,emotion,speaker,clip_id\n1.wav,sad,ann,a\n2.wav,sad,ann,a\n")
    with pytest.raises(UserError, match=r"corpus `talk`: clip a is there twice"):
        scan("talk", {"reader": "table", "table": path})


def test_a_table_is_scanned_sorted_by_clip(tmp_path):
    touch(tmp_path, "1.wav", "2.wav", "3.wav")
    path = table(tmp_path, "path,emotion,speaker\n3.wav,sad,ann\n1.wav,calm,ben\n2.wav,calm,ben\n")
    assert [r.clip_id for r in scan("talk", {"reader": "table", "table": path})] == ["1", "2", "3"]


# --- as people have them


def test_the_shared_cases_that_are_read(shared):
    folder = shared / "cases" / "tables"
    for name in ("semicolons", "tabs", "header_case", "backslashes", "empty_last_line"):
        (found,) = read_table(str(folder / f"{name}.csv"))
        assert (found.emotion, found.speaker, found.clip_id) == ("happy", "1", "../audio/a")
        assert Path(found.path).samefile(shared / "cases/audio/a.wav")
    (found,) = read_table(str(folder / "utf16.csv"))
    assert found.emotion == "glücklich"
    assert [r.speaker for r in read_table(str(folder / "zeros_kept.csv"))] == ["01", "02"]


def test_one_file_with_two_labels(shared):
    with pytest.raises(UserError) as caught:
        scan("talk", {"reader": "table", "table": str(shared / "cases/tables/two_labels.csv")})
    text = one_line(caught)
    for part in ("`talk`", "two labels", "`happy`", "`sad`", "a.wav"):
        assert part in text


def test_one_file_with_two_speakers(tmp_path):
    touch(tmp_path, "1.wav", "x/2.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,ann\nx/../1.wav,sad,ben\n")
    with pytest.raises(UserError, match=r"two labels.*`ann`.*`ben`"):
        scan("talk", {"reader": "table", "table": path})


def test_a_row_that_is_there_twice_counts_once(tmp_path):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,ann\n./1.wav,sad,ann\n")
    found, (note,) = survey("talk", {"reader": "table", "table": path})
    assert len(found) == 1
    assert "left out copies of 1 recordings" in note


def test_a_row_that_is_there_twice_in_two_parts_of_a_split(tmp_path):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker,split\n1.wav,sad,ann,train\n1.wav,sad,ann,test\n")
    with pytest.raises(UserError, match="there twice"):
        scan("talk", {"reader": "table", "table": path})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_save(tmp_path, separator, encoding):
    touch(tmp_path, "1.wav", "2.wav")
    rows = ['"1.wav"', "traurig, sehr", "007"], ["2.wav", "fröhlich; ja", "08"]
    with (tmp_path / "t.csv").open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerows([["Path ", " EMOTION", "Speaker", ""], [rows[0][0].strip('"'), *rows[0][1:], ""]])
        writer.writerows([[*rows[1], ""], ["", "", "", ""]])
    found = read_table(str(tmp_path / "t.csv"))
    assert [(r.emotion, r.speaker) for r in found] == [("traurig, sehr", "007"), ("fröhlich; ja", "08")]


def test_a_comma_in_a_note_of_several_lines(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")
    text = 'path,note,emotion,speaker\n1.wav,"one,\ntwo",sad,ann\n2.wav,,sad,\n'
    with pytest.raises(UserError, match="line 4: column speaker is empty"):
        read_table(table(tmp_path, text))


def test_columns_of_other_names(tmp_path):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "file,path,Emo,SpkrID,fold\n1.wav,none,sad,ann,3\n")
    columns = {"path": "file", "emotion": "emo", "speaker": "SpkrID"}
    (found,) = read_table(path, columns=columns)
    assert (found.clip_id, found.emotion, found.speaker, found.split) == ("1", "sad", "ann", "3")
    with pytest.raises(UserError) as caught:
        read_table(path, columns=columns | {"speaker": "SpkID"})
    text = one_line(caught)
    for part in (path, "SpkID", "`columns.speaker`", "did you mean `spkrid`?"):
        assert part in text


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    touch(tmp_path, "a/1.wav", "a\\1.wav")
    (found,) = read_table(table(tmp_path, "path,emotion,speaker\na\\1.wav,sad,ann\n"))
    assert found.path == str(tmp_path / "a\\1.wav")


def test_clips_that_are_left_out_need_no_file(tmp_path):
    touch(tmp_path, "1.wav")
    path = table(tmp_path, "path,emotion,speaker\n1.wav,sad,ann\n2.wav,sad,ann\n")
    assert [r.clip_id for r in read_table(path, excluded={"2"})] == ["1"]
    with pytest.raises(UserError, match=r"no clip `2\.wav`"):
        read_table(path, excluded={"2", "2.wav"})


def test_a_relative_path_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("path,emotion,speaker\n1.wav,sad,ann\n")
    with pytest.raises(UserError) as caught:
        read_table("t.csv")
    assert str(tmp_path / "1.wav") in one_line(caught)
    with pytest.raises(UserError) as caught:
        read_table("none.csv")
    assert str(tmp_path / "none.csv") in one_line(caught)


def test_pipes_are_neither_tables_nor_recordings(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no such table"):
        read_table(str(tmp_path / "pipe"))
    with pytest.raises(UserError, match=r"line 2: .*pipe is not a regular file"):
        read_table(table(tmp_path, "path,emotion,speaker\npipe,sad,ann\n"))


def test_a_workbook_is_not_a_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UserError, match=r"t\.csv: this is a zip archive or an office document"):
        read_table(str(tmp_path / "t.csv"))


def test_a_split_changes_no_digest(tmp_path):
    # embeddings do not depend on it
    touch(tmp_path, "1.wav")
    found = [read_table(table(tmp_path, f"path,emotion,speaker,split\n1.wav,sad,ann,{split}\n")) for split in "12"]
    assert digest(found[0]) == digest(found[1])
    assert [some[0].split for some in found] == ["1", "2"]
