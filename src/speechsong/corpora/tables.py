"""Tables: a corpus described by a CSV with one row per recording.

Whatever could be read in two ways is refused: rows with too many fields, quotation marks that are not closed, columns
of the same name. Snakemake lists corpora whenever it parses the workflow, so this module imports nothing heavy.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechsong import files
from speechsong.corpora.recordings import Recording, check_excluded
from speechsong.errors import UserError, closest

NEEDED = ("path", "emotion", "speaker")
OPTIONAL = ("clip_id", "gender", "statement", "take", "intensity", "session", "split")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_table(
    table: str,
    root: str | None = None,
    columns: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
) -> list[Recording]:
    """Read a corpus from a CSV: columns path, emotion, speaker and, optionally, the other fields of `Recording`.

    Fields are separated by commas, semicolons or tabs, whichever the header shows. Spaces around the names of columns
    and their case do not count. Empty rows are none.

    Parameters
    ----------
    table
        The CSV, in UTF-8, or in UTF-16 with a byte order mark.
    root
        The folder that paths are relative to; the table's own if None.
    columns
        Names of columns in the table, by field, where they differ.
    excluded
        Clips to be left out, whose files need not exist.

    Raises
    ------
    UserError
        If a column, a value or a file is missing, or the table can be read in two ways.
    """
    base = Path(root) if root else Path(table).parent
    recordings, missing, known = [], [], set()
    for line, row in _rows(table, columns or {}):
        where = f"{table}, line {line}"
        for field, value in row.items():
            if _CONTROL.search(value):
                raise UserError(f"{where}: column {field} holds a line break or tab; is a quotation mark not closed?")
            if field in NEEDED and not value.strip():
                raise UserError(f"{where}: column {field} is empty; fill it in or remove the row")
        path, place, problem = _find(base, row["path"])
        given: dict[str, Any] = {field: row[field] for field in OPTIONAL[1:] if field in row}
        name = Path(path)
        clip_id = row.get("clip_id") or str(name.with_suffix("") if name.name else name)
        known.add(clip_id)
        if clip_id in excluded:
            continue
        if problem:
            missing.append(f"{where}: {problem}; correct the path, or remove the row")
        recordings.append(Recording(clip_id, place, row["emotion"], row["speaker"], **given))
    check_excluded(excluded, known, table)
    if missing:
        raise UserError(missing[0] + (f" ({len(missing)} rows are like this)" if missing[1:] else ""))
    return recordings


def _rows(table: str, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row that is not empty, with the number of its first line, as the fields that are used."""
    text = _text(table)
    delimiter, header = _header(table, text.splitlines()[:1], columns)
    places = _places(table, header, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    last = 0
    try:
        for row in reader:
            line, last = last + 1, reader.line_num
            if line == 1 or not "".join(row).strip():
                continue
            if len(row) > len(header):
                raise UserError(
                    f"{table}, line {line}: {len(row)} fields, but the header has {len(header)}; "
                    f"put quotation marks around a field that holds a {_NAMES[delimiter]}"
                )
            row += [""] * (len(header) - len(row))
            # a file name may begin or end with a space
            yield line, {f: row[place] if f == "path" else row[place].strip() for f, place in places.items()}
    except csv.Error as error:
        raise UserError(
            f"{table}, line {last + 1}: this row cannot be read ({error}); close its quotation mark, and double the "
            "quotation marks inside a field"
        ) from None


def _text(table: str) -> str:
    if not files.is_file(table):
        where = Path(table).absolute()
        raise UserError(f"{where}: there is no such table; set `corpora.*.table` to a CSV with path, emotion, speaker")
    raw = files.read_bytes(table)
    kind = files.recognise(table)
    if kind:
        raise UserError(f"{table}: this is {kind}; the table must be a CSV in UTF-8")
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        name = "UTF-16" if wide else "UTF-8"
        raise UserError(f"{table}: not {name} ({error.reason}); save the table as CSV in UTF-8") from None


_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}


def _header(table: str, first: list[str], columns: Mapping[str, str]) -> tuple[str, list[str]]:
    """Find the separator that gives the needed columns."""
    headers = {}
    for delimiter in _NAMES:
        try:
            names = next(csv.reader(first, delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise UserError(f"{table}, line 1: the header cannot be read ({error})") from None
        headers[delimiter] = [_plain(name) for name in names]
    wanted = {_plain(columns.get(field, field)) for field in NEEDED}
    return next(((d, names) for d, names in headers.items() if wanted <= set(names)), (",", headers[","]))


def _places(table: str, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    names = {field: _plain(columns.get(field, field)) for field in (*NEEDED, *OPTIONAL)}
    if "split" not in columns and "split" not in header:
        names["split"] = "fold"
    missing = sorted(field for field in NEEDED if field not in columns and names[field] not in header)
    if missing:
        raise UserError(
            f"{table}: column {', '.join(missing)} is missing; it needs path, emotion, speaker, separated by commas, "
            "or the key `columns` with other names for them"
        )
    for field, name in names.items():
        if field in columns and name not in header:
            raise UserError(
                f"{table}: there is no column {columns[field]}, which the key `columns.{field}` names"
                f"{closest(name, header)}"
            )
        if header.count(name) > 1:
            raise UserError(f"{table}: {header.count(name)} columns are called {name}; rename all but one")
    return {field: header.index(name) for field, name in names.items() if name in header}


def _plain(name: str) -> str:
    return name.strip().casefold()


def _find(base: Path, name: str) -> tuple[str, str, str]:
    """Return the path as the table would rightly give it, the whole path, and what is wrong with it."""
    problem = ""
    for path in (name, name.replace("\\", "/")):
        where = base / path
        try:
            status = os.stat(where)  # noqa: PTH116 (twice as fast)
        except FileNotFoundError:
            problem = problem or f"there is no file {where.absolute()}"
        except (OSError, ValueError) as error:
            problem = f"{where.absolute()} cannot be opened ({getattr(error, 'strerror', None) or error})"
        else:
            problem = "" if stat.S_ISREG(status.st_mode) else f"{where.absolute()} is not a regular file"
            break
    return path, str(where), problem
