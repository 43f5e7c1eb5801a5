"""Recordings: what is known about each without opening it, and which of them a run compares.

Snakemake lists recordings whenever it parses the workflow, so this module imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechsong.errors import UserError, closest

SUFFIXES = (".wav", ".flac")
# a file with this name marks a corpus that is still being fetched or made
INCOMPLETE = ".incomplete"
# a file with this name marks a corpus that is complete
FETCHED = ".fetched"


@dataclass(frozen=True, order=True)
class Recording:
    """One recording of a corpus: what its file name or its table says."""

    clip_id: str
    path: str
    emotion: str
    speaker: str
    gender: str = ""
    statement: str = ""
    take: str = ""
    intensity: str = ""


def files_below(root: str) -> list[str]:
    """List the recordings below `root`, except in hidden folders; empty while the corpus is being fetched."""
    if (Path(root) / INCOMPLETE).exists():
        return []
    paths = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        paths += [str(Path(folder) / n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    return sorted(paths)


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
    if not common:
        raise UserError(
            f"config key `speakers`: `paired`, but {' and '.join(listed)} have no speaker in common; "
            "set `speakers: independent`, or give the same person the same name in both"
        )
    dropped = [f"{d} {s}" for d in kept for s in sorted(speakers[d] - common)]
    kept = {d: [r for r in recordings if r.speaker in common] for d, recordings in kept.items()}
    _check_emotions(kept, emotions, " by a speaker of both domains")
    return kept, dropped


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
            status = Path(recording.path).stat()
        except FileNotFoundError:  # still to be fetched
            sums.update(repr(recording).encode())
        else:
            sums.update(repr((recording, status.st_size, status.st_mtime_ns)).encode())
    return sums.hexdigest()[:16]
