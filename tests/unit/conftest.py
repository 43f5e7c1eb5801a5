"""Addresses on this machine for whatever downloads, and folders with encoders for whatever loads one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from http_server import serving


@pytest.fixture
def server():
    """Run a server that answers as it is told."""
    with serving() as httpd:
        yield httpd


@pytest.fixture
def nowhere():
    """Give an address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def mute():
    """Give an address at which somebody listens but never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def no_proxy(monkeypatch):
    """Ask this machine directly, whatever the environment says."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Save a small encoder of every family, for all tests: none may change what is in its folder."""
    from checkpoints import FAMILIES, build, save

    base = tmp_path_factory.mktemp("checkpoints")
    return {family: save(build(family), base / family, family) for family in FAMILIES}
