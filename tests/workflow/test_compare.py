"""`speechsong compare`: two folders, typed as a user would."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from speechsong.demo.voices import recordings, write_voice
from tiny_encoders import write_encoder

pytestmark = pytest.mark.slow


def compare(folder: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "speechsong.cli", "compare", "talks", "songs", "--encoder", "tiny", *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def test_two_folders_and_the_same_command_again(tmp_path):
    write_encoder(tmp_path / "tiny", "hubert")
    for side, channel in (("talks", "speech"), ("songs", "song")):
        for name in recordings(channel)[:24]:
            write_voice(tmp_path / "voices", name)
            (tmp_path / side).mkdir(exist_ok=True)
            # without the names that say who speaks
            number = len(list((tmp_path / side).iterdir()))
            shutil.move(tmp_path / "voices" / name, tmp_path / side / f"{number}.wav")
    done = compare(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FAD between talks and songs in the layers of tiny, without intervals" in done.stdout
    assert "Who speaks in talks and songs is unknown" in done.stderr
    table = pd.read_csv(tmp_path / "compare-talks-songs-tiny/tables/fad.csv")
    fads = table[(table["over"] == "layer") & (table["emotion"] == "recordings")]["fad"]
    assert len(fads) == 3
    for fad in fads:
        assert f"{fad:.3g}" in done.stdout
    assert (tmp_path / "compare-talks-songs-tiny/figures/fad.png").is_file()
    again = compare(tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stderr
    assert again.stdout == done.stdout
