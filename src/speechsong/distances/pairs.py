"""Pairs: FAD between every emotion of one domain and every emotion of the other.

Each Gaussian is factored once and meets all emotions of the other domain. So are those without a block of speakers.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from speechsong.distances import fad, gaussians
from speechsong.distances.gaussians import Gaussian


def run(
    files: dict[str, list[str]], *, model: str, layer: int, emotions: list[str], paired: bool, leave_out: bool = True
) -> tuple[list[dict], list[dict]]:
    """Compute the FAD of all pairs of emotions, for one model and layer.

    Parameters
    ----------
    files
        The embedding files of the two domains A and B, by name.
    model, layer, emotions, paired
        As in `fad.run`.
    leave_out
        Whether to leave out blocks as well, which takes as many times longer as there are blocks.

    Returns
    -------
    rows : list of dict
        One row per pair, those of an emotion of A together: emotion_A, emotion_B, fad, mean_term, covariance_term.
    left_out : list of dict
        One row per pair and block that has frames: emotion_A, emotion_B, side (the domain without the block, or
        `both`), block, frames, fad_left_out (NaN if a domain has fewer than two frames left).

    Raises
    ------
    UserError
        As in `fad.run`.
    """
    blocks, _ = fad.read(files, model, layer, emotions)
    a, b = files
    parts = [[blocks[emotion][side][0] for emotion in emotions] for side in (0, 1)]
    whole = [[Gaussian(one.merge()) for one in side] for side in parts]
    places = list(product(range(len(emotions)), repeat=2))
    names = [{f"emotion_{a}": emotions[i], f"emotion_{b}": emotions[k]} for i, k in places]
    rows: list[dict] = []
    for name, (i, k) in zip(names, places, strict=True):
        found = gaussians.distance(whole[0][i], whole[1][k])
        terms = {"fad": found.fad, "mean_term": found.mean_term, "covariance_term": found.covariance_term}
        rows.append({**name, **terms})
    left_out: list[dict] = []
    ways = {"both": (0, 1)} if paired else {a: (0,), b: (1,)}
    for side, dropped in ways.items() if leave_out else ():
        every = np.arange(len(parts[dropped[0]][0].count))
        for j in every:
            rest = list(whole)
            for domain in dropped:
                rest[domain] = [Gaussian(one.merge(every != j)) for one in parts[domain]]
            for name, pair in zip(names, places, strict=True):
                frames = sum(int(parts[domain][pair[domain]].count[j]) for domain in dropped)
                if frames:
                    value = _fad_or_nan(*(rest[domain][pair[domain]] for domain in (0, 1)))
                    left_out.append({**name, "side": side, "block": int(j), "frames": frames, "fad_left_out": value})
    return rows, left_out


def _fad_or_nan(a: Gaussian, b: Gaussian) -> float:
    return gaussians.distance(a, b).fad if min(a.moments.count, b.moments.count) > 1 else float("nan")
