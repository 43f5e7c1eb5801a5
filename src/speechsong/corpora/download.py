"""Downloads over HTTP: a file of known size and digest, either complete and checked or not at all.

An interrupted download resumes where it stopped, in this run or in the next.
"""

from __future__ import annotations

import errno
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from speechsong import __version__, files
from speechsong.errors import UserError
from speechsong.logs import log, progress

BLOCK = 1_000_000  # bytes read at a time
TIMEOUT = 15.0  # seconds without a byte until a connection counts as broken
WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds to wait before each retry; starts again after a try with progress
LONGEST_WAIT = 600.0  # seconds that a server may ask to wait for
SLOW = 60.0  # seconds after which a connection that brings less than LEAST_RATE counts as broken
LEAST_RATE = 1000  # bytes a second

# errors of the disk, not of the network
DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EFBIG,
    errno.EIO,
)


class Unavailable(UserError):
    """The server cannot be reached or does not provide the file; `cause` is the reason without the remedy."""

    def __init__(self, url: str, cause: str, remedy: str):
        super().__init__(f"{url}: {cause}; {remedy}")
        self.cause = cause


class _Broken(Exception):
    """A connection that failed or ended before the last byte; it is worth another try after `wait` seconds or more."""

    def __init__(self, cause: str, answered: bool, wait: float = 0):
        super().__init__(cause)
        self.answered = answered
        self.wait = wait


def download(url: str, path: str | Path, size: int, sha256: str) -> None:
    """Download a file whose size and digest are known.

    The bytes go to `path` + ".part", which a later call continues. `path` itself appears only when the file is complete
    and correct. A broken connection is resumed a few times before the call gives up.

    Parameters
    ----------
    url
        An http or https address.
    path
        The file to be written; replaced if it exists.
    size
        Its size in bytes.
    sha256
        Its SHA-256 digest in hexadecimal.

    Raises
    ------
    UserError
        If the server cannot be reached or sends something else, or the disk is full.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise UserError(f"{url}: only http and https addresses can be downloaded; correct the address")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    furthest = _length(part)
    failures, answered = 0, False
    log.info("downloading %s (%d MB, %d MB of it here already)", url, size // 10**6, furthest // 10**6)
    while _length(part) != size:
        try:
            _receive(url, path, part, size, sha256)
        except _Broken as broken:
            answered = answered or broken.answered
            # only bytes beyond all earlier tries count: otherwise a server that cannot resume would be asked for ever
            failures = 1 if _length(part) >= furthest + BLOCK else failures + 1
            furthest = max(furthest, _length(part))
            # without any network there is nothing to wait for
            hopeless = not answered and (failures > 1 or time.monotonic() - start > 10)
            if hopeless or failures > len(WAITS):
                raise Unavailable(
                    url,
                    str(broken),
                    f"run again when the network is back, or download it with a browser and save it as {path}",
                ) from broken
            pause = max(WAITS[failures - 1], broken.wait)
            if pause > LONGEST_WAIT:
                raise Unavailable(
                    url,
                    f"{broken} and asks to wait for {pause / 60:.0f} minutes",
                    f"run again then, or download it with a browser and save it as {path}",
                ) from broken
            log.info("%s: %s; trying again in %g s", url, broken, pause)
            time.sleep(pause)
    received = files.sha256(part)
    if received != sha256:
        raise _refused(url, path, part, size, sha256, f"a file with the digest {received}")
    with writing(path):
        put(part, path)


def _receive(url: str, path: Path, part: Path, size: int, sha256: str) -> None:
    """Append the bytes of one connection to `part`."""
    have = _length(part)
    if have > size:
        part.unlink()
        have = 0
    headers = {"User-Agent": f"speechsong/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:
            part.unlink()
            return _receive(url, path, part, size, sha256)
        cause = f"the server answered {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:
            raise _Broken(one_line(cause), answered=True, wait=_asked_to_wait(error)) from error
        raise Unavailable(
            url, one_line(cause), f"download it from its page with a browser and save it as {path}"
        ) from error
    except (OSError, HTTPException) as error:
        raise _Broken(f"{urlsplit(url).hostname} cannot be reached ({reason(error)})", answered=False) from error
    except ValueError as error:
        raise _Broken(f"the server redirects to an address that is none ({one_line(error)})", answered=True) from error
    with response:
        begin, total = _extent(response)
        if response.headers.get_content_type() == "text/html":
            raise _refused(url, path, part, size, sha256, "a web page")
        if total not in (None, size):
            raise _refused(url, path, part, size, sha256, f"{total} bytes")
        if begin not in (0, have):
            part.unlink(missing_ok=True)
            raise _Broken(f"the server sent the bytes from {begin} on instead of from {have}", answered=True)
        have = begin
        advance = progress(math.ceil((size - have) / BLOCK), "MB")
        since, before = time.monotonic(), have
        with writing(part), part.open("ab" if have else "wb") as stream:
            while block := _read(response):
                if have == 0 and block.lstrip()[:1] == b"<":
                    raise _refused(url, path, part, size, sha256, "a web page")
                have += len(block)
                if have > size:
                    raise _refused(url, path, part, size, sha256, "more bytes")
                stream.write(block)
                advance(-(-(have - begin) // BLOCK) - -(-(have - begin - len(block)) // BLOCK))
                if time.monotonic() - since > SLOW:
                    if have - before < LEAST_RATE * (time.monotonic() - since):
                        raise _Broken(f"only {have - before} bytes arrived in {SLOW:g} s", answered=True)
                    since, before = time.monotonic(), have
    if have < size:
        raise _Broken(f"the connection broke off after {have} of {size} bytes", answered=True)


def _read(response: HTTPResponse) -> bytes:
    # apart from writing: an error of the disk is an OSError too, and must not count as a broken connection
    try:
        # what has arrived, not a whole block: whoever sends a byte now and then must not keep it waiting
        return response.read1(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection broke off ({reason(error)})", answered=True) from error


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """Return where in the file the response begins, and how long the file is if the server says so."""
    if response.status == 206:
        match = re.fullmatch(
            r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", "").strip()
        )
        if match is None:
            raise _Broken("the server sent a part of the file without saying which", answered=True)
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    if len(length) > 18:
        raise _Broken("the server announces a length that no file has", answered=True)
    return 0, int(length) if length.isdecimal() else None


def _asked_to_wait(answer: HTTPError) -> float:
    """Return the seconds of the header Retry-After, which is a number or a date; 0 without one."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _refused(url: str, path: Path, part: Path, size: int, sha256: str, received: str) -> UserError:
    part.unlink(missing_ok=True)
    return UserError(
        f"{url}: expected {size} bytes with SHA-256 {sha256}, got {received}; "
        f"run again, or download it with a browser and save it as {path}"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def put(source: Path, place: Path) -> None:
    """Move a file into place, so that a power cut leaves all of it or nothing."""
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    source.replace(place)


def unwritable(path: Path, error: OSError) -> UserError:
    cause = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else reason(error)
    return UserError(
        f"{path}: cannot be written ({cause}); free some space or make its folder writable, then run again; "
        "what is downloaded already is kept"
    )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def reason(error: object) -> str:
    # urllib wraps the system's error
    inner = getattr(error, "reason", error)
    return one_line(getattr(inner, "strerror", None) or inner) or type(inner).__name__


def one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
