"""FAD of all pairs of emotions against scipy's matrix square root, FAD of one emotion, and planted neighbours."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from made_blocks import as_blocks, cut, random
from made_files import write_embeddings
from speechsong.distances import fad, gaussians, pairs
from speechsong.embeddings import store
from speechsong.embeddings.moments import of_frames, pack
from speechsong.errors import UserError

EMOTIONS = ["calm", "sad", "none"]


def write(folder, parts: dict[tuple[str, str], list[np.ndarray]]) -> dict[str, list[str]]:
    """Write the frames of each (emotion, domain), in blocks, as embedding files; list them by domain."""
    paths: dict[str, list[str]] = {}
    for (emotion, domain), frames in parts.items():
        blocks = as_blocks(frames)
        clips = [f"{emotion}{domain}"]
        pooled = np.zeros((1, 1, frames[0].shape[1]), np.float32)
        scatter = pack(blocks.scatter)[None]
        made = store.Embeddings(clips, np.array([3]), pooled, blocks.count, blocks.mean[None], scatter)
        paths.setdefault(domain, []).append(write_embeddings(folder, made, "tiny", domain, emotion))
    return paths


def drawn(sizes: tuple[int, ...] = (30, 41, 25), d: int = 6) -> dict[tuple[str, str], list[np.ndarray]]:
    keys = [(e, domain) for domain in "AB" for e in EMOTIONS]
    return {key: cut(list(sizes), d, i, 0.3 * i) for i, key in enumerate(keys)}


def run(paths, paired=True, **options):
    return pairs.run(paths, model="tiny", layer=0, emotions=EMOTIONS, paired=paired, **options)


def direct(x: np.ndarray, y: np.ndarray) -> float:
    s, t = np.cov(x.T), np.cov(y.T)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * np.trace(sqrtm(s @ t)).real


def test_all_pairs_by_the_matrix_square_root(tmp_path):
    parts = drawn()
    rows, _ = run(write(tmp_path, parts))
    assert [(row["emotion_A"], row["emotion_B"]) for row in rows] == list(product(EMOTIONS, EMOTIONS))
    for row in rows:
        x, y = (np.concatenate(parts[row[f"emotion_{domain}"], domain]) for domain in "AB")
        assert row["fad"] == pytest.approx(direct(x, y), rel=1e-6)
        assert row["fad"] == row["mean_term"] + row["covariance_term"]


@pytest.mark.parametrize("sizes", [(30, 41, 25), (2, 1, 2)], ids=["many frames", "few frames"])
@pytest.mark.parametrize("paired", [True, False])
def test_the_diagonal_is_the_fad_of_each_emotion(tmp_path, sizes, paired):
    paths = write(tmp_path, drawn(sizes))
    rows, left_out = run(paths, paired)
    alone, alone_left_out = fad.run(paths, model="tiny", layer=0, emotions=EMOTIONS, paired=paired)
    same = [row for row in rows if row["emotion_A"] == row["emotion_B"]]
    for name in ("fad", "mean_term", "covariance_term"):
        assert [row[name] for row in same] == [row[name] for row in alone[:-1]]
    keys = ("side", "block", "frames", "fad_left_out")
    for emotion in EMOTIONS:
        found = [tuple(r[k] for k in keys) for r in left_out if r["emotion_A"] == r["emotion_B"] == emotion]
        assert found == [tuple(r[k] for k in keys) for r in alone_left_out if r["emotion"] == emotion]


@pytest.mark.parametrize("paired", [True, False])
def test_left_out_blocks_of_all_pairs(tmp_path, paired):
    parts = drawn()
    rows, left_out = run(write(tmp_path, parts), paired)
    assert len(left_out) == len(rows) * (3 if paired else 6)
    for row in left_out:
        sides = []
        for domain in "AB":
            blocks = list(parts[row[f"emotion_{domain}"], domain])
            if row["side"] in (domain, "both"):
                del blocks[row["block"]]
            sides.append(np.concatenate(blocks))
        assert row["fad_left_out"] == pytest.approx(direct(*sides), rel=1e-6)


def test_without_leaving_out(tmp_path):
    paths = write(tmp_path, drawn())
    rows, left_out = run(paths, leave_out=False)
    assert (rows, left_out) == (run(paths)[0], [])


@pytest.mark.filterwarnings("error")
def test_a_block_that_cannot_be_left_out_has_no_distance(tmp_path):
    parts = drawn()
    parts["sad", "B"] = cut([20, 1, 0], 6, 9)
    _, left_out = run(write(tmp_path, parts), False)
    of_sad = [r for r in left_out if r["emotion_B"] == "sad" and r["side"] == "B"]
    assert [r["block"] for r in of_sad] == [0] * 3 + [1] * 3
    assert [np.isnan(r["fad_left_out"]) for r in of_sad] == [True] * 3 + [False] * 3


def test_planted_neighbours(tmp_path):
    places = {"calm": "sad", "sad": "none", "none": "calm"}
    parts = {(e, "A"): cut([30, 30], 6, i, 20 * i) for i, e in enumerate(EMOTIONS)}
    parts |= {(f, "B"): [x + 0.1 for x in parts[e, "A"]] for e, f in places.items()}
    rows, _ = run(write(tmp_path, parts))
    for emotion, planted in places.items():
        nearest = min((r for r in rows if r["emotion_A"] == emotion), key=lambda r: r["fad"])
        assert nearest["emotion_B"] == planted


def test_swapped_files_are_refused(tmp_path):
    paths = write(tmp_path, drawn())
    first, second = map(Path, paths["B"][:2])
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    with pytest.raises(UserError) as caught:
        run(paths)
    place = "tiny/B/layer00"
    said = f"{first}: says that it is {place}/sad.h5, not {place}/calm.h5"
    assert str(caught.value) == f"{said}; delete the file and run again"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 30), min_size=4, max_size=4), st.integers(2, 10), st.integers(0, 2**31))
def test_swapped_domains_transpose(sizes, d, seed):
    rng = random(seed)
    made = [gaussians.Gaussian(of_frames(rng.standard_normal((n, d)) + rng.standard_normal(d))) for n in sizes]
    a, b = made[:2], made[2:]
    forth = np.array([[gaussians.distance(x, y).fad for y in b] for x in a])
    back = np.array([[gaussians.distance(y, x).fad for x in a] for y in b])
    np.testing.assert_allclose(forth, back.T, atol=1e-6 * max(g.trace for g in made))


def test_each_covariance_is_factored_once(tmp_path, monkeypatch):
    calls = []
    plain = gaussians.dpstrf
    monkeypatch.setattr(gaussians, "dpstrf", lambda *a, **k: calls.append(0) or plain(*a, **k))
    run(write(tmp_path, drawn()), leave_out=False)
    assert len(calls) == len(EMOTIONS)
