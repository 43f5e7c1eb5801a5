"""Halves and matched sizes against the frames themselves, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from made_blocks import as_blocks, cut, plain, random
from speechsong.distances import scale
from speechsong.distances.fad import fad_or_nan, frechet


@pytest.mark.parametrize("paired", [True, False])
def test_orders(paired):
    drawn = scale.orders(10, 10 if paired else 7, paired=paired)
    assert len(drawn) == scale.HALVINGS
    for a, b in drawn:
        assert sorted(a) == list(range(10))
        assert sorted(b) == list(range(len(b)))
        assert not paired or (a == b).all()
    halvings = {frozenset([frozenset(a[:5].tolist()), frozenset(a[5:].tolist())]) for a, _ in drawn}
    assert len(halvings) == scale.HALVINGS
    again = scale.orders(10, 10 if paired else 7, paired=paired)
    np.testing.assert_array_equal(np.concatenate([x for pair in drawn for x in pair]), np.concatenate(sum(again, ())))


@pytest.mark.parametrize("paired", [True, False])
def test_halves_by_hand(paired):
    a = cut([9, 8, 12, 7], 5, 0)
    b = cut([6, 11, 9, 8] if paired else [6, 11, 9], 5, 1, 0.5)
    drawn = scale.orders(4, len(b), paired=paired)
    found = scale.halves(fad_or_nan, as_blocks(a), as_blocks(b), drawn)

    def halves(parts, order):
        middle = (len(order) + 1) // 2
        return [np.concatenate([parts[j] for j in half]) for half in (order[:middle], order[middle:])]

    pairs = [(halves(a, one), halves(b, other)) for one, other in drawn]
    assert found[0] == pytest.approx(np.mean([plain(*x) for x, _ in pairs]), rel=1e-6)
    assert found[1] == pytest.approx(np.mean([plain(*y) for _, y in pairs]), rel=1e-6)
    assert found[2] == pytest.approx(np.mean([(plain(x[0], y[1]) + plain(x[1], y[0])) / 2 for x, y in pairs]), rel=1e-6)


def test_paired_halves_across_are_of_different_people():
    # a person's frames are the same in both domains, and far from everybody else's: equal people would be near
    parts = [x + 100 * j for j, x in enumerate(cut([9, 8, 12, 7], 3, 0))]
    blocks = as_blocks(parts)
    within, same, across = scale.halves(fad_or_nan, blocks, blocks, scale.orders(4, 4, paired=True))
    assert within == pytest.approx(same)
    assert across == pytest.approx(within)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("sizes", "count"), [([9], 1), ([9, 0], 2), ([9, 1], 2), ([0, 0, 9, 0], 4)])
def test_too_little_for_halves(sizes, count):
    a, b = as_blocks(cut(sizes, 3, 0)), as_blocks(cut(sizes, 3, 1))
    assert np.isnan(scale.halves(fad_or_nan, a, b, scale.orders(count, count, paired=True))).all()


@pytest.mark.parametrize("paired", [True, False])
def test_matched_by_hand(paired):
    a = cut([9, 8, 0, 7, 10], 4, 0)
    b = cut([6, 11, 0, 8, 9] if paired else [6, 11, 9], 4, 1, 0.5)
    one, other = (order := scale.orders(5, len(b), paired=paired)[0])
    found = scale.matched(fad_or_nan, [as_blocks(a)], [as_blocks(b)], 0.5, order, paired=paired)
    one, other = ([j for j in o if len(parts[j])] for o, parts in ((one, a), (other, b)))
    k, m = 2, 2  # half of 4 blocks with frames; half of 3, 1.5, is 2
    wanted = [
        plain(np.concatenate([a[j] for j in x]), np.concatenate([b[j] for j in y]))
        for x, y in ((one[:k], other[:m]), (one[-k:], other[-m:]))
    ]
    assert found == pytest.approx(np.mean(wanted), rel=1e-6)


def test_emotions_together_take_turns():
    # three emotions of two blocks each; a third of all is two blocks, of different people and emotions
    sets = [[cut([5, 6], 3, 10 * e + side, e) for e in range(3)] for side in range(2)]
    order = (np.array([1, 0]), np.array([1, 0]))
    found = scale.matched(fad_or_nan, *[[as_blocks(x) for x in side] for side in sets], 1 / 3, order, paired=True)
    wanted = [
        plain(*[np.concatenate([side[x][1], side[y][0]]) for side in sets])  # from the start: block 1, then block 0
        for x, y in ((0, 1), (1, 2))
    ]
    # from the end, emotions from the last: block 0 of the third, block 1 of the second
    assert found == pytest.approx(np.mean(wanted), rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_too_little_to_match():
    a, b = as_blocks(cut([1, 9], 3, 0)), as_blocks(cut([1, 9], 3, 1))
    order = (np.array([0, 1]), np.array([0, 1]))
    assert np.isnan(scale.matched(fad_or_nan, [a], [b], 0.1, order, paired=True))


def test_halves_of_equal_distributions_are_as_far_within_as_across():
    rng = random(6)
    found = []
    for _ in range(40):
        a, b = (as_blocks(list(rng.standard_normal((8, 30, 5)))) for _ in range(2))
        found.append(
            (
                *scale.halves(fad_or_nan, a, b, scale.orders(8, 8, paired=True)),
                frechet(a.merge(), b.merge()).fad,
            )
        )
    within_a, within_b, across, whole = np.mean(found, axis=0)
    assert within_a == pytest.approx(within_b, rel=0.15)
    assert across == pytest.approx(within_a, rel=0.15)
    # halves have half the frames, and the bias goes by one over them
    assert across == pytest.approx(2 * whole, rel=0.2)


def test_matched_sizes_take_the_advantage_of_more_clips_away():
    rng = random(7)
    few, many, cut_down = [], [], []
    for _ in range(60):
        sides = [rng.standard_normal((10, 12, 8)) * (1 + side) for side in range(2)]
        halved = [as_blocks(list(rng.standard_normal((10, 6, 8)) * (1 + side))) for side in range(2)]
        a, b = (as_blocks(list(side)) for side in sides)
        few.append(frechet(*(side.merge() for side in halved)).fad)
        many.append(frechet(a.merge(), b.merge()).fad)
        cut_down.append(scale.matched(fad_or_nan, [a], [b], 0.5, scale.orders(10, 10, paired=True)[0], paired=True))
    apart = np.mean(few) - np.mean(many)
    assert apart > 3 * np.std(few) / np.sqrt(60)
    assert abs(np.mean(few) - np.mean(cut_down)) < 0.4 * apart
