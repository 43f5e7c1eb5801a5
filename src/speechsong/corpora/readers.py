"""Readers: a corpus as a list of recordings, from RAVDESS's file names or from a table.

Emotion and speaker are known without opening a recording. Snakemake lists corpora whenever it parses the workflow, so
this module imports nothing heavy.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from speechsong.corpora.recordings import Recording, files_below, select
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


def read_table(table: str, root: str | None) -> list[Recording]:
    """Read a corpus from a CSV: columns path, emotion, speaker and, optionally, the other fields of `Recording`.

    Parameters
    ----------
    table
        The CSV.
    root
        The folder that paths are relative to; the table's own if None.

    Raises
    ------
    UserError
        If a column, a value or a file is missing.
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
        row["path"] = raw["path"] or ""  # a file name may begin or end with a space
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
    """List the recordings of a corpus that are on the disk.

    Parameters
    ----------
    name
        The corpus's name in the catalogue, for messages.
    corpus
        Its entry: `reader` with `root` and `channel` (ravdess) or `table` and `root` (table).

    Returns
    -------
    list of Recording
        Sorted by clip; empty if `root` is missing or holds no recording.

    Raises
    ------
    UserError
        If a file name is not one of RAVDESS, has braces or is not UTF-8, or a clip occurs twice.
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


def used(config: dict) -> dict[str, list[Recording]]:
    """List the recordings of each domain that a run uses. All of them are on the disk by now."""
    listed = {domain: scan(domain, config["corpora"][domain]) for domain in config["domains"]}
    return select(listed, config["emotions"], config["speakers"] == "paired")[0]
