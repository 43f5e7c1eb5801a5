"""Recordings: what is known of each without opening it, and which ones a run compares.

The workflow lists recordings when it is read, so this module imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechsong.errors import UserError, closest

SUFFIXES = (".wav", ".flac")
# written while a corpus is fetched or made: what lies there is not whole yet
INCOMPLETE = ".incomplete"
# written once it is whole
FETCHED = ".fetched"


@dataclass(frozen=True, order=True)
class Recording:
    """One recording of a corpus: what its name or its table says of it."""

    clip_id: str
    path: str
    emotion: str
    speaker: str
    gender: str = ""
    statement: str = ""
    take: str = ""
    intensity: str = ""


def files_below(root: str) -> list[str]:
    """List the recordings below `root`, hidden folders left out; empty while the corpus is being fetched."""
    if (Path(root) / INCOMPLETE).exists():
        return []
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        found += [str(Path(folder) / n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    return sorted(found)


@contextmanager
def being_filled(root: str | Path) -> Iterator[None]:
    """Mark a folder as not whole while recordings are written to it; the mark stays where that breaks off."""
    mark = Path(root) / INCOMPLETE
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    yield
    mark.unlink()


def select(
    found: dict[str, list[Recording]], emotions: list[str], paired: bool
) -> tuple[dict[str, list[Recording]], list[str]]:
    """Keep what a run compares: the chosen emotions and, where paired, the speakers of both domains.

    Parameters
    ----------
    found
        All recordings of each domain.
    emotions
        The chosen emotions.
    paired
        Whether the same people are in both domains.

    Returns
    -------
    tuple
        The recordings kept in each domain, and the names of the speakers dropped, as "speech 18".

    Raises
    ------
    UserError
        Where an emotion or, if paired, a common speaker is missing.
    """
    _check_emotions(found, emotions, "")
    kept = {d: [r for r in recordings if r.emotion in emotions] for d, recordings in found.items()}
    if not paired:
        return kept, []
    speakers = {d: {r.speaker for r in recordings} for d, recordings in kept.items()}
    common = set.intersection(*speakers.values())
    if not common:
        raise UserError(
            f"config key `speakers`: `paired`, but {' and '.join(found)} have no speaker in common; "
            "set `speakers: independent`, or give the same person the same name in both"
        )
    dropped = [f"{d} {s}" for d in kept for s in sorted(speakers[d] - common)]
    kept = {d: [r for r in recordings if r.speaker in common] for d, recordings in kept.items()}
    _check_emotions(kept, emotions, " by a speaker of both domains")
    return kept, dropped


def _check_emotions(recordings: dict[str, list[Recording]], emotions: list[str], who: str) -> None:
    for domain, some in recordings.items():
        have = {r.emotion for r in some}
        for emotion in emotions:
            if emotion not in have:
                raise UserError(
                    f"config key `emotions`: domain `{domain}` has no recording of `{emotion}`{who}"
                    f"{closest(emotion, have)} (it has: {', '.join(sorted(have))})"
                )


def speaker_blocks(speakers: set[str], blocks: int) -> dict[str, int]:
    """Deal speakers, in sorted order, to `min(blocks, speakers)` blocks of nearly equal size."""
    count = min(blocks, len(speakers))
    return {speaker: i % count for i, speaker in enumerate(sorted(speakers))}


def digest(recordings: list[Recording]) -> str:
    """Sum up what is said of recordings, and sizes and times of their files, so that a change of any one shows."""
    sums = hashlib.sha256()
    for recording in recordings:
        try:
            found = Path(recording.path).stat()
        except FileNotFoundError:  # still to be fetched
            sums.update(repr(recording).encode())
        else:
            sums.update(repr((recording, found.st_size, found.st_mtime_ns)).encode())
    return sums.hexdigest()[:16]
