"""Where tests find real recordings and a real encoder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common import ROOT


def absent(what: str) -> None:
    """Skip on a user's machine; fail in CI, where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not there")
    pytest.skip(f"{what} is not there")


@pytest.fixture(name="absent", scope="session")
def absent_fixture():
    """Hand out `absent`."""
    return absent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with RAVDESS and a pretrained Whisper, beside the repository."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "ravdess-24k").is_dir() or not (folder / "models" / "whisper-tiny-en").is_dir():
        absent(f"real audio or the real encoder (below {folder})")
    return folder
