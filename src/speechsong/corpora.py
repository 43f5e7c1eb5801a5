"""Corpora: which recordings there are, who speaks or sings in them and with which emotion.

A recording's emotion and speaker are known without opening it: from its name (RAVDESS) or from a table. The
workflow lists recordings when it is read, so this module imports nothing heavy.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechsong.files import UserError, closest

SUFFIXES = (".wav", ".flac")
# written while a corpus is fetched or made: what lies there is not whole yet
INCOMPLETE = ".incomplete"
# written once it is whole
FETCHED = ".fetched"

CHANNELS = {"speech": "01", "song": "02"}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_RAVDESS_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-([01]\d|2[0-4])")


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


def parse_ravdess(path: str) -> tuple[str, Recording]:
    """Read the seven numbers of a RAVDESS file name (Livingstone and Russo 2018).

    Returns
    -------
    tuple
        The channel, "speech" or "song", and the recording.

    Raises
    ------
    UserError
        Where the name is not one of an audio-only RAVDESS recording.
    """
    stem = Path(path).stem
    match = _RAVDESS_NAME.fullmatch(stem)
    if match is None or match[1] != "03" or match[7] == "00":
        raise UserError(
            f"{path}: not the name of an audio-only RAVDESS recording (03-01-06-01-02-01-12.wav); "
            "move it out of `root`, or describe the corpus with `reader: table`"
        )
    _, channel, emotion, intensity, statement, take, actor = match.groups()
    recording = Recording(
        clip_id=stem,
        path=path,
        emotion=EMOTIONS[int(emotion) - 1],
        speaker=actor,
        gender="male" if int(actor) % 2 else "female",
        statement=statement,
        take=take,
        intensity=("normal", "strong")[int(intensity) - 1],
    )
    return ("speech" if channel == CHANNELS["speech"] else "song"), recording


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


def read_ravdess(paths: list[str], channel: str) -> list[Recording]:
    """Keep the recordings of one channel of RAVDESS."""
    parsed = map(parse_ravdess, paths)
    return [recording for found, recording in parsed if found == channel]


def read_table(table: str, root: str | None) -> list[Recording]:
    """Read a corpus from a CSV with the columns path, emotion, speaker and, if it likes, those of `Recording`.

    Parameters
    ----------
    table
        The CSV.
    root
        The folder that relative paths start from; the table's own if None.

    Raises
    ------
    UserError
        Where a column, a value or a file is missing.
    """
    if not Path(table).is_file():
        raise UserError(f"{table}: there is no such table; set `corpora.*.table` to a CSV with path, emotion, speaker")
    base = Path(root) if root else Path(table).parent
    try:
        text = Path(table).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: not UTF-8 ({error.reason}); save the table as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = {"path", "emotion", "speaker"} - set(reader.fieldnames or [])
    if missing:
        raise UserError(f"{table}: column {', '.join(sorted(missing))} is missing; it needs path, emotion, speaker")
    recordings = []
    for line, raw in enumerate(reader, start=2):
        row = {column: (value or "").strip() for column, value in raw.items() if isinstance(column, str)}
        row["path"] = raw["path"] or ""  # a file's name may begin or end with a space
        for column in ("path", "emotion", "speaker"):
            if not row[column].strip():
                raise UserError(f"{table}, line {line}: column {column} is empty; fill it in or remove the line")
        path = base / row["path"]
        if not path.is_file():
            raise UserError(f"{table}, line {line}: there is no file {path}; correct the path or remove the line")
        optional = {k: row.get(k) or "" for k in ("gender", "statement", "take", "intensity")}
        clip_id = row.get("clip_id") or str(Path(row["path"]).with_suffix(""))
        recordings.append(Recording(clip_id, str(path), row["emotion"], row["speaker"], **optional))
    return recordings


def scan(name: str, corpus: dict) -> list[Recording]:
    """List every recording of a corpus that is on the disk.

    Parameters
    ----------
    name
        The corpus's name in the catalogue, for messages.
    corpus
        Its entry: `reader` with `root` and `channel` (ravdess) or `table` and `root` (table).

    Returns
    -------
    list of Recording
        Sorted by clip; empty where `root` is missing or holds no recording.

    Raises
    ------
    UserError
        Where a name is not RAVDESS's, has braces or is not UTF-8, or a clip is there twice.
    """
    if corpus["reader"] == "table":
        recordings = read_table(corpus["table"], corpus.get("root"))
        _check_paths(name, [recording.path for recording in recordings])
    else:
        paths = files_below(corpus["root"])
        _check_paths(name, paths)
        recordings = read_ravdess(paths, corpus["channel"])
    seen: dict[str, str] = {}
    for recording in recordings:
        if recording.clip_id in seen:
            raise UserError(
                f"corpus `{name}`: clip {recording.clip_id} is there twice, as {seen[recording.clip_id]} and "
                f"{recording.path}; remove one of them"
            )
        seen[recording.clip_id] = recording.path
    return sorted(recordings)


def _check_paths(name: str, paths: list[str]) -> None:
    for path in paths:
        if "{" in path or "}" in path:
            raise UserError(
                f"corpus `{name}`: {path!r}: braces in a name would be wildcards of the workflow; rename it"
            )
        try:
            path.encode()
        except UnicodeEncodeError:
            raise UserError(f"corpus `{name}`: {path!r}: the name is not UTF-8; rename it") from None


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


def used(config: dict) -> dict[str, list[Recording]]:
    """List the recordings of each domain that a run uses, all of which are there; parameters as in `planning.plan`."""
    found = {domain: scan(domain, config["corpora"][domain]) for domain in config["domains"]}
    return select(found, config["emotions"], config["speakers"] == "paired")[0]


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
