"""Files and messages: the errors that a user can mend, and writing that leaves nothing half done."""

from __future__ import annotations

import csv
import difflib
import errno
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("speechsong")


class UserError(Exception):
    """A mistake that the user can mend: one line that names the file or key and the remedy."""


def closest(name: object, known: Iterable) -> str:
    """Suggest, as the end of a message, the known name that is most like a misspelt one; empty if none is."""
    found = difflib.get_close_matches(str(name), [str(k) for k in known], n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    Parameters
    ----------
    path
        The file to be written. Its folder is made if need be.

    Yields
    ------
    Path
        A name in the same folder, to be written by the caller.

    Raises
    ------
    UserError
        Where the disk is full, the quota used up or the folder not writable.
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
            # or a power cut may leave the new name with nothing in it
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


@contextmanager
def reporting(logfile: str | Path) -> Iterator[None]:
    """Send the package's messages to stderr and to `logfile`; end on a UserError with its one line and status 1.

    Parameters
    ----------
    logfile
        The log file of the rule; overwritten.
    """
    path = Path(logfile)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a line that names its rule stays readable when several jobs write to one terminal
    formatter = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
    handlers = [logging.StreamHandler(sys.stderr), logging.FileHandler(path, mode="w", encoding="utf-8")]
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except UserError as error:
        log.error("error: %s", error)
        raise SystemExit(1) from None
    except Exception:
        with path.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
        raise
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def progress(total: int, unit: str, seconds: float = 5.0) -> Callable[[int], None]:
    """Return a function to be told how much more is done; it logs count, rate and time left now and then.

    Parameters
    ----------
    total
        How many units the work has.
    unit
        What is counted, in the plural: "clips".
    seconds
        The least time between two lines.
    """
    start = last = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal last, done
        done += count
        now = time.monotonic()
        if now - last < seconds and done < total:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        left = (total - done) / rate
        log.info("%d/%d %s, %.1f %s a second, %s left", done, total, unit, rate, unit, _clock(left))

    return advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def stamps(paths: list[str]) -> list[list]:
    """Give the path, size and time of each file: what tells that one was replaced."""
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
