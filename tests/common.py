"""What the tests of several folders use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def one_line(caught: pytest.ExceptionInfo) -> str:
    """Return the message of a caught error, and check that it is one line."""
    text = str(caught.value)
    assert "\n" not in text
    return text


def touch(root: Path, *names: str) -> Path:
    """Make empty files, and their folders, below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root
