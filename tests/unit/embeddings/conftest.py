"""Noises, and what an encoder makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from checkpoints import loaded
from speechsong.corpora.recordings import Recording
from speechsong.embeddings import extract
from speechsong.embeddings.store import Embeddings


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> list[Recording]:
    """Noises of different lengths and colours, of four speakers, in no order."""
    folder = tmp_path_factory.mktemp("noises")
    rng = np.random.default_rng(0)
    found = []
    for i, (speaker, seconds) in enumerate(
        [("01", 0.7), ("02", 1.3), ("03", 0.1), ("01", 0.4), ("05", 1.1), ("02", 0.05), ("03", 0.9), ("01", 0.4)]
    ):
        path = folder / f"clip{i}.wav"
        colour = np.convolve(rng.standard_normal(round(24000 * seconds)), rng.uniform(0, 1, 1 + 2 * i), "same")
        soundfile.write(path, 0.2 * colour / np.abs(colour).max(), 24000)
        found.append(Recording(f"clip{i}", str(path), "sad", speaker))
    return found


@pytest.fixture(scope="session")
def blocks() -> dict[str, int]:
    """The blocks of the speakers; 04 has no recording."""
    return {"01": 0, "02": 1, "03": 0, "04": 2, "05": 3}


@pytest.fixture(scope="session")
def extracted(folders: dict[str, Path], recordings, blocks) -> Embeddings:
    """The embeddings of the noises by the smallest MERT."""
    return extract.extract(loaded(folders["mert"], "mert"), recordings, blocks)
