"""Damage to files: single flipped bits anywhere, and changes to JSON and to tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from speechsong.errors import UserError

# what may stand in the place of a value; the text stands for what `json.dumps` cannot write
STRANGE = (None, True, "", "x", [], {}, [None], {"a": 1}, 0, -1, 0.5, 10**9, 1e300, "NaN!", "Infinity!", "10**400!")


def flipped(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copy some bytes `count` times, each with another bit flipped."""
    for bit in np.random.default_rng(seed).choice(8 * len(whole), min(count, 8 * len(whole)), replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        yield bytes(damaged)


def changed_json(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Change a JSON object `count` times: values and keys taken out or replaced, cut, nested deeply, bits flipped."""
    rng = np.random.default_rng(seed)
    yield b"[" * 100_000
    yield b'{"a":' * 50_000
    yield b"[1]"
    yield b"\xff\xfe"
    yield b""
    places = list(_places(json.loads(whole)))
    for damaged in flipped(whole, count, seed):
        kind = rng.integers(4)
        if kind == 0:
            yield damaged
            continue
        if kind == 1:
            yield whole[: rng.integers(len(whole))]
            continue
        content = json.loads(whole)
        *way, last = places[rng.integers(len(places))]
        inner: Any = content
        for step in way:
            inner = inner[step]
        if kind == 2:
            del inner[last]
        else:
            inner[last] = STRANGE[rng.integers(len(STRANGE))]
        text = json.dumps(content).replace('"NaN!"', "NaN").replace('"Infinity!"', "Infinity")
        yield text.replace('"10**400!"', "1" + 400 * "0").encode()


def edited(whole: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Change a CSV `count` times: a row taken out or doubled, a cell replaced or taken out, a column taken out, cut."""
    rng = np.random.default_rng(seed)
    header, *rows = csv.reader(io.StringIO(whole.decode()))
    for _ in range(count):
        i, j, kind = rng.integers(len(rows)), rng.integers(len(header)), rng.integers(6)
        if kind == 0:
            yield whole[: rng.integers(len(whole))]
            continue
        new = [header, *map(list, rows)]
        if kind == 1:
            del new[1 + i]
        elif kind == 2:
            new.insert(1 + i, rows[i])
        elif kind == 3:
            new[1 + i][j] = ("", "x", "nan", "inf", "-1", "1e999")[rng.integers(6)]
        elif kind == 4:
            del new[1 + i][j]
        else:
            new = [row[:j] + row[j + 1 :] for row in new]
        changed = io.StringIO()
        csv.writer(changed, lineterminator="\n").writerows(new)
        yield changed.getvalue().encode()


def _places(content: Any, way: tuple = ()) -> Iterator[tuple]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*way, key)
        yield from _places(value, (*way, key))


def outcomes(path: Path, damaged: Iterator[bytes], read: Callable[[], Any]) -> Counter:
    """Read a file with each damage; count what came of it, and put the file back.

    Parameters
    ----------
    path
        The file to be damaged.
    damaged
        Its contents.
    read
        Reads it, and returns all that it says, to be compared with `==`.

    Returns
    -------
    Counter
        Of "nothing" (it says the same), "one line" (a UserError), "silent" (it says something else), "traceback".
    """
    whole = path.read_bytes()
    sound = read()
    found: Counter = Counter()
    try:
        for content in damaged:
            path.write_bytes(content)
            try:
                found["nothing" if read() == sound else "silent"] += 1
            except UserError as error:
                assert "\n" not in str(error), str(error)
                found["one line"] += 1
            except Exception as error:
                found["traceback"] += 1
                found[f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"] += 1
    finally:
        path.write_bytes(whole)
    return found
