"""Synthetic voices and the settings of a very small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechsong.corpora import audio
from speechsong.corpora.readers import read_ravdess
from speechsong.corpora.recordings import Recording
from speechsong.demo import voices
from speechsong.pretraining.settings import Settings

SMALL = Settings(
    domains=["speech"], layout="hubert", width=32, blocks=1, steps=4, seconds=0.5, batch_size=4, clusters=8
)  # fmt: skip


def speak(root: Path, labels: list[tuple[int, int]]) -> list[Recording]:
    """Write one recording at 16 kHz for each pair of emotion and actor."""
    names = [f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav" for emotion, actor in labels]
    for name in names:
        samples = audio.resample(voices.synthesise(name).astype(np.float32), voices.SAMPLE_RATE, 16_000)
        soundfile.write(root / name, samples, 16_000)
    return read_ravdess([str(root / name) for name in names], "speech")


@pytest.fixture(scope="session")
def spoken(tmp_path_factory) -> list[Recording]:
    """Give two recordings each of six voices."""
    return speak(tmp_path_factory.mktemp("voices"), [(e, actor) for actor in range(11, 17) for e in (2, 5)])


@pytest.fixture(scope="session")
def crowd(tmp_path_factory) -> list[Recording]:
    """Give one recording each of twenty voices, with four emotions."""
    return speak(tmp_path_factory.mktemp("crowd"), [(2 + actor % 4, actor) for actor in range(1, 21)])


@pytest.fixture
def small():
    """Make the settings of a very small model, with changes."""
    return lambda **changes: replace(SMALL, **changes)
