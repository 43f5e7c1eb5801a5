"""Downloads: RAVDESS from Zenodo and encoders from the Hugging Face hub, whole and checked or not at all.

What breaks off is taken up again by the next run, and what cannot be had ends in one line that says where
to get it and where to put it by hand.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from speechsong import __version__
from speechsong.corpora import CHANNELS, EMOTIONS, INCOMPLETE, SUFFIXES
from speechsong.files import UserError, log, progress

BLOCK = 1_000_000  # bytes read at a time
TIMEOUT = 15.0  # seconds without a byte until a connection counts as broken
WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each new try that follows one without progress
HUB_TIMEOUT = 6.0  # seconds; a firewall that swallows packets costs it once for each address of the hub

# a song or a sentence of speech shrinks to a third at best
_LARGEST_RATIO = 20
_LARGEST_CORPUS = 10_000_000_000

_CONFIG = "config.json"
_PREPROCESSOR = "preprocessor_config.json"
_INDEX = "model.safetensors.index.json"
_WEIGHTS = ("model.safetensors", _INDEX, "pytorch_model.bin")
_HUB_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors")

# what a disk, not a network, fails with
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EFBIG, errno.EIO)


@dataclass(frozen=True)
class Archive:
    """A zip to be downloaded: its name without .zip, what it must be, and the folder that it is unpacked into."""

    name: str
    url: str
    size: int
    sha256: str
    folder: str


def _zenodo(name: str, size: int, sha256: str) -> Archive:
    return Archive(name, f"https://zenodo.org/records/1188976/files/{name}.zip?download=1", size, sha256, name)


RAVDESS = {
    "speech": _zenodo(
        "Audio_Speech_Actors_01-24",
        208_468_073,
        "5d208e01632cc3e5242106fa2af3273e6dc5239fb8143131979ac74c4aa40657",
    ),
    "song": _zenodo(
        "Audio_Song_Actors_01-24",
        225_505_317,
        "89f3df66cc67ebb70c8af6f72f3f359bee497f6f763a9d863b6477619716d428",
    ),
}


class _Unavailable(UserError):
    """The server cannot be reached or does not hand out the file; `cause` says why without the remedy."""

    def __init__(self, url: str, cause: str, remedy: str):
        super().__init__(f"{url}: {cause}; {remedy}")
        self.cause = cause


class _Broken(Exception):
    """A connection that failed, or broke off before the last byte: worth another try."""

    def __init__(self, cause: str, answered: bool):
        super().__init__(cause)
        self.answered = answered


class _Missing(Exception):
    """A file that a repository on the hub does not have."""


def ravdess_recordings(channel: str) -> list[str]:
    """List the recordings that the published archive of a channel unpacks to.

    Parameters
    ----------
    channel
        "speech" (1,440 recordings) or "song" (1,012: two emotions less, and actor 18 did not sing).

    Returns
    -------
    list of str
        Sorted paths below the root, such as `Audio_Song_Actors_01-24/Actor_01/03-02-01-01-01-01-01.wav`.
    """
    emotions = EMOTIONS if channel == "speech" else EMOTIONS[:6]
    actors = [actor for actor in range(1, 25) if channel == "speech" or actor != 18]
    names = []
    for actor, (number, emotion), intensity in itertools.product(actors, enumerate(emotions, start=1), (1, 2)):
        if emotion == "neutral" and intensity == 2:
            continue  # nobody is strongly neutral
        for statement, take in itertools.product((1, 2), (1, 2)):
            stem = f"03-{CHANNELS[channel]}-{number:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}"
            names.append(f"{RAVDESS[channel].folder}/Actor_{actor:02d}/{stem}.wav")
    return sorted(names)


def download(url: str, path: str | Path, size: int, sha256: str) -> None:
    """Download a file whose size and digest are known.

    The bytes go to `path` + ".part", which a later call continues; `path` itself appears only when all is there
    and right. A broken connection is taken up again a few times before the call gives up.

    Parameters
    ----------
    url
        An http or https address.
    path
        The file to be written; replaced if it is there.
    size
        Its size in bytes.
    sha256
        Its SHA-256 digest in hexadecimal.

    Raises
    ------
    UserError
        Where the server cannot be reached or sends something else, or the disk is full.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise UserError(f"{url}: only http and https addresses can be downloaded; correct the address")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with _writing(part):
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
            # only what goes beyond all earlier tries counts, or a server that cannot resume would be asked for ever
            failures = 1 if _length(part) >= furthest + BLOCK else failures + 1
            furthest = max(furthest, _length(part))
            # without any network there is nothing to wait for
            hopeless = not answered and (failures > 1 or time.monotonic() - start > 10)
            if hopeless or failures > len(WAITS):
                raise _Unavailable(
                    url,
                    str(broken),
                    f"run again when the network is back, or download it with a browser and save it as {path}",
                ) from broken
            log.info("%s: %s; trying again in %g s", url, broken, WAITS[failures - 1])
            time.sleep(WAITS[failures - 1])
    found = _digest(part)
    if found != sha256:
        raise _refused(url, path, part, size, sha256, f"a file with the digest {found}")
    with _writing(path):
        _put(part, path)


