"""Readers: a corpus as a list of recordings, from RAVDESS's file names or from a table.

Emotion and speaker are known without opening a recording. Snakemake lists corpora whenever it parses the workflow, so
this module imports nothing heavy.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from speechsong.corpora.edits import NONE, of_corpus
from speechsong.corpora.recordings import Recording, check_excluded, excluded, files_below, select
from speechsong.corpora.tables import read_table
from speechsong.errors import UserError

CHANNELS = {"speech": "01", "song": "02"}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_RAVDESS_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-([01]\d|2[0-4])")


def parse_ravdess(path: str) -> tuple[str, Recording]:
    """Read the seven numbers of a RAVDESS file name (Livingstone and Russo 2018).

    Returns
    -------
    tuple
        The channel, "speech" or "song", and the recording.

    Raises
    ------
    UserError
        If the name is not that of an audio-only RAVDESS recording.
    """
    stem = Path(path).stem
    match = _RAVDESS_NAME.fullmatch(stem)
    if match and match[1] == "01":
        raise UserError(
            f"{path}: the sound of a RAVDESS video, which is the same take as 03{stem[2:]} in other bytes; "
            "move it out of `root`"
        )
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


def read_ravdess(paths: list[str], channel: str) -> list[Recording]:
    """Keep the recordings of one channel of RAVDESS."""
    parsed = map(parse_ravdess, paths)
    return [recording for its_channel, recording in parsed if its_channel == channel]


def scan(name: str, corpus: dict) -> list[Recording]:
    """List the recordings of a corpus that are on the disk, sorted by clip, without the notes of `survey`."""
    return survey(name, corpus)[0]


def survey(name: str, corpus: dict) -> tuple[list[Recording], list[str]]:
    """List the recordings of a corpus that are on the disk, and say what a user should know about them.

    Parameters
    ----------
    name
        The corpus's name in the catalogue, for messages.
    corpus
        Its entry: `reader` with `root` and `channel` (ravdess), or with `table`, `root` and `columns` (table); `labels`
        and `exclude` of both.

    Returns
    -------
    recordings : list of Recording
        Sorted by clip; empty if `root` is missing or holds no recording.
    notes : list of str
        One line on copies that are counted once, and one on files that are listed under several names.

    Raises
    ------
    UserError
        If a table or a file name cannot be read as it should, or one recording has two labels.
    """
    left_out = excluded(corpus.get("exclude"))
    if corpus["reader"] == "table":
        recordings = read_table(corpus["table"], corpus.get("root"), corpus.get("columns"), left_out)
        _check_paths(name, [recording.path for recording in recordings])
    else:
        paths = files_below(corpus["root"])
        _check_paths(name, paths)
        kept = [path for path in paths if Path(path).stem not in left_out]
        if paths:
            check_excluded(left_out, {Path(path).stem for path in paths}, corpus["root"])
        recordings = read_ravdess(kept, corpus["channel"])
    recordings = as_in_run(recordings, corpus)
    several = _check_labels(name, recordings)
    recordings, copies = _without_copies(name, recordings)
    notes = []
    if copies:
        notes.append(f"Corpus `{name}`: left out copies of {len(copies)} recordings, such as {copies[0]}")
    if several:
        notes.append(f"Corpus `{name}`: {len(several)} files are there under two names, such as {several[0]}")
    return sorted(recordings), notes


def as_in_run(recordings: list[Recording], corpus: dict) -> list[Recording]:
    """Give recordings the emotions (`labels`) and the edits that their corpus has in a run."""
    labels, edits = corpus.get("labels", {}), of_corpus(corpus)
    if not labels and edits == NONE:
        return recordings
    return [replace(r, emotion=labels.get(r.emotion, r.emotion), edits=edits) for r in recordings]


def _check_labels(name: str, recordings: list[Recording]) -> list[str]:
    """Find recordings that are one file under several names, and refuse those whose labels differ."""
    first: dict[tuple, Recording] = {}
    several = []
    for recording in recordings:
        status = os.stat(recording.path)  # noqa: PTH116 (twice as fast)
        # some network file systems number files anew, so the number alone does not make two files one
        file = (status.st_dev, status.st_ino or recording.path, status.st_size, status.st_mtime_ns)
        other = first.setdefault(file, recording)
        if other is recording:
            continue
        if other.clip_id != recording.clip_id:
            several.append(f"{other.path} and {recording.path}")
        for kind in ("emotion", "speaker"):
            labels = getattr(other, kind), getattr(recording, kind)
            if labels[0] != labels[1]:
                raise UserError(
                    f"corpus `{name}`: one recording has two labels: {Path(other.path).absolute()} is {kind} "
                    f"`{labels[0]}`, and {Path(recording.path).absolute()}, the same file, is `{labels[1]}`; "
                    "keep the right one"
                )
    return several


def _without_copies(name: str, recordings: list[Recording]) -> tuple[list[Recording], list[str]]:
    """Keep one of the recordings of the same name, labels and bytes; refuse others of the same name."""
    seen: dict[str, Recording] = {}
    copies = []
    for recording in recordings:
        other = seen.setdefault(recording.clip_id, recording)
        if other is recording:
            continue
        same = vars(other) | {"path": recording.path} == vars(recording)
        if not same or not _alike(other.path, recording.path):
            raise UserError(
                f"corpus `{name}`: clip {recording.clip_id} is there twice, as {other.path} and {recording.path}, and "
                "the two differ; remove one of them"
            )
        copies.append(recording.path)
    return list(seen.values()), copies


def _alike(path: str, other: str) -> bool:
    """Compare two files by their sizes and their first, middle and last 4 KiB: all bytes would take too long here."""
    one, two = Path(path), Path(other)
    size = one.stat().st_size
    if size != two.stat().st_size:
        return False
    with one.open("rb") as first, two.open("rb") as second:
        for place in (0, size // 2, max(0, size - 4096)):
            first.seek(place)
            second.seek(place)
            if first.read(4096) != second.read(4096):
                return False
    return True


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


def used(config: dict) -> dict[str, list[Recording]]:
    """List the recordings of each domain that a run uses. All of them are on the disk by now."""
    listed = {domain: scan(domain, config["corpora"][domain]) for domain in config["domains"]}
    return select(listed, config["emotions"], config["speakers"] == "paired")[0]
