"""Fréchet distances against closed forms and against the frames themselves; errors against brute force."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from scipy.stats import t as student

from made_blocks import as_blocks, cut, frames, plain, random
from made_files import write_embeddings
from speechsong.distances import fad, gaussians, scale
from speechsong.embeddings import store
from speechsong.embeddings.moments import Moments, of_frames, pack, unpack
from speechsong.errors import UserError


def with_covariance(covariance: np.ndarray, count: int = 1000, mean: np.ndarray | None = None) -> Moments:
    covariance = np.atleast_2d(np.asarray(covariance, dtype=float))
    return Moments(count, np.zeros(len(covariance)) if mean is None else np.asarray(mean), covariance * (count - 1))


def stored(m: Moments) -> Moments:
    """Moments as they come back from a file."""
    return Moments(m.count, m.mean, unpack(pack(m.scatter), len(m.mean)))


def root(a: Moments, b: Moments) -> float:
    return gaussians.trace_of_root(gaussians.Gaussian(a), gaussians.Gaussian(b))


def traces(a: Moments, b: Moments) -> float:
    return np.trace(a.covariance) + np.trace(b.covariance)


def nuclear(x: np.ndarray, y: np.ndarray) -> float:
    """Trace of the root from centred frames, without any covariance: their nuclear norm."""
    x, y = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    return np.linalg.svd(x @ y.T, compute_uv=False).sum()


# --- closed forms


@pytest.mark.parametrize("count", [5, 1000], ids=["few frames", "many frames"])
def test_equal_sets(count):
    a = of_frames(frames(count, 20, 0, mean=5))
    found = fad.frechet(a, a)
    assert found.mean_term == 0
    assert abs(found.fad) < 1e-12 * traces(a, a)


@settings(max_examples=50, deadline=None)
@given(*[st.floats(-100, 100)] * 2, *[st.floats(0.01, 100)] * 2)
def test_one_dimension(mean_a, mean_b, sd_a, sd_b):
    a, b = with_covariance(sd_a**2, mean=[mean_a]), with_covariance(sd_b**2, mean=[mean_b])
    found = fad.frechet(a, b)
    size = sd_a**2 + sd_b**2
    assert found.mean_term == pytest.approx((mean_a - mean_b) ** 2)
    assert found.covariance_term == pytest.approx((sd_a - sd_b) ** 2, abs=1e-13 * size)
    assert found.fad == pytest.approx((mean_a - mean_b) ** 2 + (sd_a - sd_b) ** 2, abs=1e-13 * size)


@pytest.mark.parametrize("count", [1000, 8], ids=["full rank", "few frames"])
def test_commuting_covariances(count):
    d = 12
    rng = random(1)
    vectors = ortho_group.rvs(d, random_state=rng)
    sd_a, sd_b = rng.uniform(0.1, 3, (2, d))
    if count <= d:
        # covariances of `count` frames have a rank of count - 1; the null directions differ
        sd_a[count - 1 :] = 0
        sd_b[: d - count + 1] = 0
    a, b = (with_covariance((vectors * sd**2) @ vectors.T, count) for sd in (sd_a, sd_b))
    assert fad.frechet(a, b).fad == pytest.approx(((sd_a - sd_b) ** 2).sum(), abs=1e-7 * traces(a, b))
    assert root(a, b) == pytest.approx((sd_a * sd_b).sum(), abs=1e-7 * traces(a, b))


@pytest.mark.parametrize(("d", "rank"), [(30, 30), (30, 29), (30, 7), (30, 1), (2, 1)])
def test_optimal_transport(d, rank):
    # T carries N(0, S_a) to N(0, T S_a T) optimally where T is symmetric positive definite: tr root = tr(S_a T)
    rng = random(d + rank)
    half = rng.standard_normal((d, rank))
    s_a = half @ half.T
    vectors = ortho_group.rvs(d, random_state=rng)
    t = (vectors * rng.uniform(0.2, 4, d)) @ vectors.T
    count = 1000 if rank == d else rank + 1
    a, b = with_covariance(s_a, count), with_covariance(t @ s_a @ t, count)
    assert root(a, b) == pytest.approx(np.trace(s_a @ t), rel=1e-10)
    apart = t - np.eye(d)
    assert fad.frechet(a, b).fad == pytest.approx(np.trace(s_a @ apart @ apart), rel=1e-9)


def test_transport_at_many_frames_but_deficient_rank():
    # Cholesky of S_b fails or is meaningless here, though there are more frames than dimensions
    rng = random(4)
    half = rng.standard_normal((20, 6))
    vectors = ortho_group.rvs(20, random_state=rng)
    t = (vectors * rng.uniform(0.5, 2, 20)) @ vectors.T
    a, b = with_covariance(half @ half.T), with_covariance(t @ half @ half.T @ t)
    assert root(a, b) == pytest.approx(np.trace(half @ half.T @ t), abs=1e-6 * traces(a, b))


def test_sqrtm_on_well_conditioned_input():
    rng = random(2)
    a, b = of_frames(rng.standard_normal((400, 24))), of_frames(rng.standard_normal((300, 24)) + 0.3)
    root = sqrtm(a.covariance @ b.covariance)
    wanted = ((a.mean - b.mean) ** 2).sum() + traces(a, b) - 2 * np.trace(root).real
    assert fad.frechet(a, b).fad == pytest.approx(wanted, rel=1e-10)


# --- properties


SIZES = [(200, 300), (12, 300), (300, 12), (9, 12), (2, 2), (2, 300), (17, 16)]


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_frames_by_their_singular_values(n, m):
    d = 16
    x, y = frames(n, d, 0, 1.0), frames(m, d, 1, 1.5)
    a, b = of_frames(x), of_frames(y)
    found = fad.frechet(a, b)
    tolerance = 1e-7 * traces(a, b)
    assert root(a, b) == pytest.approx(nuclear(x, y), abs=tolerance)
    assert found.fad == pytest.approx(plain(x, y), abs=tolerance)
    assert found.mean_term == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum())


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_symmetry(n, m):
    a, b = of_frames(frames(n, 16, 0, 1.0)), of_frames(frames(m, 16, 1))
    forth, back = fad.frechet(a, b), fad.frechet(b, a)
    assert forth.mean_term == pytest.approx(back.mean_term)
    assert forth.covariance_term == pytest.approx(back.covariance_term, abs=1e-7 * traces(a, b))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_a_common_rotation_and_shift_change_nothing(n, m):
    x, y = frames(n, 16, 0, 1.0), frames(m, 16, 1)
    turn = ortho_group.rvs(16, random_state=random(3))
    before = fad.frechet(of_frames(x), of_frames(y))
    after = fad.frechet(of_frames(x @ turn + 7), of_frames(y @ turn + 7))
    tolerance = 1e-7 * traces(of_frames(x), of_frames(y))
    assert after.mean_term == pytest.approx(before.mean_term, rel=1e-9)
    assert after.covariance_term == pytest.approx(before.covariance_term, abs=tolerance)


@pytest.mark.parametrize("c", [1e-4, 3.0, 1e5])
@pytest.mark.parametrize(("n", "m"), [(200, 300), (9, 12)])
def test_units_scale_by_their_square(n, m, c):
    x, y = frames(n, 16, 0, 1.0), frames(m, 16, 1)
    before, after = fad.frechet(of_frames(x), of_frames(y)), fad.frechet(of_frames(c * x), of_frames(c * y))
    assert after.mean_term == pytest.approx(c**2 * before.mean_term, rel=1e-9)
    assert after.covariance_term == pytest.approx(c**2 * before.covariance_term, rel=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_never_below_zero_but_for_rounding(n, m, d, seed):
    a, b = of_frames(frames(n, d, seed)), of_frames(frames(m, d, seed + 1))
    found = fad.frechet(a, b)
    assert np.isfinite(found.fad)
    assert found.covariance_term > -1e-7 * traces(a, b)


# --- what is stored: float32, and frames that depend on each other


@pytest.mark.parametrize(("n", "m"), [(400, 500), (70, 500), (65, 64), (20, 30), (3, 2)])
def test_float32_scatters_keep_a_millionth(n, m):
    d = 64
    x, y = frames(n, d, 0, 20.0), frames(m, d, 1, 20.1)
    a, b = of_frames(x), of_frames(y)
    found = fad.frechet(stored(a), stored(b)).covariance_term
    assert found == pytest.approx(traces(a, b) - 2 * nuclear(x, y), abs=1e-6 * traces(a, b))


@pytest.mark.parametrize("white", [False, True])
def test_float32_scatters_of_few_frames_in_many_dimensions(white):
    # what float32 rounds away would count as rank, and its root as distance
    d = 400
    x, y = (random(n).standard_normal((n, d)) + 3 if white else frames(n, d, n) for n in (12, 900))
    a, b = of_frames(x), of_frames(y)
    for one, other, wanted in ((a, b, nuclear(x, y)), (b, a, nuclear(x, y)), (a, a, nuclear(x, x))):
        found = root(stored(one), stored(other))
        assert found == pytest.approx(wanted, abs=0.5e-6 * traces(one, other))


@pytest.mark.parametrize("store", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize(("n", "m"), [(500, 600), (12, 500), (12, 14)])
def test_duplicated_columns(n, m, store):
    x, y = frames(n, 16, 0), frames(m, 16, 1)
    x, y = np.hstack([x, x, x[:, :3]]), np.hstack([y, y, y[:, :3]])
    a, b = of_frames(x), of_frames(y)
    found = root(*((stored(a), stored(b)) if store else (a, b)))
    assert found == pytest.approx(nuclear(x, y), abs=0.5e-6 * traces(a, b))


@pytest.mark.parametrize("store", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize(("n", "m"), [(500, 600), (40, 500), (12, 14)])
def test_columns_that_depend_on_each_other(n, m, store):
    # as after a layer norm: one weighted sum of the columns is the same in every frame of either domain
    d = 32
    gain, bias = random(5).uniform(0.5, 2, d), random(6).standard_normal(d)
    sides = []
    for count, seed in ((n, 0), (m, 1)):
        z = frames(count, d, seed)
        z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
        sides.append(gain * z + bias)
    a, b = map(of_frames, sides)
    found = root(*((stored(a), stored(b)) if store else (a, b)))
    assert found == pytest.approx(nuclear(*sides), abs=0.5e-6 * traces(a, b))


def test_columns_that_never_change():
    x, y = frames(300, 8, 0), frames(300, 8, 1)
    x[:, 2] = y[:, 5] = 1.0
    x[:, 7] = y[:, 7] = 3.0
    a, b = of_frames(x), of_frames(y)
    assert root(a, b) == pytest.approx(nuclear(x, y), abs=1e-7 * traces(a, b))


@pytest.mark.parametrize("store", [np.float64, np.float32])
@pytest.mark.parametrize("side", [0, 1])
def test_states_after_a_layer_norm_need_no_singular_values(monkeypatch, store, side):
    """They have no variance in one direction, the same in both sets; or in one set only."""
    both = [frames(300, 24, 0), 2 * frames(400, 24, 1)]
    weight, bias = random(2).uniform(0.5, 2, 24), random(3).standard_normal(24)
    for k, x in enumerate(both[: side + 1]):
        both[k] = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True) * weight + bias
    a, b = (of_frames(x) for x in both)
    a, b = (Moments(m.count, m.mean, m.scatter.astype(store).astype(np.float64)) for m in (a, b))
    expected = nuclear(*both)
    monkeypatch.setattr(gaussians, "svdvals", None)
    for pair in ((a, b), (b, a)):
        assert root(*pair) == pytest.approx(expected, abs=1e-7 * traces(a, b))


def test_sets_without_variance():
    x, y = frames(300, 8, 0), np.ones((300, 8))
    for pair in ((x, y), (y, x), (y, y)):
        assert root(*map(of_frames, pair)) == 0


def factor(covariance: np.ndarray, rank: int) -> np.ndarray:
    return gaussians.Gaussian(Moments(rank + 1, np.zeros(len(covariance)), rank * covariance)).factor


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_factor(rank):
    half = random(rank).standard_normal((12, rank))
    found = factor(half @ half.T, rank)
    assert found.shape == (12, rank)
    np.testing.assert_allclose(found @ found.T, half @ half.T, atol=1e-12)


def test_factor_leaves_out_what_lies_beyond_the_rank():
    half = random(0).standard_normal((12, 4))
    rounded = (half @ half.T).astype(np.float32).astype(np.float64)
    found = factor(rounded, 4)
    assert found.shape == (12, 4)
    np.testing.assert_allclose(found @ found.T, half @ half.T, atol=1e-5)


# --- estimates from blocks, against the frames


def by_hand(value: float, left_out: list[float], sizes: list[int]) -> tuple[float, float]:
    """Delete-m_j jackknife of Busing et al. (1999), as printed there."""
    n, g = sum(sizes), len(sizes)
    corrected = g * value - sum((1 - m / n) * t for m, t in zip(sizes, left_out, strict=True))
    total = 0.0
    for m, t in zip(sizes, left_out, strict=True):
        h = n / m
        total += 1 / (h - 1) * (h * value - (h - 1) * t - corrected) ** 2
    return corrected, total / g


def drop(parts: list[np.ndarray], j: int) -> np.ndarray:
    return np.concatenate(parts[:j] + parts[j + 1 :])


SHAPES = [
    pytest.param([30, 41, 25, 60], [20, 55, 33, 47], id="many frames"),
    pytest.param([2, 3, 1, 2], [3, 2, 4, 2], id="few frames"),
    pytest.param([2, 3, 1, 2], [20, 55, 33, 47], id="few on one side"),
]


@pytest.mark.parametrize(("sizes_a", "sizes_b"), SHAPES)
def test_paired_blocks_are_dropped_from_both(sizes_a, sizes_b):
    a, b = cut(sizes_a, 12, 0), cut(sizes_b, 12, 7, 0.5)
    found = fad.estimate(as_blocks(a), as_blocks(b), paired=True)
    value = plain(np.concatenate(a), np.concatenate(b))
    left_out = [plain(drop(a, j), drop(b, j)) for j in range(4)]
    corrected, variance = by_hand(value, left_out, [m + n for m, n in zip(sizes_a, sizes_b, strict=True)])
    assert found.distance.fad == pytest.approx(value, rel=1e-6)
    assert found.corrected == pytest.approx(corrected, rel=1e-5)
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-5)


@pytest.mark.parametrize(("sizes_a", "sizes_b"), SHAPES)
def test_independent_variances_and_biases_add(sizes_a, sizes_b):
    a, b = cut(sizes_a, 12, 0), cut([*sizes_b, 3], 12, 7, 0.5)
    found = fad.estimate(as_blocks(a), as_blocks(b), paired=False)
    whole_a, whole_b = np.concatenate(a), np.concatenate(b)
    value = plain(whole_a, whole_b)
    corrected_a, variance_a = by_hand(value, [plain(drop(a, j), whole_b) for j in range(4)], sizes_a)
    corrected_b, variance_b = by_hand(value, [plain(whole_a, drop(b, j)) for j in range(5)], [*sizes_b, 3])
    assert found.distance.fad == pytest.approx(value, rel=1e-6)
    assert found.corrected == pytest.approx(corrected_a + corrected_b - value, rel=1e-5)
    assert found.std_error == pytest.approx(np.sqrt(variance_a + variance_b), rel=1e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_estimates_of_swapped_domains_are_equal(paired):
    a, b = as_blocks(cut([30, 41, 25], 6, 0)), as_blocks(cut([20, 55, 33], 6, 1, 1.0))
    forth, back = fad.estimate(a, b, paired=paired), fad.estimate(b, a, paired=paired)
    assert forth.corrected == pytest.approx(back.corrected)
    assert forth.std_error == pytest.approx(back.std_error)


@pytest.mark.parametrize("paired", [True, False])
def test_one_block_has_no_error(paired):
    found = fad.estimate(as_blocks(cut([40], 6, 0)), as_blocks(cut([50], 6, 1)), paired=paired)
    assert np.isfinite(found.distance.fad)
    assert np.isnan([found.corrected, found.std_error]).all()


def test_one_block_on_one_side_has_no_error():
    found = fad.estimate(as_blocks(cut([40], 6, 0)), as_blocks(cut([50, 30], 6, 1)), paired=False)
    assert np.isfinite(found.distance.fad)
    assert np.isnan([found.corrected, found.std_error]).all()


@pytest.mark.parametrize("paired", [True, False])
def test_an_empty_block_is_not_counted(paired):
    sizes = [30, 41, 25]
    a, b = cut(sizes, 6, 0), cut(sizes, 6, 1)
    nobody = np.empty((0, 6))
    with_gap = fad.estimate(as_blocks([a[0], nobody, *a[1:]]), as_blocks([b[0], nobody, *b[1:]]), paired=paired)
    without = fad.estimate(as_blocks(a), as_blocks(b), paired=paired)
    assert with_gap.corrected == pytest.approx(without.corrected, rel=1e-9)
    assert with_gap.std_error == pytest.approx(without.std_error, rel=1e-9)


def test_a_block_that_is_empty_on_one_side_only():
    a, b = cut([30, 41, 25, 8], 6, 0), cut([30, 0, 25, 9], 6, 1)
    found = fad.estimate(as_blocks(a), as_blocks(b), paired=True)
    value = plain(np.concatenate(a), np.concatenate(b))
    corrected, variance = by_hand(value, [plain(drop(a, j), drop(b, j)) for j in range(4)], [60, 41, 50, 17])
    assert found.corrected == pytest.approx(corrected, rel=1e-6)
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("sizes_a", "sizes_b"), [([20, 30], [25, 0]), ([20, 30], [25, 1]), ([20, 1], [25, 30])])
def test_a_block_that_cannot_be_left_out_leaves_no_error(paired, sizes_a, sizes_b):
    # without it a domain has fewer than the two frames that a covariance needs
    found = fad.estimate(as_blocks(cut(sizes_a, 6, 0)), as_blocks(cut(sizes_b, 6, 1)), paired=paired)
    assert np.isfinite(found.distance.fad)
    assert np.isnan([found.corrected, found.std_error]).all()


@pytest.mark.parametrize("sizes", [[0, 0], [1, 0]])
def test_too_few_frames(tmp_path, sizes):
    paths = {d: [write(tmp_path, "calm", d, cut(s, 3, 0), 2)] for d, s in (("A", [5, 5]), ("B", sizes))}
    with pytest.raises(UserError) as caught:
        run(paths, ["calm"])
    assert str(caught.value) == (
        f"{paths['B'][0]}: FAD needs at least two frames; add recordings of `calm` to domain `B`"
    )


@pytest.mark.parametrize("name", ["mean", "scatter"])
def test_moments_that_are_not_finite(tmp_path, name):
    paths = two_emotions(tmp_path)
    with h5py.File(paths["B"][1], "a") as h5:
        h5[f"blocks/{name}"][1, 2] = np.nan
    with pytest.raises(UserError) as caught:
        run(paths, ["calm", "sad"])
    assert str(caught.value) == (
        f"{paths['B'][1]}: `blocks/{name}` holds values that are not finite; delete the file and run again"
    )


@pytest.mark.parametrize("count", [1, 8], ids=["fewer frames than dimensions", "more"])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("apart", [0.0, 0.6])
def test_correction_comes_nearer_to_the_truth(count, paired, apart):
    d, blocks, runs = 12, 8, 60
    rng = random(0)
    spread = np.linspace(0.5, 1.5, d)
    truth = d * apart**2 + (spread**2 * (1 - 1 / 1.2) ** 2).sum()
    values, corrected = [], []
    for _ in range(runs):
        a = rng.standard_normal((blocks, count, d)) * spread
        b = rng.standard_normal((blocks, count, d)) * spread / 1.2 + apart
        found = fad.estimate(as_blocks(list(a)), as_blocks(list(b)), paired=paired)
        values.append(found.distance.fad)
        corrected.append(found.corrected)
    bias, left = abs(np.mean(values) - truth), abs(np.mean(corrected) - truth)
    assert left < 0.3 * bias


def test_the_error_is_as_wide_as_the_values_scatter():
    rng = random(1)
    values, errors = [], []
    for _ in range(150):
        a, b = (rng.standard_normal((10, 40, 3)) + 0.3 * rng.standard_normal((10, 1, 3)) for _ in range(2))
        found = fad.estimate(as_blocks(list(a)), as_blocks(list(b + 1)), paired=False)
        values.append(found.distance.fad)
        errors.append(found.std_error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.25)


# --- simulations in which the true FAD is known


def people(rng, blocks: int, count: int, spread: np.ndarray, people_spread: np.ndarray, same: bool) -> list[list]:
    """Frames of two domains by block: frames scatter by `spread` about a speaker, speakers by `people_spread`."""
    d = spread.shape[-1]
    own = rng.standard_normal((2, blocks, 1, d)) * people_spread
    if same:
        own[1] = own[0]
    return [list(side) for side in rng.standard_normal((2, blocks, count, d)) * spread + own]


@pytest.mark.parametrize("speakers", [0.0, 0.5], ids=["plain draws", "speakers differ"])
@pytest.mark.parametrize("same", [True, False], ids=["paired", "independent"])
@pytest.mark.parametrize(("d", "count"), [(4, 20), (30, 2)], ids=["many frames", "fewer than dimensions"])
def test_corrected_is_nearer_to_the_truth_and_its_interval_holds_it(speakers, same, d, count):
    blocks, runs = 12, 120
    rng = random(5)
    spread = np.stack([np.linspace(0.5, 1.5, d), np.linspace(0.7, 1.2, d)])[:, None, None]
    within = np.full(d, speakers)
    # axes are common to both domains: the distance of the standard deviations, speakers' share included
    roots = np.sqrt(spread[:, 0, 0] ** 2 + within**2)
    truth = d * 0.8**2 + ((roots[0] - roots[1]) ** 2).sum()
    plain_values, corrected, errors = [], [], []
    for _ in range(runs):
        a, b = people(rng, blocks, count, spread, within, same)
        found = fad.estimate(as_blocks(a), as_blocks([x + 0.8 for x in b]), paired=same)
        plain_values.append(found.distance.fad)
        corrected.append(found.corrected)
        errors.append(found.std_error)
    plain_values, corrected, errors = map(np.array, (plain_values, corrected, errors))
    assert abs(np.mean(corrected) - truth) < 0.5 * abs(np.mean(plain_values) - truth)
    assert np.mean(abs(corrected - truth)) < np.mean(abs(plain_values - truth))
    held = abs(corrected - truth) < student.ppf(0.975, blocks - 1) * errors
    # too many dimensions leave some bias, which the interval does not know of
    assert held.mean() > (0.87 if count > 2 else 0.75)
    assert corrected.std() == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.2)


# --- files


def write(folder, emotion: str, domain: str, parts: list[np.ndarray], clips: int, **said: str) -> str:
    blocks = as_blocks(parts)
    whole = store.Embeddings(
        [f"{emotion}{domain}{i}" for i in range(clips)],
        np.full(clips, 3),
        np.zeros((1, clips, parts[0].shape[1]), np.float32),
        blocks.count,
        blocks.mean[None],
        pack(blocks.scatter)[None],
    )
    return write_embeddings(folder, whole, "tiny", domain, emotion, **said)


def run(paths: dict[str, list[str]], emotions: list[str], paired: bool = True) -> tuple[list[dict], list[dict]]:
    return fad.run(paths, model="tiny", layer=0, emotions=emotions, paired=paired)


def test_sides_of_two_precisions_are_refused(tmp_path):
    parts = cut([30, 20, 25], 6, 0)
    of = {"A": "bfloat16", "B": "float32"}
    paths = {d: [write(tmp_path, "calm", d, parts, 3, precision=of[d])] for d in "AB"}
    with pytest.raises(UserError, match=r"B/.*: was computed in float32, .*A/.* in bfloat16; set `precision` to one"):
        run(paths, ["calm"])


@pytest.mark.parametrize("paired", [True, False])
def test_rows_of_files_and_of_all_together(tmp_path, paired):
    parts = {
        ("calm", "A"): cut([30, 20, 25], 6, 0),
        ("calm", "B"): cut([25, 35, 15], 6, 1, 0.5),
        ("sad", "A"): cut([30, 0, 25], 6, 2, 1.0),
        ("sad", "B"): cut([20, 20, 25], 6, 3, 0.3),
    }
    paths = {d: [write(tmp_path, e, d, parts[e, d], 3 + i) for e in ("calm", "sad")] for i, d in enumerate("AB")}
    rows, left_out = run(paths, ["calm", "sad"], paired)
    assert [r["emotion"] for r in rows] == ["calm", "sad", "all"]
    assert list(rows[0]) == [
        *("emotion", "fad", "fad_corrected", "std_error", "mean_term", "covariance_term"),
        *("clips_A", "clips_B", "frames_A", "frames_B"),
        *("fad_matched", "fad_within_A", "fad_within_B", "fad_across"),
    ]
    sides = {
        **{e: [parts[e, d] for d in "AB"] for e in ("calm", "sad")},
        "all": [[np.concatenate(same) for same in zip(parts["calm", d], parts["sad", d], strict=True)] for d in "AB"],
    }
    for row in rows:
        a, b = sides[row["emotion"]]
        wanted = fad.estimate(as_blocks(a), as_blocks(b), paired=paired)
        assert row["fad"] == pytest.approx(plain(np.concatenate(a), np.concatenate(b)), rel=1e-5)
        assert row["fad"] == pytest.approx(row["mean_term"] + row["covariance_term"])
        assert row["fad_corrected"] == pytest.approx(wanted.corrected, rel=1e-4)
        assert row["std_error"] == pytest.approx(wanted.std_error, rel=1e-4)
        assert (row["frames_A"], row["frames_B"]) == (sum(map(len, a)), sum(map(len, b)))
    assert [(r["clips_A"], r["clips_B"]) for r in rows] == [(3, 4), (3, 4), (6, 8)]
    assert rows[0]["fad_matched"] == rows[0]["fad"]  # as few clips as any
    whole = {e: ([as_blocks(a)], [as_blocks(b)]) for e, (a, b) in sides.items()}
    whole["all"] = tuple([as_blocks(parts[e, d]) for e in ("calm", "sad")] for d in "AB")
    order, *_ = drawn = scale.orders(3, 3, paired=paired)
    wanted = scale.matched(fad.fad_or_nan, *whole["all"], 0.5, order, paired=paired)
    assert rows[2]["fad_matched"] == pytest.approx(wanted, rel=1e-4)
    for row in rows:
        found = [row[c] for c in ("fad_within_A", "fad_within_B", "fad_across")]
        a, b = (as_blocks(side) for side in sides[row["emotion"]])
        assert found == pytest.approx(scale.halves(fad.fad_or_nan, a, b, drawn), rel=1e-4, nan_ok=True)
    assert list(left_out[0]) == ["emotion", "side", "block", "frames", "fad_left_out"]
    sad = [row for row in left_out if row["emotion"] == "sad"]
    places = [(row["side"], row["block"], row["frames"]) for row in sad]
    a, b = sides["sad"]
    if paired:
        assert places == [("both", 0, 50), ("both", 1, 20), ("both", 2, 50)]
        wanted = [plain(drop(a, j), drop(b, j)) for j in range(3)]
    else:
        assert places == [("A", 0, 30), ("A", 2, 25), ("B", 0, 20), ("B", 1, 20), ("B", 2, 25)]
        wanted = [plain(drop(a, j), np.concatenate(b)) for j in (0, 2)]
        wanted += [plain(np.concatenate(a), drop(b, j)) for j in range(3)]
    assert [row["fad_left_out"] for row in sad] == pytest.approx(wanted, rel=1e-4)


def test_sizes_are_matched_to_the_emotion_with_the_fewest_clips(tmp_path):
    # 4 and 12 clips are worth 3 each way, 6 and 6 too; 12 and 12 are worth twice as many
    clips = {"calm": (4, 12), "sad": (6, 6), "happy": (12, 12)}
    parts = {e: [cut([20, 20, 20, 20], 4, 2 * i + side, i) for side in range(2)] for i, e in enumerate(clips)}
    paths = {d: [write(tmp_path, e, d, parts[e][i], clips[e][i]) for e in clips] for i, d in enumerate("AB")}
    rows, _ = run(paths, list(clips))
    for row in rows[:2]:
        assert row["fad_matched"] == row["fad"]
    order = scale.orders(4, 4, paired=True)[0]
    wanted = scale.matched(fad.fad_or_nan, *[[as_blocks(side)] for side in parts["happy"]], 0.5, order, paired=True)
    assert rows[2]["fad_matched"] == pytest.approx(wanted, rel=1e-5)
    assert rows[2]["fad_matched"] != pytest.approx(rows[2]["fad"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("paired", [True, False])
def test_one_speaker_gives_a_row_without_errors(tmp_path, paired):
    paths = {d: [write(tmp_path, "calm", d, cut([9], 3, i), 3)] for i, d in enumerate("AB")}
    rows, left_out = run(paths, ["calm"], paired)
    for row in rows:
        assert np.isfinite([row["fad"], row["fad_matched"]]).all()
        assert np.isnan([row[c] for c in ("std_error", "fad_within_A", "fad_within_B", "fad_across")]).all()
    assert np.isnan([row["fad_left_out"] for row in left_out]).all()
    assert len(left_out) == 2 * (1 if paired else 2)


def test_all_of_one_emotion_is_that_emotion(tmp_path):
    paths = {d: [write(tmp_path, "calm", d, cut([30, 20, 25], 6, i), 3)] for i, d in enumerate("AB")}
    for table in run(paths, ["calm"]):
        half = len(table) // 2
        assert [row["emotion"] for row in table] == half * ["calm"] + half * ["all"]
        assert [row | {"emotion": "all"} for row in table[:half]] == table[half:]


def two_emotions(folder) -> dict[str, list[str]]:
    return {
        d: [write(folder, e, d, cut([9, 8], 3, i + 2 * j), 3) for j, e in enumerate(("calm", "sad"))]
        for i, d in enumerate("AB")
    }


def test_files_come_in_any_order(tmp_path):
    paths = two_emotions(tmp_path)
    assert run({d: some[::-1] for d, some in paths.items()}, ["calm", "sad"]) == run(paths, ["calm", "sad"])


@pytest.mark.parametrize("other", [("A", 1), ("B", 0)], ids=["emotion", "domain"])
def test_swapped_files_are_refused(tmp_path, other):
    paths = two_emotions(tmp_path)
    one, two = Path(paths["A"][0]), Path(paths[other[0]][other[1]])
    one_bytes, two_bytes = one.read_bytes(), two.read_bytes()
    one.write_bytes(two_bytes)
    two.write_bytes(one_bytes)
    with pytest.raises(UserError) as caught:
        run(paths, ["calm", "sad"])
    said = "/".join(two.parts[-4:])
    assert (
        str(caught.value) == f"{one}: says that it is {said}, not tiny/A/layer00/calm.h5; delete the file and run again"
    )
