"""Kernel audio distances against double sums over clips; tests and errors against every exchange, and by simulation."""

from __future__ import annotations

import itertools
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist, pdist

from made_files import write_embeddings
from speechsong import files
from speechsong.distances import kad as kads
from speechsong.distances.jackknife import jackknife
from speechsong.embeddings import store
from speechsong.errors import UserError


def direct(x: np.ndarray, y: np.ndarray, of_x: list[int], of_y: list[int], bandwidth: float) -> float:
    """Gretton et al. (2012), eq. 3, term by term, over the pairs of clips of two speakers."""

    def mean(one, of_one, other, of_other):
        kernel = [
            np.exp(-((u - v) ** 2).sum() / (2 * bandwidth**2))
            for u, s in zip(one, of_one, strict=True)
            for v, t in zip(other, of_other, strict=True)
            if s != t
        ]
        return sum(kernel) / len(kernel) if kernel else np.nan

    return mean(x, of_x, x, of_x) + mean(y, of_y, y, of_y) - 2 * mean(x, of_x, y, of_y)


def made(x: np.ndarray, y: np.ndarray, of_x: list[int], of_y: list[int]) -> tuple[kads.Groups, float]:
    in_a = np.arange(len(x) + len(y)) < len(x)
    kernel, bandwidth = kads.gaussian(kads.squared_distances(np.concatenate([x, y])))
    return kads.aggregate(kernel, in_a, np.array([*of_x, *of_y])), bandwidth


def kad(groups: kads.Groups) -> float:
    return float(groups.kad(groups.in_a, ~groups.in_a))