def _receive(url: str, path: Path, part: Path, size: int, sha256: str) -> None:
    """Append what one connection yields to `part`."""
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
            raise _Broken(cause, answered=True) from error
        raise _Unavailable(
            url, _one_line(cause), f"download it from its page with a browser and save it as {path}"
        ) from error
    except (OSError, HTTPException) as error:
        raise _Broken(f"{urlsplit(url).hostname} cannot be reached ({_reason(error)})", answered=False) from error
    with response:
        begin, total = _extent(response)
        if response.headers.get_content_type() == "text/html":
            raise _refused(url, path, part, size, sha256, "a web page")
        if total not in (None, size):
            raise _refused(url, path, part, size, sha256, f"{total} bytes")
        if begin not in (0, have):
            part.unlink(missing_ok=True)
            raise _Broken(f"the server sent bytes from {begin} on instead of {have}", answered=True)
        have = begin
        advance = progress(math.ceil((size - have) / BLOCK), "MB")
        with _writing(part), part.open("ab" if have else "wb") as stream:
            while block := _read(response):
                if have == 0 and block.lstrip()[:1] == b"<":
                    raise _refused(url, path, part, size, sha256, "a web page")
                have += len(block)
                if have > size:
                    raise _refused(url, path, part, size, sha256, "more bytes")
                stream.write(block)
                advance(1)
    if have < size:
        raise _Broken(f"the connection broke off after {have} of {size} bytes", answered=True)


