"""Logs: the messages of a running job, on the terminal and in its log file."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speechsong.errors import UserError

log = logging.getLogger("speechsong")


class _LogFile(logging.FileHandler):
    """A log whose disk may be full: the terminal has the same lines, and a traceback for each would bury them."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing."""


@contextmanager
def reporting(logfile: str | Path) -> Iterator[None]:
    """Send the package's messages to stderr and to `logfile`; a UserError ends the job with its one line and status 1.

    Parameters
    ----------
    logfile
        The log file of the rule; overwritten.
    """
    path = Path(logfile)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()  # what it points to is not ours
        to_file = _LogFile(path, mode="w", encoding="utf-8")
    except OSError as error:
        print(f"error: {path}: cannot be written ({error.strerror}); free some space or its folder", file=sys.stderr)
        raise SystemExit(1) from None
    # several jobs write to one terminal: the time tells their lines apart
    formatter = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), to_file]
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
        with suppress(OSError), path.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
        raise
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            with suppress(OSError):  # of a full disk
                handler.close()


def progress(total: int, unit: str, seconds: float = 5.0) -> Callable[[int], None]:
    """Return a function that counts what is done, and logs count, rate and time left every few seconds.

    Parameters
    ----------
    total
        The number of units to do.
    unit
        What is counted, in the plural: "clips".
    seconds
        The shortest time between two lines.
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
