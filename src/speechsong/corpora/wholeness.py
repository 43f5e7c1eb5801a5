"""Wholeness: whether a recording is as long as its header promises. libsndfile reads on without a word if not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import soundfile

# from here on, lengths are those that programs write when they do not know the length yet (0x7FFFFFFF, 0xFFFFFFFF)
_STREAMED = 0x7FFFF000
# encoders of MP3 count the first and the last frame (1,152 samples) differently
_MP3_FRAMES = 2 * 1152
# what libsndfile's log says of WAV, AIFF, AU, IFF; of W64 and RF64; in bytes
_SIZES = re.compile(r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_BROKEN_OFF = ("Last page lacks an end-of-stream bit", "Junk after the last page", "Seems to be a truncated file")


def cut_short(path: str | Path, file: soundfile.SoundFile, read: int) -> str:
    """Say what is missing from a recording.

    Parameters
    ----------
    path
        The recording.
    file
        The same, open.
    read
        The number of samples per channel that could be read.

    Returns
    -------
    str
        Such as "its header promises 8000 samples, but 3989 are there"; empty if nothing is missing.
    """
    promised = file.frames
    log = file.extra_info
    for size, there in ((int(size), int(there)) for size, there in _SIZES.findall(log)):
        if there < size < _STREAMED:
            promised = round(read * size / there) if there and read else size
    if file.format == "NIST":
        promised = _nist(path) or promised
    spare = _MP3_FRAMES if file.subtype.startswith("MPEG") else 0
    if read + spare < promised:
        return f"its header promises {promised} samples, but {read} are there"
    if any(phrase in log for phrase in _BROKEN_OFF):
        return f"it breaks off after {read} samples"
    return ""


def _nist(path: str | Path) -> int:
    with Path(path).open("rb") as stream:
        found = re.search(rb"^sample_count -i (\d+)", stream.read(4096), re.MULTILINE)
    return int(found[1]) if found else 0
