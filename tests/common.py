"""What the tests of several folders use."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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


def site(folder: Path, **values: str | int) -> Path:
    """Write the committed profile of Slurm with other values for the site; return its folder."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    profile["default-resources"] |= values
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder
