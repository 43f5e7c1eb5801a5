"""RAVDESS from Zenodo: download, check and unpack the published archives, or say in one line what to do."""

from __future__ import annotations

import itertools
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from speechsong import files
from speechsong.corpora.download import BLOCK, Unavailable, download, one_line, put, writing
from speechsong.corpora.readers import CHANNELS, EMOTIONS
from speechsong.corpora.recordings import INCOMPLETE, search
from speechsong.errors import UserError
from speechsong.logs import log, progress

# zip shrinks recordings of speech or song to a third at best
_LARGEST_RATIO = 20
_LARGEST_CORPUS = 10_000_000_000


@dataclass(frozen=True)
class Archive:
    """A zip to be downloaded: its name without .zip, its size and digest, and the folder that it is unpacked into."""

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


def mirrored(channel: str, mirror: str | None) -> Archive:
    """Return the archive of a channel at Zenodo or, with the published name, size and digest, at a mirror."""
    archive = RAVDESS[channel]
    return replace(archive, url=f"{mirror.rstrip('/')}/{archive.name}.zip") if mirror else archive


def ravdess_recordings(channel: str) -> list[str]:
    """List the recordings that the published archive of a channel unpacks to.

    Parameters
    ----------
    channel
        "speech" (1,440 recordings) or "song" (1,012: two emotions fewer, and actor 18 did not sing).

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


def unpack(archive_path: str | Path, root: str | Path, names: Sequence[str]) -> None:
    """Unpack the wanted recordings from a zip, and nothing else.

    Every member of the archive is checked before anything is written.

    Parameters
    ----------
    archive_path
        The zip.
    root
        The folder to unpack into.
    names
        Paths of the recordings below `root`: `folder/Actor_01/x.wav`. In the zip they have this name, or
        `Actor_01/x.wav`.

    Raises
    ------
    UserError
        If the zip is damaged, lacks a recording, or holds anything but plain files below its top folder.
    """
    archive_path, root = Path(archive_path), Path(root)
    remedy = "delete the file and run again to download it anew"
    try:
        with zipfile.ZipFile(archive_path) as archive:
            _check_members(archive.infolist(), archive_path)
            held = set(archive.namelist())
            members = {name: m for name in names for m in (name.partition("/")[2], name) if m in held}
            missing = [name for name in names if name not in members]
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
        raise UserError(f"{archive_path}: cannot be unpacked ({one_line(error)}); {remedy}") from error


def _check_members(members: list[zipfile.ZipInfo], archive_path: Path) -> None:
    for member in members:
        name = member.orig_filename  # as it stands in the zip; `filename` is normalised
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


def _write(path: Path, source: IO[bytes]) -> None:
    # a name that no recording has, in case the file is left behind
    temporary = path.with_name(path.name + ".part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                shutil.copyfileobj(source, stream, BLOCK)
            put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def fetch_ravdess(
    root: str | Path, channels: Sequence[str], keys: Sequence[str], archives: Mapping[str, Archive] = RAVDESS
) -> None:
    """Download RAVDESS, audio-only, and unpack it below `root`.

    Until everything is there, the file `.incomplete` lies in `root`, and the folder counts as empty. A channel whose
    recordings all lie below `root` is left alone. An archive that the user put there is used and kept; a downloaded
    one is deleted once it is unpacked.

    Parameters
    ----------
    root
        The folder for the archives and the recordings in them; created if missing.
    channels
        "speech", "song" or both.
    keys
        The config keys that could name another folder, for the message.
    archives
        The archive of each channel.

    Raises
    ------
    UserError
        If it cannot be downloaded or written. The message says what is missing, where to get it and where to put it.
    """
    root = Path(root)
    marker = root / INCOMPLETE
    if not marker.exists() and all(_unpacked(root, channel) for channel in channels):
        return
    with writing(marker):
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
        # nothing is unpacked yet: the marker would only hide recordings that the user puts here by hand
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
    except Unavailable as error:
        # name everything that is missing at once, for those who fetch it by hand
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
    # noted on disk, because a later run may be the one that deletes the archive
    with writing(marker), marker.open("a", encoding="utf-8") as stream:
        stream.write(f"{path.name}\n")


def _zip(root: Path, archive: Archive) -> Path:
    return root / f"{archive.name}.zip"


def _is_whole(path: Path, archive: Archive) -> bool:
    return path.is_file() and path.stat().st_size == archive.size and files.sha256(path) == archive.sha256


def _unpacked(root: Path, channel: str) -> bool:
    return {Path(name).stem for name in ravdess_recordings(channel)} <= _stems(root)


def _stems(root: Path) -> set[str]:
    """List the names of the recordings below `root`, complete or not."""
    return {Path(path).stem for path in search(root)}
