"""Files: atomic writing, and plain CSV tables."""

from __future__ import annotations

import csv
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechsong.errors import UserError


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
        If the disk is full, the quota is used up or the folder is not writable.
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
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as stream:
            # a power cut could otherwise leave an empty file under the new name
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if _is_full(error):
            raise UserError(_cannot_write(path, error)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _cannot_write(path: Path, error: OSError) -> str:
    cause = "the disk is full" if _is_full(error) else (error.strerror or str(error))
    return f"{path}: cannot be written ({cause}); free some space or point `results` elsewhere, then run again"


def stamps(paths: list[str]) -> list[list]:
    """List path, size and modification time (ns) of each file, which show whether one was replaced."""
    return [[str(path), Path(path).stat().st_size, Path(path).stat().st_mtime_ns] for path in paths]


def write_rows(path: str | Path, rows: list[dict]) -> None:
    """Write dictionaries with the same keys as a CSV with a header; floats keep every digit, None is empty."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV with a header as dictionaries of strings."""
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def concatenate(parts: list[str], path: str | Path) -> None:
    """Join CSV files with the same header, in the order given."""
    write_rows(path, [row for part in parts for row in read_rows(part)])