def clips(seed: int, of_x: list[int], of_y: list[int], d: int = 4, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((max(*of_x, *of_y) + 1, d))
    return (
        people[of_x] + rng.standard_normal((len(of_x), d)),
        people[of_y] + rng.standard_normal((len(of_y), d)) + shift,
    )


OF_X, OF_Y = [0, 0, 1, 2, 2, 2, 4, 4], [0, 1, 1, 1, 2, 3, 3]


# who speaks in the clips of both domains, and a seed
ANYBODY = (
    st.lists(st.integers(0, 3), min_size=2, max_size=9),
    st.lists(st.integers(0, 4), min_size=2, max_size=9),
    st.integers(0, 2**32 - 1),
)

# --- the value


@settings(max_examples=40, deadline=None)
@given(*ANYBODY)
def test_the_double_sum_whoever_speaks(of_x, of_y, seed):
    x, y = clips(seed, of_x, of_y)
    groups, bandwidth = made(x, y, of_x, of_y)
    assert bandwidth == pytest.approx(np.median(pdist(np.concatenate([x, y]))))
    assert kad(groups) == pytest.approx(direct(x, y, of_x, of_y, bandwidth), abs=1e-12, nan_ok=True)
    assert np.isfinite(kad(groups)) == (min(len(set(of_x)), len(set(of_y))) > 1)
    assert len(groups.count) == len(set(of_x)) + len(set(of_y))
    assert groups.count[groups.in_a].sum() == len(x)


@settings(max_examples=40, deadline=None)
@given(*ANYBODY)
def test_one_product_gives_what_six_give(of_x, of_y, seed):
    groups, _ = made(*clips(seed, of_x, of_y), of_x, of_y)
    chosen = np.random.default_rng(seed).integers(2, size=(20, len(groups.count))).astype(bool)
    np.testing.assert_allclose(groups.kad_from_rest(chosen), groups.kad(chosen, ~chosen), rtol=0, atol=1e-12)


def test_swapped_domains_are_as_far():
    x, y = clips(0, OF_X, OF_Y)
    (forth, one), (back, other) = made(x, y, OF_X, OF_Y), made(y, x, OF_Y, OF_X)
    assert one == other
    assert kad(forth) == pytest.approx(kad(back), abs=1e-14)
    assert kads.standard_error(forth, paired=True) == pytest.approx(kads.standard_error(back, paired=True))


@pytest.mark.parametrize(
    ("of_x", "of_y"),
    [
        (np.repeat(np.arange(10), 8), np.repeat(np.arange(10, 20), 8)),
        (np.repeat(np.arange(23), 4), np.repeat(np.arange(23), 4)),
        (np.repeat(np.arange(6), [1, 2, 3, 4, 5, 9]), np.repeat(np.arange(6), [5, 1, 3, 2, 7, 2])),
        (np.arange(15), np.arange(15, 30)),
    ],
    ids=["independent speakers", "paired speakers", "speakers with few and many clips", "one clip each"],
)
def test_no_bias_where_there_is_no_difference(of_x, of_y):
    # with all pairs of clips the first two would be at +0.03 and -0.0035
    values = np.array([kad(made(*clips(seed, of_x, of_y, shift=0), of_x, of_y)[0]) for seed in range(500)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 0.003
    assert 0.2 < np.mean(values < 0) < 0.8


def test_units_do_not_matter():
    x, y = clips(1, OF_X, OF_Y)
    one, bandwidth = made(x, y, OF_X, OF_Y)
    other, larger = made(1e4 * x + 7, 1e4 * y + 7, OF_X, OF_Y)
    assert larger == pytest.approx(1e4 * bandwidth)
    assert kad(other) == pytest.approx(kad(one), abs=1e-10)


def test_distances_far_from_zero():
    x = 1e4 + np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    found = kads.squared_distances(x)
    np.testing.assert_allclose(found, cdist(x.astype(float), x.astype(float), "sqeuclidean"), atol=1e-9)
    assert not np.diag(found).any()


def test_equal_clips_have_no_bandwidth():
    with pytest.raises(UserError, match="same features") as caught:
        made(np.ones((5, 2)), np.ones((5, 2)), [0] * 5, [1] * 5)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("paired", [True, False])
def test_one_speaker_has_no_distance(paired):
    groups, bandwidth = made(np.zeros((2, 2)), np.ones((3, 2)) * [[1], [2], [4]], [0, 0], [0, 1, 2])
    assert bandwidth > 0
    assert np.isnan([kad(groups), kads.standard_error(groups, paired=paired)]).all()
    assert np.isnan(kads.permutation(groups, paired=paired))


# --- single clips


def far(point, own: int, others: np.ndarray, of: list[int], bandwidth: float) -> float:
    """The squared distance of one clip's image from the mean of the others', term by term."""
    there = [(y, s) for y, s in zip(others, of, strict=True) if s != own]

    def kernel(u, v):
        return np.exp(-((u - v) ** 2).sum() / (2 * bandwidth**2))

    inside = [kernel(u, v) for u, s in there for v, t in there if s != t]
    return 1 - 2 * np.mean([kernel(point, y) for y, _ in there]) + sum(inside) / len(inside) if inside else np.nan


@settings(max_examples=30, deadline=None)
@given(*ANYBODY)
def test_clips_term_by_term_whoever_speaks(of_x, of_y, seed):
    x, y = clips(seed, of_x, of_y)
    kernel, bandwidth = kads.gaussian(kads.squared_distances(np.concatenate([x, y])))
    across, within = kads.of_clips(kernel, np.arange(len(x) + len(y)) < len(x), np.array([*of_x, *of_y]))
    wanted = [(far(u, s, y, of_y, bandwidth), far(u, s, x, of_x, bandwidth)) for u, s in zip(x, of_x, strict=True)]
    wanted += [(far(v, t, x, of_x, bandwidth), far(v, t, y, of_y, bandwidth)) for v, t in zip(y, of_y, strict=True)]
    np.testing.assert_allclose(np.stack([across, within], axis=1), wanted, atol=1e-12)


def test_a_clip_that_sounds_like_the_other_domain_is_near_it():
    of = [0, 0, 1, 1, 2, 2]
    x, y = clips(4, of, of, shift=6)
    x[3] = y[0]
    kernel, _ = kads.gaussian(kads.squared_distances(np.concatenate([x, y])))
    across, within = kads.of_clips(kernel, np.arange(12) < 6, np.array([*of, *of]))
    assert across[:6].argmin() == within[:6].argmax() == 3
    # any other clip is farther from the other domain than from its own
    assert ((across > within) == (np.arange(12) != 3)).all()


# --- the standard error


def without(x: np.ndarray, of: list[int], speaker: int) -> np.ndarray:
    return x[np.array(of) != speaker]


def test_paired_speakers_are_left_out_of_both():
    x, y = clips(2, OF_X, OF_Y)
    groups, bandwidth = made(x, y, OF_X, OF_Y)
    left_out = [
        direct(without(x, OF_X, s), without(y, OF_Y, s), of_x, of_y, bandwidth)
        for s in range(5)
        for of_x, of_y in [([t for t in OF_X if t != s], [t for t in OF_Y if t != s])]
    ]
    sizes = [OF_X.count(s) + OF_Y.count(s) for s in range(5)]
    _, variance = jackknife(direct(x, y, OF_X, OF_Y, bandwidth), np.array(left_out), np.array(sizes))
    assert kads.standard_error(groups, paired=True) == pytest.approx(np.sqrt(variance))


def test_independent_speakers_are_left_out_of_one():
    of_y = [5 + s for s in OF_Y]
    x, y = clips(2, OF_X, of_y)
    groups, bandwidth = made(x, y, OF_X, of_y)
    total, value = 0.0, direct(x, y, OF_X, of_y, bandwidth)
    for in_x, of in ((True, OF_X), (False, of_y)):
        speakers = sorted(set(of))
        left_out = []
        for s in speakers:
            rest = [t for t in of if t != s]
            if in_x:
                left_out.append(direct(without(x, of, s), y, rest, of_y, bandwidth))
            else:
                left_out.append(direct(x, without(y, of, s), OF_X, rest, bandwidth))
        total += jackknife(value, np.array(left_out), np.array([of.count(s) for s in speakers]))[1]
    assert kads.standard_error(groups, paired=False) == pytest.approx(np.sqrt(total))


@pytest.mark.filterwarnings("error")
def test_two_speakers_have_no_error():
    x, y = clips(0, [0, 1, 0], [0, 1, 1])
    groups, _ = made(x, y, [0, 1, 0], [0, 1, 1])
    assert np.isfinite(kad(groups))
    for paired in (True, False):
        assert np.isnan(kads.standard_error(groups, paired=paired))


def test_the_error_is_as_wide_as_the_values_scatter():
    of = np.repeat(np.arange(12), 4).tolist()
    found = []
    for seed in range(100):
        groups, _ = made(*clips(seed, of, of, shift=1.5), of, of)
        found.append((kad(groups), kads.standard_error(groups, paired=True)))
    values, errors = np.array(found).T
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.35)


# --- the permutation test


def test_every_swap_of_unequal_speakers_by_hand():
    x, y = clips(3, OF_X, OF_Y, shift=0.8)
    groups, bandwidth = made(x, y, OF_X, OF_Y)
    of = np.array([*OF_X, *OF_Y])
    pooled, in_x = np.concatenate([x, y]), np.arange(15) < 8
    observed = direct(x, y, OF_X, OF_Y, bandwidth)
    larger = []
    for swap in itertools.product([False, True], repeat=5):
        now = in_x ^ np.array(swap)[of]
        larger.append(direct(pooled[now], pooled[~now], of[now], of[~now], bandwidth) >= observed - 1e-12)
    assert kads.permutation(groups, paired=True) == pytest.approx(np.mean(larger), abs=0.015)


def test_every_new_deal_of_unequal_speakers_by_hand():
    of_y = [5, 6, 6, 6, 7, 8, 8]
    x, y = clips(3, OF_X, of_y, shift=0.8)
    groups, bandwidth = made(x, y, OF_X, of_y)
    of = np.array([*OF_X, *of_y])
    pooled = np.concatenate([x, y])
    observed = direct(x, y, OF_X, of_y, bandwidth)
    larger = []
    for people in itertools.combinations(sorted(set(of)), len(set(OF_X))):
        now = np.isin(of, people)
        larger.append(direct(pooled[now], pooled[~now], of[now], of[~now], bandwidth) >= observed - 1e-12)
    assert kads.permutation(groups, paired=False) == pytest.approx(np.mean(larger), abs=0.015)


@pytest.mark.parametrize("paired", [True, False])
def test_p_values_without_a_difference_are_uniform(paired):
    of_x = np.repeat(np.arange(8), [1, 2, 3, 4, 4, 3, 2, 1]).tolist()
    of_y = of_x[::-1] if paired else [8 + s for s in of_x]
    found = np.array(
        [
            kads.permutation(made(*clips(seed, of_x, of_y, shift=0), of_x, of_y)[0], paired=paired, draws=199)
            for seed in range(300)
        ]
    )
    assert found.min() > 0
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.09)
    # a difference between people is none between domains, though a test of single clips would find one
    assert np.mean(found <= 0.05) < 0.1


@pytest.mark.parametrize("paired", [True, False])
def test_a_shift_is_found(paired):
    of_x = np.repeat(np.arange(12), 3).tolist()
    of_y = of_x if paired else [12 + s for s in of_x]
    groups, _ = made(*clips(4, of_x, of_y, shift=2.0), of_x, of_y)
    assert kads.permutation(groups, paired=paired) < 0.002
    assert kads.permutation(groups, paired=paired) == kads.permutation(groups, paired=paired)


# --- files


def write(folder, domain: str, emotion: str, ids: list[str], pooled: np.ndarray, layer: int = 0) -> str:
    n, d = pooled.shape
    whole = store.Embeddings(
        ids,
        np.ones(n, int),
        pooled[None].astype(np.float32),
        np.array([n]),
        np.zeros((1, 1, d)),
        np.zeros((1, 1, d * (d + 1) // 2), np.float32),
    )
    return write_embeddings(folder, whole, "tiny", domain, emotion, layer)


def corpus(folder, of: dict[tuple[str, str], list[int]], layers: int = 1) -> tuple[dict, dict, dict[str, str]]:
    """Embedding files and clip indices; clips of both domains have the same names, and the index another order."""
    pooled, paths, index = {}, {"A": [], "B": []}, {"A": [], "B": []}
    for i, ((domain, emotion), speakers) in enumerate(of.items()):
        ids = [f"{emotion}{k}" for k in range(len(speakers))]
        pooled[domain, emotion] = np.random.default_rng(i).standard_normal((len(ids), 3)).astype(np.float32) + i
        paths[domain] += [write(folder, domain, emotion, ids, pooled[domain, emotion], k) for k in range(layers)]
        index[domain] += [{"clip_id": c, "speaker": f"{s:02d}"} for c, s in zip(ids, speakers, strict=True)]
    for domain, rows in index.items():
        files.write_rows(folder / f"{domain}.csv", rows[::-1])
    return pooled, paths, {domain: str(folder / f"{domain}.csv") for domain in "AB"}


BLOCKS = {domain: {"00": 0, "01": 1, "02": 0} for domain in "AB"}


def run(paths: dict, index: dict, *, paired: bool = True, emotions=("calm", "sad")) -> list[dict]:
    return kads.run(paths, index, model="tiny", emotions=list(emotions), paired=paired, blocks=BLOCKS)[0]


OF = {
    ("A", "calm"): [0, 0, 1, 2, 2],
    ("B", "calm"): [0, 1, 1, 2],
    ("A", "sad"): [1, 2, 1, 0],
    ("B", "sad"): [0, 0, 1, 2, 2, 2],
}


@pytest.mark.parametrize("paired", [True, False])
def test_rows(tmp_path, paired):
    pooled, paths, index = corpus(tmp_path, OF, layers=2)
    rows = run(paths, index, paired=paired)
    assert list(rows[0]) == [
        *("layer", "emotion", "kad", "kad_low", "kad_high", "std_error", "p", "bandwidth", "clips_A", "clips_B")
    ]
    assert [(r["layer"], r["emotion"]) for r in rows] == list(itertools.product((0, 1), ("calm", "sad", "all")))
    for row in rows[:3]:
        chosen = ("calm", "sad") if row["emotion"] == "all" else (row["emotion"],)
        x, y = (np.concatenate([pooled[d, e] for e in chosen]).astype(float) for d in "AB")
        of_x, of_y = ([s for e in chosen for s in OF[d, e]] for d in "AB")
        # independent speakers differ, even where both domains have the same names
        of_y = of_y if paired else [3 + s for s in of_y]
        groups, bandwidth = made(x, y, of_x, of_y)
        assert row["bandwidth"] == pytest.approx(bandwidth)
        assert row["kad"] == pytest.approx(direct(x, y, of_x, of_y, bandwidth))
        assert row["std_error"] == pytest.approx(kads.standard_error(groups, paired=paired))
        # three speakers in each domain
        reach = stats.t.ppf(0.975, 2) * row["std_error"]
        assert (row["kad_low"], row["kad_high"]) == pytest.approx((row["kad"] - reach, row["kad"] + reach))
        assert row["p"] == kads.permutation(groups, paired=paired)
        assert (row["clips_A"], row["clips_B"]) == (len(x), len(y))
    assert [r | {"layer": ""} for r in rows[:3]] == [r | {"layer": ""} for r in rows[3:]]


@pytest.mark.parametrize("paired", [True, False])
def test_blocks_left_out_by_the_double_sum(tmp_path, paired):
    # three speakers more, so that two are left
    of = {key: [*speakers, 3, 4, 4, 5, 3] for key, speakers in OF.items()}
    pooled, paths, index = corpus(tmp_path, of)
    blocks = {domain: {f"0{k}": k // 2 for k in range(6)} for domain in "AB"}
    rows, left_out, _ = kads.run(paths, index, model="tiny", emotions=["calm", "sad"], paired=paired, blocks=blocks)
    of_emotion = [row for row in left_out if row["emotion"] == "sad"]
    assert list(of_emotion[0]) == ["layer", "emotion", "side", "block", "clips", "kad_left_out"]
    sides = ("both",) if paired else ("A", "B")
    assert [(row["side"], row["block"]) for row in of_emotion] == list(itertools.product(sides, range(3)))
    bandwidth = next(row["bandwidth"] for row in rows if row["emotion"] == "sad")
    for row in of_emotion:
        parts, dropped = {}, 0
        for domain in "AB":
            speakers = np.array(of[domain, "sad"])
            keep = (
                np.full(len(speakers), True) if row["side"] not in (domain, "both") else speakers // 2 != row["block"]
            )
            # independent speakers differ, even where both domains have the same names
            shift = 0 if paired or domain == "A" else 100
            parts[domain] = pooled[domain, "sad"].astype(float)[keep], list(speakers[keep] + shift)
            dropped += int((~keep).sum())
        expected = direct(parts["A"][0], parts["B"][0], parts["A"][1], parts["B"][1], bandwidth)
        assert row["kad_left_out"] == pytest.approx(expected)
        assert row["clips"] == dropped


@pytest.mark.parametrize("paired", [True, False])
def test_a_row_for_every_clip(tmp_path, paired):
    pooled, paths, index = corpus(tmp_path, OF, layers=2)
    rows, _, single = kads.run(paths, index, model="tiny", emotions=["calm", "sad"], paired=paired, blocks=BLOCKS)
    table = pd.DataFrame(single)
    assert list(table.columns) == [
        *("layer", "emotion", "domain", "clip_id", "speaker", "across", "within", "percentile"),
    ]
    assert len(table) == 2 * sum(map(len, OF.values()))
    shift = 0 if paired else 10
    for (_, emotion, domain), some in table.groupby(["layer", "emotion", "domain"]):
        x, of_x = pooled[domain, emotion].astype(float), OF[domain, emotion]
        other = "B" if domain == "A" else "A"
        y, of_y = pooled[other, emotion].astype(float), [s + shift for s in OF[other, emotion]]
        bandwidth = next(r["bandwidth"] for r in rows if r["emotion"] == emotion)
        assert list(some["clip_id"]) == [f"{emotion}{k}" for k in range(len(x))]
        assert list(some["speaker"]) == [f"{s:02d}" for s in of_x]
        for row, clip, speaker in zip(some.itertuples(), x, of_x, strict=True):
            assert row.across == pytest.approx(far(clip, speaker, y, of_y, bandwidth))
            assert row.within == pytest.approx(far(clip, speaker, x, of_x, bandwidth), nan_ok=True)
            assert row.percentile == pytest.approx(100 * np.mean(some["across"] <= row.across))


def test_features_that_are_not_finite(tmp_path):
    _, paths, index = corpus(tmp_path, OF)
    bad = write(tmp_path, "A", "calm", [f"calm{k}" for k in range(5)], np.full((5, 3), np.nan))
    with pytest.raises(UserError, match="not finite") as caught:
        run(paths, index)
    assert str(caught.value).startswith(bad)


def test_swapped_layers_are_refused(tmp_path):
    _, paths, index = corpus(tmp_path, OF, layers=2)
    one, two = (tmp_path / f"tiny/A/layer0{k}/calm.h5" for k in range(2))
    one_bytes, two_bytes = one.read_bytes(), two.read_bytes()
    one.write_bytes(two_bytes)
    two.write_bytes(one_bytes)
    with pytest.raises(UserError, match=r"says that it is tiny/A/layer0[01]/calm\.h5, not tiny/A/layer0[01]"):
        run(paths, index)


def test_a_file_less_or_twice_is_refused(tmp_path):
    _, paths, index = corpus(tmp_path, OF)
    with pytest.raises(UserError, match=r"no embedding file is tiny/A/layer00/sad\.h5"):
        run(paths | {"A": paths["A"][:1]}, index)
    with pytest.raises(UserError, match=r"is tiny/A/layer00/calm\.h5, as .* is"):
        run(paths | {"A": [paths["A"][0], *paths["A"]]}, index)


def test_domains_of_other_layers_are_refused(tmp_path):
    _, paths, index = corpus(tmp_path, OF, layers=2)
    with pytest.raises(UserError) as caught:
        run(paths | {"B": [path for path in paths["B"] if "layer00" in path]}, index)
    assert str(caught.value) == "embeddings of tiny: A has layers 0, 1, B has 0; run again"


def test_many_clips_are_thinned(tmp_path, monkeypatch):
    pooled, paths, index = corpus(tmp_path, OF)
    monkeypatch.setattr(kads, "MOST_CLIPS", 5)
    rows = run(paths, index)
    assert [r["clips_A"] + r["clips_B"] for r in rows] == [5, 5, 5]
    again = run(paths, index)
    assert [r["kad"] for r in again] == [r["kad"] for r in rows]
    x, y = (pooled[d, "calm"].astype(float) for d in "AB")
    of_x, of_y = (np.array(OF[d, "calm"]) for d in "AB")
    drawn = [
        direct(x[list(a)], y[list(b)], of_x[list(a)], of_y[list(b)], rows[0]["bandwidth"])
        for a in combinations(range(len(x)), rows[0]["clips_A"])
        for b in combinations(range(len(y)), rows[0]["clips_B"])
    ]
    assert np.nanmin(np.abs(np.array(drawn) - rows[0]["kad"])) < 1e-9
