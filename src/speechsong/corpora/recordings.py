"""Recordings: what is known about each without opening it, and which of them a run compares.

Snakemake lists recordings whenever it parses the workflow, so this module imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from speechsong import files
from speechsong.corpora.edits import NONE, Edits
from speechsong.errors import UserError, closest

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
# a file with this name marks a corpus that is still being fetched or made
INCOMPLETE = ".incomplete"
# a file with this name marks a corpus that is complete
FETCHED = ".fetched"
# attributes of a recording whose levels results are compared by
STRATA = ("intensity", "gender", "statement")


@dataclass(frozen=True, order=True)
class Recording:
    """One recording of a corpus: what its file name or its table says.

    An encoder's output depends on neither `session` nor `split` (the part or fold of a given split), so `digest` passes
    over them.
    """

    clip_id: str
    path: str
    emotion: str
    speaker: str
    gender: str = ""
    statement: str = ""
    take: str = ""
    intensity: str = ""
    edits: Edits = field(default=NONE, compare=False, repr=False)
    session: str = field(default="", repr=False, compare=False)
    split: str = field(default="", repr=False, compare=False)


def files_below(root: str) -> list[str]:
    """List the recordings below `root` as `search` does; empty while the corpus is being fetched."""
    return [] if (Path(root) / INCOMPLETE).exists() else search(root)


def search(root: str | Path) -> list[str]:
    """List the recordings below `root`, except in hidden folders, whether or not the corpus is complete.

    Only regular files count, and links to them. A folder that links lead to more than once is searched once.

    Raises
    ------
    UserError
        If a folder cannot be read.
    """
    if not Path(root).is_dir():
        return []
    paths: list[str] = []
    waiting, seen = [Path(root)], set()
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            place = (status.st_dev, status.st_ino) if status.st_ino else folder.resolve()
            entries = [] if place in seen else sorted(os.scandir(folder), key=lambda entry: entry.name)
            seen.add(place)
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_dir():
                    waiting.append(folder / entry.name)
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    paths.append(str(folder / entry.name))
        except OSError as error:
            problem = f"cannot be read ({error.strerror}); correct its permissions, or move it away"
            raise UserError(f"{folder}: {problem}") from None
    return sorted(paths)


def excluded(exclude: list[str] | str | None) -> frozenset[str]:
    """Read the clips to be left out: a list, or a text file with one clip per line.

    In the file, lines that begin with # are comments, and `- "name"`, as in a list of YAML, is the same as `name`.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    if not isinstance(exclude, str):
        return frozenset(exclude or ())
    if not files.is_file(exclude):
        raise UserError(f"config key `exclude`: there is no file {Path(exclude).absolute()}; correct it or give a list")
    try:
        lines = [line.strip() for line in files.read_bytes(exclude).decode("utf-8-sig").splitlines()]
        items = [line.removeprefix("- ") for line in lines if line and not line.startswith("#")]
        return frozenset(json.loads(item) if item.startswith('"') else item for item in items)
    except ValueError as error:
        raise UserError(f"{exclude}: cannot be read ({error}); write one clip per line, in UTF-8") from None


def check_excluded(exclude: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse clips to be left out that a corpus does not have: a misspelt name would leave nothing out."""
    unknown = sorted(set(exclude) - set(known))
    if unknown:
        raise UserError(f"config key `exclude`: {where} has no clip `{unknown[0]}`{closest(unknown[0], known)}")


@contextmanager
def being_filled(root: str | Path) -> Iterator[None]:
    """Mark a folder as incomplete while recordings are written to it; the mark stays if the writing is interrupted."""
    mark = Path(root) / INCOMPLETE
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    yield
    mark.unlink()


def select(
    listed: dict[str, list[Recording]], emotions: list[str], paired: bool
) -> tuple[dict[str, list[Recording]], list[str]]:
    """Keep what a run compares: the chosen emotions and, if paired, the speakers who are in both domains.

    Parameters
    ----------
    listed
        All recordings of each domain.
    emotions
        The chosen emotions.
    paired
        Whether the same speakers are in both domains.

    Returns
    -------
    tuple
        The recordings kept in each domain, and the names of the speakers dropped, as "speech 18".

    Raises
    ------
    UserError
        If an emotion or, when paired, a common speaker is missing.
    """
    _check_emotions(listed, emotions, "")
    kept = {d: [r for r in recordings if r.emotion in emotions] for d, recordings in listed.items()}
    if not paired:
        return kept, []
    speakers = {d: {r.speaker for r in recordings} for d, recordings in kept.items()}
    common = set.intersection(*speakers.values())
    _check_names({d: found - common for d, found in speakers.items()})
    if not common:
        examples = " and ".join(f"`{min(found)}` in {d}" for d, found in speakers.items())
        raise UserError(
            f"config key `speakers`: `paired`, but {' and '.join(listed)} have no speaker in common (there is "
            f"{examples}); set `speakers: independent`, or give the same person the same name in both"
        )
    dropped = [f"{d} {s}" for d in kept for s in sorted(speakers[d] - common)]
    kept = {d: [r for r in recordings if r.speaker in common] for d, recordings in kept.items()}
    _check_emotions(kept, emotions, " by a speaker of both domains")
    return kept, dropped


def _check_names(unmatched: dict[str, set[str]]) -> None:
    """Refuse names of speakers without a match that would have one but for leading zeros or case."""
    first, second = ({s.lstrip("0").casefold(): s for s in found} for found in unmatched.values())
    for plain in sorted(first.keys() & second.keys()):
        name, other = first[plain], second[plain]
        differ = "case" if name.casefold() == other.casefold() else "leading zeros"
        a, b = unmatched
        raise UserError(
            f"config key `speakers`: `paired`, but speaker `{name}` of {a} and `{other}` of {b} differ in {differ}; "
            "write the name in the same way in both tables"
        )


def _check_emotions(recordings: dict[str, list[Recording]], emotions: list[str], who: str) -> None:
    for domain, listed in recordings.items():
        have = {r.emotion for r in listed}
        for emotion in emotions:
            if emotion not in have:
                raise UserError(
                    f"config key `emotions`: domain `{domain}` has no recording of `{emotion}`{who}"
                    f"{closest(emotion, have)} (it has: {', '.join(sorted(have))})"
                )


def speaker_blocks(speakers: set[str], blocks: int) -> dict[str, int]:
    """Deal speakers, in sorted order, to `blocks` blocks of nearly equal size; fewer speakers have one block each."""
    count = min(blocks, len(speakers))
    return {speaker: i % count for i, speaker in enumerate(sorted(speakers))}


def digest(recordings: list[Recording]) -> str:
    """Digest all fields of recordings, and the size and modification time of each file, so that any change shows."""
    sums = hashlib.sha256()
    for recording in recordings:
        try:
            status = os.stat(recording.path)  # noqa: PTH116 (twice as fast)
        except OSError:  # still to be fetched, or said by the job that reads it
            sums.update(repr(recording).encode())
        else:
            sums.update(repr((recording, status.st_size, status.st_mtime_ns)).encode())
        if recording.edits != NONE:
            sums.update(repr(recording.edits).encode())
    return sums.hexdigest()[:16]
