"""Means and moments of log-mel frames are those of numpy, in the files that embeddings of encoders have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechsong.corpora.recordings import Recording
from speechsong.embeddings import extract_logmel, moments, store
from speechsong.encoders import logmel
from speechsong.errors import UserError

BLOCKS = {"01": 0, "02": 1, "03": 0, "04": 2}  # 04 has no recording


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> str:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Recording]:
    folder = tmp_path_factory.mktemp("noises")
    rng = np.random.default_rng(0)
    lengths = [("01", 0.7), ("02", 1.3), ("03", 0.03), ("01", 0.4)]
    return [
        Recording(f"c{i}", write(folder / f"{i}.wav", 0.1 * rng.standard_normal(round(24000 * s)), 24000), "sad", who)
        for i, (who, s) in enumerate(lengths)
    ]


def test_means_and_moments(recordings, tmp_path):
    found = extract_logmel.extract(recordings, BLOCKS)
    frames = [logmel.frames(r.path).astype(np.float64) for r in recordings]
    assert found.clips == ["c0", "c1", "c2", "c3"]
    assert found.frames.tolist() == [68, 128, 1, 38]
    np.testing.assert_allclose(found.pooled[0, :, :80], [f.mean(axis=0) for f in frames], atol=1e-6)
    np.testing.assert_allclose(found.pooled[0, :, 80:], [f.std(axis=0) for f in frames], atol=1e-6)
    store.write(tmp_path / "a.h5", found, 0, extract_logmel.attributes("logmel", "music", "sad"))
    blocks, clips = store.read_blocks(tmp_path / "a.h5")
    assert clips == 4
    assert blocks.count.tolist() == [68 + 1 + 38, 128, 0]
    for block, members in enumerate(([0, 2, 3], [1])):
        whole = np.concatenate([frames[i] for i in members])
        np.testing.assert_allclose(blocks.mean[block], whole.mean(axis=0), rtol=1e-12)
        scatter = np.cov(whole, rowvar=False, bias=True) * len(whole)
        np.testing.assert_allclose(blocks.scatter[block], scatter, atol=1e-6 * np.trace(scatter))
    assert not blocks.scatter[2].any()
    whole = moments.of_frames(np.concatenate(frames))
    np.testing.assert_allclose(blocks.merge().scatter, whole.scatter, atol=1e-6 * np.trace(whole.scatter))


def test_the_same_bytes_twice(recordings, tmp_path):
    for name in ("a.h5", "b.h5"):
        found = extract_logmel.extract(recordings, BLOCKS)
        store.write(tmp_path / name, found, 0, extract_logmel.attributes("logmel", "music", "sad"))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_clip_too_short_is_named(tmp_path):
    path = write(tmp_path / "short.wav", 0.1 * np.random.default_rng(0).standard_normal(399))
    with pytest.raises(UserError, match=r"short\.wav: 0\.0249 s is too short for one log-mel frame \(0\.0250 s\)"):
        extract_logmel.extract([Recording("short", path, "sad", "01")], BLOCKS)


def test_it_needs_no_transformers(recordings):
    program = (
        "import sys; from speechsong.embeddings import extract_logmel; "
        "from speechsong.corpora.recordings import Recording; "
        f"extract_logmel.extract([Recording('a', {recordings[0].path!r}, 'sad', '01')], {{'01': 0}}); "
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
