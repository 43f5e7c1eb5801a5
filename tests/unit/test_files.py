"""Nothing is left half written; tables come back as they were."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechsong import files
from speechsong.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- atomic


def test_a_file_appears_whole_at_the_end(tmp_path):
    path = tmp_path / "a" / "b" / "c.csv"
    with files.atomic(path) as temporary:
        assert temporary.parent == path.parent
        # the suffix stays, for those who choose a format by it; hidden, so that nobody takes it for a result
        assert temporary.suffix == ".csv"
        assert temporary.name.startswith(".")
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["c.csv"]


def test_an_earlier_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, UserError, OSError])
@pytest.mark.parametrize("earlier", [True, False])
def test_nothing_is_left_where_writing_breaks_off(tmp_path, error, earlier):
    path = tmp_path / "a.txt"
    if earlier:
        path.write_text("old")
    with pytest.raises(error, match="broke off"), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise error("broke off")
    assert names(tmp_path) == (["a.txt"] if earlier else [])
    if earlier:
        assert path.read_text() == "old"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o000])
def test_permissions_are_those_of_an_ordinary_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        with files.atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with files.atomic(path) as one:
        with files.atomic(path) as other:
            assert one != other
            one.write_text("one")
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 200 + ".csv", "Jürgen, лето 夏.csv", "a b.tar.gz", "夏" * 80 + ".png"])
def test_names_of_any_kind(tmp_path, name):
    with files.atomic(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == [name]


def full_disk_message(caught, path: Path) -> None:
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: cannot be written (the disk is full); ")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_named(tmp_path, code):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UserError) as caught, files.atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    full_disk_message(caught, path)
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_a_disk_that_has_no_room_for_another_name(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    with pytest.raises(UserError) as caught, files.atomic(tmp_path / "a.txt"):
        pytest.fail("there is nowhere to write")
    full_disk_message(caught, tmp_path / "a.txt")


@pytest.fixture
def small_disk(tmp_path, absent):
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        absent("the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    path = small_disk / "a.txt"
    path.write_text("old")
    with pytest.raises(UserError) as caught, files.atomic(path) as temporary:
        temporary.write_bytes(bytes(200_000))
    full_disk_message(caught, path)
    assert names(small_disk) == ["a.txt"]
    assert path.read_text() == "old"


def test_rows_on_a_full_disk(small_disk):
    # the last rows leave the buffer when the stream is closed: that fails too
    rows = [{"clip": f"{i:06d}", "value": i / 7} for i in range(4000)]
    with pytest.raises(UserError) as caught:
        files.write_rows(small_disk / "rows.csv", rows)
    full_disk_message(caught, small_disk / "rows.csv")
    assert names(small_disk) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.txt"
    with pytest.raises(UserError) as caught, files.atomic(path):
        pytest.fail("there is nowhere to write")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: cannot be written (")


# --- rows


def test_rows_as_text(tmp_path):
    files.write_rows(tmp_path / "a.csv", [{"x": 1, "y": None, "z": 0.1}, {"x": "a,b", "y": 'say "hi"', "z": 1 / 3}])
    assert (tmp_path / "a.csv").read_bytes() == b'x,y,z\n1,,0.1\n"a,b","say ""hi""",0.3333333333333333\n'


def test_rows_of_other_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="y"):
        files.write_rows(tmp_path / "a.csv", [{"x": 1}, {"x": 1, "y": 2}])
    assert names(tmp_path) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), TEXT.filter(bool))
def test_rows_come_back(tmp_path_factory, values, column):
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    rows = [{"first": a, "second " + column: b} for a, b in values]
    files.write_rows(path, rows)
    assert files.read_rows(path) == rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=8))
def test_numbers_keep_every_digit(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    files.write_rows(path, [{"x": v} for v in values])
    assert [float(r["x"]) for r in files.read_rows(path)] == values


def test_tables_are_joined_in_order(tmp_path):
    rows = [{"a": "1", "b": "two\nlines"}, {"a": 'q"', "b": ""}, {"a": "ä", "b": "x,y"}, {"a": "last", "b": "z"}]
    for name, some in (("2", rows[:1]), ("1", rows[1:3]), ("3", rows[3:])):
        files.write_rows(tmp_path / name, some)
    files.concatenate([str(tmp_path / n) for n in "213"], tmp_path / "all.csv")
    assert files.read_rows(tmp_path / "all.csv") == rows
    # what is joined is what one table of them all would be
    files.write_rows(tmp_path / "direct.csv", rows)
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "direct.csv").read_bytes()


