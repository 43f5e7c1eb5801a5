"""The index of a corpus: one row per clip, with facts that are known only after reading the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.signal import welch

from speechsong.corpora import audio
from speechsong.corpora.edits import cut
from speechsong.corpora.recordings import Recording
from speechsong.errors import UserError
from speechsong.files import atomic, sha256
from speechsong.logs import log, progress

# what is further below the peak of a spectrum is noise
FLOOR_DECIBELS = 60.0


def bandwidth(samples: np.ndarray, rate: int) -> int:
    """Find up to which frequency a recording has more than noise.

    It shows what a sample rate hides: a telephone call at 44.1 kHz, or an MP3 without its highest octave.

    Parameters
    ----------
    samples : ndarray (n,), float32
    rate
        Sample rate in Hz.

    Returns
    -------
    int
        In Hz: the highest frequency at which Welch's spectrum (1967) is within 60 dB of its peak. Its Blackman-Harris
        windows are 46 ms long and overlap by half.
    """
    frequencies, power = welch(
        samples.astype(np.float64), rate, window="blackmanharris", nperseg=min(len(samples), round(0.046 * rate))
    )
    return round(float(frequencies[power >= power.max() * 10 ** (-FLOOR_DECIBELS / 10)].max()))


def index(domain: str, recordings: list[Recording], unusable: str | Path | None = None) -> list[dict]:
    """Read every recording once and describe it.

    Parameters
    ----------
    domain
        The domain that the corpus is in the run.
    recordings
        The recordings of the corpus.
    unusable
        File to be written if recordings cannot be used: all of them, as a list for the key `exclude`.

    Returns
    -------
    list of dict
        clip_id, path, domain, emotion, speaker, gender, statement, take, intensity, seconds, sample_rate (Hz),
        channels, heard (seconds that are left after `edits.cut`), bandwidth (Hz, see `bandwidth`), sha256 (of the
        file's bytes), duplicate_of (the first clip with the same bytes, or empty); also split and session where the
        corpus has them.

    Raises
    ------
    UserError
        After the last recording, if some cannot be used, or have the same bytes as one with another label.
    """
    advance = progress(len(recordings), "clips")
    first: dict[str, Recording] = {}
    rows = []
    problems: dict[str, str] = {}
    given = [name for name in ("split", "session") if any(getattr(r, name) for r in recordings)]
    for recording in recordings:
        advance(1)
        try:
            samples, rate, channels = audio.read(recording.path)
            digest = _digest(recording.path)
        except UserError as error:
            problems[recording.clip_id] = str(error)
            continue
        original = first.setdefault(digest, recording)
        conflict = _conflict(original, recording)
        if conflict:
            # nobody can tell which of the two is right
            problems |= {original.clip_id: conflict, recording.clip_id: conflict}
        rows.append(
            {
                "clip_id": recording.clip_id,
                "path": recording.path,
                "domain": domain,
                "emotion": recording.emotion,
                "speaker": recording.speaker,
                "gender": recording.gender,
                "statement": recording.statement,
                "take": recording.take,
                "intensity": recording.intensity,
                "seconds": round(len(samples) / rate, 6),
                "sample_rate": rate,
                "channels": channels,
                "heard": round(len(cut(samples, rate, recording.edits)) / rate, 6),
                "bandwidth": bandwidth(samples, rate),
                "sha256": digest,
                "duplicate_of": "" if original is recording else original.clip_id,
            }
            | {name: getattr(recording, name) for name in given}
        )
    if problems:
        raise UserError(_summary(domain, problems, unusable))
    copies = sum(row["duplicate_of"] != "" for row in rows)
    if copies:
        log.info("%d of %d clips have the same bytes as another clip of their emotion and speaker", copies, len(rows))
    return rows


def _digest(path: str) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); replace the file or take it out") from error


def _conflict(one: Recording, other: Recording) -> str:
    for kind in ("emotion", "speaker"):
        labels = getattr(one, kind), getattr(other, kind)
        if labels[0] != labels[1]:
            return (
                f"{other.path}: {kind} `{labels[1]}`, but it has the same bytes as {one.path}, {kind} `{labels[0]}`; "
                "keep the right one"
            )
    return ""


def _summary(domain: str, problems: dict[str, str], unusable: str | Path | None) -> str:
    if unusable is not None:
        lines = [f"# {problem}\n- {json.dumps(clip, ensure_ascii=False)}\n" for clip, problem in problems.items()]
        with atomic(unusable) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    text = next(iter(problems.values()))
    if len(problems) > 1:
        text += f"; {len(problems)} clips of `{domain}` cannot be used"
    where = f": to leave out all of them, paste {unusable} under `corpora.{domain}.exclude`" if unusable else ""
    return text + where
