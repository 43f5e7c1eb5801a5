"""Files: atomic writing, and plain CSV tables, each with a digest beside it that shows any change."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speechsong.errors import UserError

# what file systems answer that cannot change permissions or wait for the disk
_LACKING = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOTTY)
# errors of the disk, whatever the caller was writing
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)
_AGAIN = "delete the file and run again"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; rename it to `path` if the block succeeds, delete it otherwise.

    Parameters
    ----------
    path
        The file to be written. Its folder is created if missing.

    Yields
    ------
    Path
        The temporary file, in the same folder, for the caller to write.

    Raises
    ------
    UserError
        If the disk is full or fails, the quota or the largest size of a file is used up, or the folder is not writable.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(_cannot_write(path, error)) from error
    temporary = Path(name)
    try:
        yield temporary
        with _where_possible():
            temporary.chmod(0o666 & ~_umask())
        with _where_possible(), temporary.open("rb") as stream:
            # a power cut could otherwise leave an empty file under the new name
            os.fsync(stream.fileno())
        try:
            temporary.replace(path)
        except OSError as error:
            raise UserError(_cannot_write(path, error)) from error
    except OSError as error:
        if error.errno in _DISK:
            raise UserError(_cannot_write(path, error)) from error
        raise
    finally:
        # on a disk that fails, the error above says more
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _where_possible() -> Iterator[None]:
    """Go on where a file system lacks an operation (CIFS, exFAT, mounted buckets)."""
    try:
        yield
    except OSError as error:
        if error.errno not in _LACKING:
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = "the disk is full" if full else (error.strerror or str(error))
    return f"{path}: cannot be written ({cause}); free some space or point `results` elsewhere, then run again"


def stamps(paths: list[str]) -> list[list]:
    """List path, size and modification time (ns) of each file, which show whether one was replaced."""
    return [[str(path), Path(path).stat().st_size, Path(path).stat().st_mtime_ns] for path in paths]


def sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits, without holding it in memory."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(path: str | Path) -> Path:
    """Name the file that holds the digest of a CSV; it is hidden, and `sha256sum --check` can read it."""
    return Path(path).with_name(f".{Path(path).name}.sha256")


@contextmanager
def sealed(path: str | Path) -> Iterator[Path]:
    """Write a CSV as `atomic` does, and its digest beside it, so that every reader sees whether it has changed.

    Parameters
    ----------
    path
        The file to be written.

    Yields
    ------
    Path
        The temporary file, for the caller to write.

    Raises
    ------
    UserError
        As `atomic` does.
    """
    path = Path(path)
    with atomic(path) as temporary:
        yield temporary
        with atomic(digest_of(path)) as beside:
            beside.write_text(f"{sha256(temporary)}  {path.name}\n", encoding="utf-8")


def write_rows(path: str | Path, rows: list[dict], *, seal: bool = True) -> None:
    """Write dictionaries with the same keys as a CSV with a header; floats keep every digit, None is empty."""
    with (sealed if seal else atomic)(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV that the workflow wrote, with a header, as dictionaries of strings.

    Raises
    ------
    UserError
        If it cannot be read, or has a row with more or fewer fields than the header.
    """
    with table(path), Path(path).open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream, strict=True)
        header = next(reader, [])
        if not header or len(set(header)) < len(header):
            raise UserError(f"{path}: has no header, or a column twice; {_AGAIN}")
        rows = []
        for fields in reader:
            if len(fields) != len(header):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, but the header has {len(header)}; {_AGAIN}"
                )
            rows.append(dict(zip(header, fields, strict=True)))
    return rows


@contextmanager
def table(path: str | Path) -> Iterator[None]:
    """Check the digest of a CSV of the workflow; turn whatever goes wrong while it is read or used into one line.

    Raises
    ------
    UserError
        If the file has changed since it was written; and in the place of errors of the system, of `csv` and of pandas.
    """
    try:
        beside = digest_of(path)
        # a copy may have lost it
        if beside.is_file() and beside.read_bytes().split()[:1] != [sha256(path).encode()]:
            raise UserError(f"{path}: has changed since the workflow wrote it; {_AGAIN}")
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); restore it, or run again") from error
    # pandas' errors are ValueErrors and TypeErrors, and a column that is not there is a KeyError
    except (csv.Error, ValueError, TypeError, KeyError, OverflowError) as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: is not the table that the workflow wrote ({cause}); {_AGAIN}") from error


def concatenate(parts: list[str], path: str | Path) -> None:
    """Join CSV files, in the order given.

    Raises
    ------
    UserError
        If one cannot be read, has no row, or has other columns than the first.
    """
    rows: list[dict[str, str]] = []
    for part in parts:
        some = read_rows(part)
        if not some or (rows and some[0].keys() != rows[0].keys()):
            raise UserError(f"{part}: has no row, or other columns than {parts[0]}; {_AGAIN}")
        rows += some
    write_rows(path, rows)


def is_file(path: str | Path) -> bool:
    """Tell whether there is a regular file; a name that no file can have, or a folder that is closed, has none."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def read_bytes(path: str | Path) -> bytes:
    """Read a file that a user names.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); correct its permissions"
        raise UserError(f"{Path(path).absolute()}: {problem}") from None


# first bytes of files that stand in the place of others
_KINDS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (rb"\s*(?i:<!doctype html|<html)", "a web page: download the file itself"),
    (rb"PK\x03\x04", "a zip archive or an office document: unpack or export it"),
    (rb"....ftyp", "M4A or a video: convert it with {ffmpeg}"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA or a video: convert it with {ffmpeg}"),
    (rb"\x1a\x45\xdf\xa3|RIFF....AVI ", "a video: convert it with {ffmpeg}"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC: convert it with {ffmpeg}"),
)


def recognise(path: str | Path) -> str:
    """Say what a file is, and what to do with it, if its first bytes are those of something that is not readable here.

    Parameters
    ----------
    path
        A file that was meant to be a recording, a table or a checkpoint.

    Returns
    -------
    str
        Such as "a web page: download the file itself"; empty if it is nothing of the kind.
    """
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(64)
    except OSError:
        return ""
    ffmpeg = f"`ffmpeg -i {shlex.quote(Path(path).name)} {shlex.quote(Path(path).stem)}.wav`"
    kinds = (text for pattern, text in _KINDS if re.match(pattern, start, re.DOTALL))
    return next(kinds, "").format(ffmpeg=ffmpeg)