# --- file systems that lack something, and disks that fail


@pytest.mark.parametrize("lacking", ["chmod", "fsync", "unlink"])
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_permissions_or_fsync_will_do(tmp_path, monkeypatch, lacking, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    where = os if lacking == "fsync" else Path
    monkeypatch.setattr(where, lacking, refuse)
    with files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "a.txt").read_text() == "x"


@pytest.mark.parametrize("code", [errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_disk_that_fails_is_one_line(tmp_path, monkeypatch, code, where):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    elif where == "rename":
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UserError) as caught, files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        if where == "write":
            refuse()
    assert "\n" not in str(caught.value)
    assert f"{tmp_path / 'a.txt'}: cannot be written" in str(caught.value)
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "a.txt").mkdir()
    said = pytest.raises(UserError, match=r"a\.txt: cannot be written \(Is a directory\)")
    with said, files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1\n", "line 2: 1 fields, but the header has 2"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields, but the header has 2"),
        (b"", "has no header"),
        (b"a,a\n1,2\n", "a column twice"),
        (b'a,b\n"1,2\n3,4\n', "is not the table that the workflow wrote"),
        (b"a,b\n\xff,2\n", "is not the table that the workflow wrote"),
    ],
)
def test_a_table_that_the_workflow_did_not_write(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        files.read_rows(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_gone_or_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read \(No such file or directory\)"):
        files.read_rows(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        files.read_rows(tmp_path)


def test_tables_of_other_columns_are_not_joined(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("b,a\n1,2\n")
    (tmp_path / "c.csv").write_text("a,c\n1,2\n")
    (tmp_path / "d.csv").write_text("a,b\n")
    for other in "cd":
        with pytest.raises(UserError, match=rf"{other}\.csv: has no row, or other columns than .*a\.csv"):
            files.concatenate([str(tmp_path / "a.csv"), str(tmp_path / f"{other}.csv")], tmp_path / "all.csv")


# --- digests


def test_the_digest_is_one_that_sha256sum_checks(tmp_path):
    files.write_rows(tmp_path / "a b.csv", [{"x": 1.5}])
    command = ["sha256sum", "--check", "--strict", ".a b.csv.sha256"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout == "a b.csv: OK\n"


@pytest.mark.parametrize("kind", ["one bit", "one digit", "a line less", "a line twice", "cut short"])
def test_no_change_of_a_table_goes_unnoticed(tmp_path, kind):
    path = tmp_path / "fad.csv"
    rng = np.random.default_rng(0)
    files.write_rows(path, [{"emotion": f"e{k}", "fad": value} for k, value in enumerate(rng.gamma(2.0, 9.0, 40))])
    whole = path.read_bytes()
    for _ in range(40):
        lines = whole.splitlines(keepends=True)
        line, place = int(rng.integers(1, len(lines))), int(rng.integers(len(whole)))
        digits = [k for k, byte in enumerate(whole) if 48 <= byte <= 57]
        changed = bytearray(whole)
        if kind == "one bit":
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == "one digit":
            place = digits[int(rng.integers(len(digits)))]
            changed[place] = 48 + (changed[place] - 47) % 10
        elif kind == "a line less":
            changed = b"".join(lines[:line] + lines[line + 1 :])
        elif kind == "a line twice":
            changed = b"".join(lines[:line] + lines[line - 1 :]) if line > 1 else b"".join([*lines, lines[-1]])
        else:
            changed = whole[:place]
        path.write_bytes(changed)
        with pytest.raises(UserError) as caught:
            files.read_rows(path)
        assert str(caught.value) == f"{path}: has changed since the workflow wrote it; delete the file and run again"
    path.write_bytes(whole)
    assert len(files.read_rows(path)) == 40


def test_a_copy_without_its_digest_is_read(tmp_path):
    files.write_rows(tmp_path / "a.csv", [{"x": 1}])
    (tmp_path / "b.csv").write_bytes((tmp_path / "a.csv").read_bytes())
    assert files.read_rows(tmp_path / "b.csv") == [{"x": "1"}]
