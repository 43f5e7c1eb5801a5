"""The index of a corpus: one row per clip, with facts that are known only after reading the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from speechsong.corpora import audio
from speechsong.corpora.recordings import Recording
from speechsong.logs import progress


def index(domain: str, recordings: list[Recording]) -> list[dict]:
    """Read every recording once and describe it.

    Parameters
    ----------
    domain
        The domain that the corpus is in the run.
    recordings
        The recordings of the corpus.

    Returns
    -------
    list of dict
        clip_id, path, domain, emotion, speaker, gender, statement, take, intensity, seconds, sample_rate (Hz),
        channels, sha256 (of the file's bytes), duplicate_of (the first clip with the same bytes, or empty).

    Raises
    ------
    UserError
        At the first recording that cannot be used.
    """
    advance = progress(len(recordings), "clips")
    first: dict[str, str] = {}
    rows = []
    for recording in recordings:
        samples, rate, channels = audio.read(recording.path)
        digest = hashlib.sha256(Path(recording.path).read_bytes()).hexdigest()
        original = first.setdefault(digest, recording.clip_id)
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
                "sha256": digest,
                "duplicate_of": "" if original == recording.clip_id else original,
            }
        )
        advance(1)
    return rows
