"""Scale: distances between parts of the same data, to compare the distance between the domains with.

Parts are whole blocks of speakers. `halves` compares half of the speakers with the other half, within each domain and
across. `matched` uses only as much of the data as a smaller set has. Both are for any distance between sets of frames;
here it is FAD.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from speechsong.embeddings.moments import Blocks, Moments

HALVINGS = 2
SEED = 0

Distance = Callable[[Moments, Moments], float]
# the blocks of domain A and those of domain B, permuted
Orders = tuple[np.ndarray, np.ndarray]


def orders(a: int, b: int, *, paired: bool) -> list[Orders]:
    """Draw the orders in which `halves` and `matched` take blocks: the same for every emotion, layer and model.

    Parameters
    ----------
    a, b
        How many blocks the two domains have.
    paired
        Whether block j has the same speakers in both. Both domains then have the same order.

    Returns
    -------
    list of HALVINGS pairs of ndarray (a,) and (b,)
        Permutations of the blocks.
    """
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(HALVINGS):
        order = rng.permutation(a)
        drawn.append((order, order if paired else rng.permutation(b)))
    return drawn


def halves(distance: Distance, a: Blocks, b: Blocks, drawn: list[Orders]) -> tuple[float, float, float]:
    """Compute distances between halves of the speakers, within each domain and across.

    Each compares half of the blocks with the other half. So all samples have the same size, no speaker is in both, and
    within and across differ only in the domains.

    Parameters
    ----------
    distance
        Computes it from two sets of frames; NaN if it cannot.
    a, b
        Speaker blocks of the two domains.
    drawn
        From `orders`; the first half of an order is compared with the second.

    Returns
    -------
    tuple of float
        Within A, within B, and across (half of A with the other half of B, both ways). Each is the mean over the
        halvings; NaN if one of its distances is.
    """
    within_a, within_b, across = [], [], []
    for order_a, order_b in drawn:
        a1, a2 = (a.merge(_mask(half, a)) for half in np.array_split(order_a, 2))
        b1, b2 = (b.merge(_mask(half, b)) for half in np.array_split(order_b, 2))
        within_a.append(distance(a1, a2))
        within_b.append(distance(b1, b2))
        across += [distance(a1, b2), distance(a2, b1)]
    return float(np.mean(within_a)), float(np.mean(within_b)), float(np.mean(across))


def matched(
    distance: Distance, a: list[Blocks], b: list[Blocks], share: float, order: Orders, *, paired: bool
) -> float:
    """Compute the distance between the domains from a share of the data, taken in whole blocks.

    Parameters
    ----------
    distance
        Computes it from two sets of frames; NaN if it cannot.
    a, b
        Speaker blocks of the two domains: one set for one emotion, several for several emotions together, which then
        take turns, one block each.
    share
        The share of all the data, 0 to 1.
    order
        One of `orders`. Blocks are taken from its start and, in a second draw, from its end.
    paired
        Whether a block with frames in only one of the domains counts as a block of both.

    Returns
    -------
    float
        Mean of the two draws; NaN if one of them is.
    """
    counts = [np.sum([part.count for part in parts], axis=0) for parts in (a, b)]
    if paired:
        counts = [counts[0] + counts[1]] * 2
    used = [blocks[count[blocks] > 0] for blocks, count in zip(order, counts, strict=True)]
    # the second draw reverses the emotions too, so that the last come first if there are fewer blocks than emotions
    draws = [
        [_take(parts[::step], blocks[::step], share) for parts, blocks in zip((a, b), used, strict=True)]
        for step in (1, -1)
    ]
    return float(np.mean([distance(*draw) for draw in draws]))


def _mask(chosen: np.ndarray, blocks: Blocks) -> np.ndarray:
    return np.isin(np.arange(len(blocks.count)), chosen)


def _take(parts: list[Blocks], order: np.ndarray, share: float) -> Moments:
    """Merge a share of the blocks: the first of the order from the first part, the second from the next, and so on."""
    n = len(parts)
    taken = order[: max(1, round(share * n * len(order)))]
    pieces = [part.merge(_mask(taken[i::n], part)) for i, part in enumerate(parts)]
    return Blocks(*(np.stack([getattr(p, name) for p in pieces]) for name in ("count", "mean", "scatter"))).merge()