def _read(response: HTTPResponse) -> bytes:
    # told apart from an error of the disk, which is an OSError too
    try:
        return response.read(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection broke off ({_reason(error)})", answered=True) from error


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """Where the bytes that are sent begin in the file, and how long the file is if the server says so."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if match is None:
            raise _Broken("the server sent a part of the file without saying which", answered=True)
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _refused(url: str, path: Path, part: Path, size: int, sha256: str, found: str) -> UserError:
    part.unlink(missing_ok=True)
    return UserError(
        f"{url}: expected {size} bytes with SHA-256 {sha256}, got {found}; "
        f"run again, or download it with a browser and save it as {path}"
    )


def unpack(archive_path: str | Path, root: str | Path, names: Sequence[str]) -> None:
    """Unpack the recordings that are wanted from a zip, and nothing else.

    Every member of the archive is looked at before anything is written.

    Parameters
    ----------
    archive_path
        The zip.
    root
        The folder to unpack into.
    names
        Where the recordings go, below `root`: `folder/Actor_01/x.wav`. In the zip they are called that, or
        `Actor_01/x.wav`.

    Raises
    ------
    UserError
        Where the zip is damaged, lacks a recording, or holds a member that has no business in such a zip.
    """
    archive_path, root = Path(archive_path), Path(root)
    remedy = "delete the file and run again to download it anew"
    try:
        with zipfile.ZipFile(archive_path) as archive:
            _check_members(archive.infolist(), archive_path)
            held = set(archive.namelist())
            members = {name: next((m for m in (name, name.partition("/")[2]) if m in held), None) for name in names}
            missing = [name for name, member in members.items() if member is None]
            if missing:
                first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
                raise UserError(f"{archive_path}: {len(missing)} of {len(names)} files are missing ({first}); {remedy}")
            log.info("unpacking %d recordings into %s", len(names), root)
            advance = progress(len(names), "recordings")
            for name, member in members.items():
                with archive.open(member) as source:
                    _write(root / name, source)
                advance(1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive_path}: cannot be unpacked ({_one_line(error)}); {remedy}") from error


def _check_members(members: list[zipfile.ZipInfo], archive_path: Path) -> None:
    for member in members:
        name = member.orig_filename  # as it stands in the zip: `filename` is tidied up
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the zip was made on Windows
        if (
            name.startswith("/")
            or re.match("[A-Za-z]:", name)
            or ".." in name.split("/")
            or "\\" in name
            or not name.isprintable()
            or kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        ):
            raise UserError(
                f"{archive_path}: {name!r} is not a plain file below the archive's top; nothing was unpacked: "
                "delete the archive and get it from its publisher"
            )
    total = sum(member.file_size for member in members)
    if total > min(_LARGEST_RATIO * archive_path.stat().st_size, _LARGEST_CORPUS):
        raise UserError(
            f"{archive_path}: would unpack to {total} bytes, far too many; nothing was unpacked: "
            "delete the archive and get it from its publisher"
        )


def _write(path: Path, source: zipfile.ZipExtFile) -> None:
    # not a name that could pass for a recording, should it be left behind
    temporary = path.with_name(path.name + ".part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                shutil.copyfileobj(source, stream, BLOCK)
            _put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def fetch_ravdess(
    root: str | Path, channels: Sequence[str], keys: Sequence[str], archives: Mapping[str, Archive] = RAVDESS
) -> None:
    """Download RAVDESS, audio-only, and unpack it below `root`.

    While something of it may be missing, the file `.incomplete` lies in `root`, and whoever looks for recordings
    there takes it for empty. A channel whose recordings all lie below `root` is left alone; an archive that
    somebody put there is used and kept, one that was downloaded is deleted when it is unpacked.

    Parameters
    ----------
    root
        The folder for the archives and what they hold; made if need be.
    channels
        "speech", "song" or both.
    keys
        The configuration keys that could name another folder, for the message.
    archives
        The archive of each channel.

    Raises
    ------
    UserError
        Where it cannot be downloaded or written: what is missing, where to get it and where to put it.
    """
    root = Path(root)
    marker = root / INCOMPLETE
    if not marker.exists() and all(_unpacked(root, channel) for channel in channels):
        return
    with _writing(marker):
        root.mkdir(parents=True, exist_ok=True)
        marker.touch()
    try:
        for channel in channels:
            archive = archives[channel]
            path = _zip(root, archive)
            if not _unpacked(root, channel):
                if not _is_whole(path, archive):
                    _download_channel(root, channel, channels, keys, archives)
                unpack(path, root, ravdess_recordings(channel))
            if path.name in marker.read_text(encoding="utf-8").splitlines():
                path.unlink(missing_ok=True)
        marker.unlink()
    finally:
        # with nothing unpacked it guards nothing, and would hide what somebody unpacks here by hand
        if not _stems(root):
            marker.unlink(missing_ok=True)


def _download_channel(
    root: Path, channel: str, channels: Sequence[str], keys: Sequence[str], archives: Mapping[str, Archive]
) -> None:
    archive, marker = archives[channel], root / INCOMPLETE
    path = _zip(root, archive)
    if path.is_file():
        log.info("%s is not the archive as published; downloading it anew", path)
    try:
        download(archive.url, path, archive.size, archive.sha256)
    except _Unavailable as error:
        # all that is missing at once: whoever fetches it by hand wants to go once
        missing = [
            c for c in channels if not _unpacked(root, c) and not _is_whole(_zip(root, archives[c]), archives[c])
        ]
        urls = " and ".join(archives[c].url for c in missing)
        names = " and ".join(f"{archives[c].name}.zip" for c in missing)
        raise UserError(
            f"RAVDESS {' and '.join(missing)} (audio-only) is missing and cannot be downloaded ({error.cause}): "
            f"get {urls}; put it into {root} as {names}, or unpack all of it anywhere below {root}, "
            f"or set {' and '.join(f'`{key}`' for key in keys)} to the folder that has the recordings"
        ) from error
    # remembered on disk: the run that deletes the archive may be a later one
    with _writing(marker), marker.open("a", encoding="utf-8") as stream:
        stream.write(f"{path.name}\n")


def _zip(root: Path, archive: Archive) -> Path:
    return root / f"{archive.name}.zip"


def _is_whole(path: Path, archive: Archive) -> bool:
    return path.is_file() and path.stat().st_size == archive.size and _digest(path) == archive.sha256


def _unpacked(root: Path, channel: str) -> bool:
    return {Path(name).stem for name in ravdess_recordings(channel)} <= _stems(root)


def _stems(root: Path) -> set[str]:
    """Names of the recordings below `root`, whether or not they are all there yet."""
    return {
        Path(name).stem
        for _, _, names in os.walk(root, followlinks=True)
        for name in names
        if name.lower().endswith(SUFFIXES)
    }


def hub_folder(base: str | Path, checkpoint: str, revision: str) -> Path:
    """Name the folder in which an encoder from the hub is kept.

    Parameters
    ----------
    base
        The folder of all encoders.
    checkpoint
        Its name on the hub, `org/name` or `name`.
    revision
        A commit, branch or tag.

    Returns
    -------
    Path
        `base/org--name/revision`.

    Raises
    ------
    UserError
        Where either is not such a name.
    """
    _check_hub_name(checkpoint, revision)
    return Path(base) / checkpoint.replace("/", "--") / revision


def _check_hub_name(checkpoint: str, revision: str) -> None:
    parts = checkpoint.split("/")
    # the hub has no `--` in its names; here it stands for the slash
    if (
        len(checkpoint) > 96
        or len(parts) > 2
        or not all(_HUB_PART.fullmatch(p) and ".." not in p and "--" not in p for p in parts)
    ):
        raise UserError(
            f"checkpoint {checkpoint!r}: neither a folder nor a name on the hub, such as facebook/hubert-base-ls960; "
            "correct `checkpoint` under `encoders`"
        )
    if not _HUB_PART.fullmatch(revision) or ".." in revision:
        raise UserError(
            f"revision {revision!r} of {checkpoint}: not a commit, branch or tag of letters, digits, `.`, `_` and `-`; "
            "correct `revision` under `encoders`"
        )


def fetch_encoder(checkpoint: str, revision: str, folder: str | Path, key: str) -> None:
    """Download an encoder from the Hugging Face hub: its two configuration files and its weights, no code.

    `config.json` is moved to its place last, so that a folder with it is complete; such a folder is left alone.
    `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the hub's own cache count as they do in huggingface_hub.

    Parameters
    ----------
    checkpoint
        Its name on the hub, `org/name` or `name`.
    revision
        A commit, branch or tag.
    folder
        Where its files are put.
    key
        The configuration key that could name a local folder instead, for the message.

    Raises
    ------
    UserError
        Where it cannot be had: whether hub, repository, revision or file is missing, and what to do.
    """
    folder = Path(folder)
    if (folder / _CONFIG).is_file() and any((folder / name).is_file() for name in _WEIGHTS):
        return
    _check_hub_name(checkpoint, revision)
    page = f"https://huggingface.co/{checkpoint}/tree/{revision}"
    # hidden and beside the final place: what is whole in it is not asked for again, and moving it costs nothing
    staging = folder / ".download"
    try:
        names = _fetch_files(checkpoint, revision, staging)
    except (_Missing, _http_error(), OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise _unwritable(folder, error) from error
        raise UserError(
            f"encoder {checkpoint} cannot be downloaded: {_hub_cause(error, revision, page, key)}; or get {_CONFIG}, "
            f"{_PREPROCESSOR} and model.safetensors or pytorch_model.bin from {page} and put them into {folder}, "
            f"or set `{key}` to a local folder that has them"
        ) from error
    with _writing(folder):
        for name in names:
            _put(staging / name, folder / name)
        shutil.rmtree(staging)


def _fetch_files(checkpoint: str, revision: str, staging: Path) -> list[str]:
    """Bring the files of an encoder to `staging` and name them in the order in which they are to be moved on."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    silent = _hub_silence(checkpoint, revision)

    def fetch(name: str) -> bool:
        if silent:
            cached = try_to_load_from_cache(checkpoint, name, revision=revision)
            if isinstance(cached, str):
                staging.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cached, staging / name)
            return isinstance(cached, str)
        log.info("downloading %s of %s at revision %s", name, checkpoint, revision)
        try:
            hf_hub_download(checkpoint, name, revision=revision, local_dir=staging)
        except LocalEntryNotFoundError:
            raise  # the hub fell silent; it is an EntryNotFoundError all the same
        except EntryNotFoundError:
            return False
        return True

    def fetch_one_of(*names: str) -> str:
        for name in names:
            if fetch(name):
                return name
        raise silent or _Missing(" or ".join(names))

    names = [fetch_one_of(_CONFIG), fetch_one_of(_PREPROCESSOR), fetch_one_of(*_WEIGHTS)]
    if names[-1] == _INDEX:
        names += [fetch_one_of(shard) for shard in _shards(staging / _INDEX)]
    return names[::-1]


def _hub_silence(checkpoint: str, revision: str) -> Exception | None:
    """Ask the hub for a first sign of life: huggingface_hub itself would insist for minutes.

    Returns
    -------
    Exception or None
        Why the hub cannot be reached; None where it answers, be it that it has no such file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled

    url = hf_hub_url(checkpoint, _CONFIG, revision=revision)
    start = time.monotonic()
    while True:
        try:
            get_hf_file_metadata(url, timeout=HUB_TIMEOUT)
            return None
        except EntryNotFoundError:
            return None
        except OfflineModeIsEnabled as error:
            return error
        except _http_error() as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            # names are looked up again after a moment; time-outs have taken long enough
            if time.monotonic() - start > WAITS[0]:
                return error
        time.sleep(WAITS[0])


def _shards(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Missing(f"readable {_INDEX}") from error
    strange = [name for name in names if not isinstance(name, str) or not _SHARD.fullmatch(name)]
    if strange:
        raise _Missing(f"trustworthy {_INDEX} (it names {strange[0]!r})")
    return names


def _http_error() -> type[Exception]:
    from huggingface_hub.errors import HfHubHTTPError

    # of httpx with huggingface_hub 1, of httpx2 with 2
    return HfHubHTTPError.__bases__[0]


def _hub_cause(error: Exception, revision: str, page: str, key: str) -> str:
    from huggingface_hub import errors
    from huggingface_hub.constants import ENDPOINT

    if isinstance(error, _Missing):
        return f"{ENDPOINT} has no {error} at revision {revision}: correct `{key}` or the `revision` beside it"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set and the hub's cache does not have it: unset HF_HUB_OFFLINE"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner must admit you first: ask at {page} and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{ENDPOINT} has no such repository, or it is private: correct `{key}` or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{ENDPOINT} has no revision {revision} of it: correct `revision` beside `{key}`"
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
        return f"{ENDPOINT} does not accept the token: correct or unset HF_TOKEN"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{ENDPOINT} answered {error.response.status_code}: run again later"
    return f"{ENDPOINT} cannot be reached ({_reason(error.__cause__ or error)}): run again when it can"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the disk has against `path` into one line."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _put(source: Path, place: Path) -> None:
    """Move a file to its place, where a power cut leaves all of it or nothing."""
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    source.replace(place)


def _unwritable(path: Path, error: OSError) -> UserError:
    cause = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else _reason(error)
    return UserError(
        f"{path}: cannot be written ({cause}); free some space or make its folder writable, then run again: "
        "what is downloaded already is kept"
    )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: object) -> str:
    # urllib wraps the error of the system
    inner = getattr(error, "reason", error)
    return _one_line(getattr(inner, "strerror", None) or inner) or type(inner).__name__


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
