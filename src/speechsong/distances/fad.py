"""Fréchet audio distance (FAD) between two sets of frames, with its uncertainty.

FAD = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) (Kilgour et al. 2019 for audio; `gaussians` computes it). Means
and covariances (ddof 1) are those of the frames of all clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechsong.distances import gaussians, scale
from speechsong.distances.jackknife import jackknife
from speechsong.embeddings.moments import Blocks, Moments, join
from speechsong.embeddings.store import arrange, read_blocks, read_common_maker
from speechsong.errors import UserError


def frechet(a: Moments, b: Moments) -> gaussians.Distance:
    """Compute the FAD of two sets of frames, at least two frames each."""
    return gaussians.distance(gaussians.Gaussian(a), gaussians.Gaussian(b))


@dataclass(frozen=True)
class Estimate:
    """A FAD, with a correction and an error from leaving out blocks of speakers.

    Attributes
    ----------
    distance : gaussians.Distance
        From all frames.
    corrected : float
        The FAD without the bias of a finite sample, by the jackknife; NaN if one block has all frames of a domain.
    std_error : float
        Standard error by the jackknife; NaN if one block has all frames of a domain.
    left_out : list of LeftOut
        The FADs that both are computed from.
    """

    distance: gaussians.Distance
    corrected: float
    std_error: float
    left_out: list[LeftOut]


@dataclass(frozen=True)
class LeftOut:
    """The FAD without one block.

    Attributes
    ----------
    side : int or None
        The domain without the block, 0 or 1; None if it is left out of both.
    block : int
        Its number.
    frames : int
        How many it has (m_j of the jackknife), in both domains together if it is left out of both.
    fad : float
        NaN if a domain has fewer than two frames left.
    """

    side: int | None
    block: int
    frames: int
    fad: float


def estimate(a: Blocks, b: Blocks, *, paired: bool) -> Estimate:
    """Compute a FAD with its bias correction and standard error from speaker blocks.

    Parameters
    ----------
    a, b
        Speaker blocks of the two domains; at least two frames in each.
    paired
        Whether block j has the same speakers in both. It is then left out of both at once. Otherwise each domain has a
        jackknife of its own, and the two biases and variances add up.

    Returns
    -------
    Estimate
        With one `LeftOut` per block that has frames.
    """
    whole_a, whole_b = a.merge(), b.merge()
    distance = frechet(whole_a, whole_b)
    sides: list[int | None] = [None] if paired else [0, 1]
    left_out: list[LeftOut] = []
    corrected, variance = distance.fad, 0.0
    for side in sides:
        sizes = a.count + b.count if side is None else (a, b)[side].count
        used = np.flatnonzero(sizes)
        values = []
        for j in used:
            rest_a = whole_a if side == 1 else a.merge(np.arange(len(a.count)) != j)
            rest_b = whole_b if side == 0 else b.merge(np.arange(len(b.count)) != j)
            values.append(fad_or_nan(rest_a, rest_b))
        left_out += [LeftOut(side, int(j), int(sizes[j]), value) for j, value in zip(used, values, strict=True)]
        one_sided, one_variance = jackknife(distance.fad, np.array(values), sizes[used])
        corrected += one_sided - distance.fad
        variance += one_variance
    return Estimate(distance, corrected, float(np.sqrt(variance)), left_out)


def fad_or_nan(a: Moments, b: Moments) -> float:
    """Compute the FAD of two sets of frames; NaN if one has fewer than the two that a covariance needs."""
    return frechet(a, b).fad if min(a.count, b.count) > 1 else float("nan")


def run(
    files: dict[str, list[str]], *, model: str, layer: int, emotions: list[str], paired: bool
) -> tuple[list[dict], list[dict]]:
    """Compute the FAD of every emotion and of all emotions together, for one model and layer.

    Parameters
    ----------
    files
        The embedding files of the two domains A and B, by name.
    model, layer, emotions
        What the files hold; one file per emotion and domain.
    paired
        As in `estimate`.

    Returns
    -------
    rows : list of dict
        One row per emotion, the last one `all`: emotion, fad, fad_corrected, std_error, mean_term, covariance_term,
        clips and frames of each domain, then fad_matched, fad_within_A, fad_within_B, fad_across (`distances.scale`).
        Sizes are matched to the emotion with the fewest clips. The size is n_a n_b / (n_a + n_b) for n_a and n_b clips,
        because the bias depends on it.
    left_out : list of dict
        One row per emotion and block: emotion, side (the domain without the block, or `both`), block, frames,
        fad_left_out.

    Raises
    ------
    UserError
        If the files are not those of the model, layer and emotions (`store.arrange`), or hold values that are not
        finite or fewer than two frames.
    """
    name_a, name_b = files
    blocks, clips = read(files, model, layer, emotions)
    sizes = {emotion: in_a * in_b / (in_a + in_b) for emotion, (in_a, in_b) in clips.items()}
    orders = scale.orders(*(len(parts[0].count) for parts in blocks["all"]), paired=paired)
    rows, left_out = [], []
    # of a single emotion, `all` is the same once more
    for emotion in [*emotions, "all"] if len(emotions) > 1 else emotions:
        parts = blocks[emotion]
        a, b = (join(side) if len(side) > 1 else side[0] for side in parts)
        estimated = estimate(a, b, paired=paired)
        share = min(sizes.values()) / sizes[emotion]
        of_share = estimated.distance.fad
        if share < 1:
            of_share = scale.matched(fad_or_nan, parts[0], parts[1], share, orders[0], paired=paired)
        within_a, within_b, across = scale.halves(fad_or_nan, a, b, orders)
        rows.append(
            {
                "emotion": emotion,
                "fad": estimated.distance.fad,
                "fad_corrected": estimated.corrected,
                "std_error": estimated.std_error,
                "mean_term": estimated.distance.mean_term,
                "covariance_term": estimated.distance.covariance_term,
                f"clips_{name_a}": clips[emotion][0],
                f"clips_{name_b}": clips[emotion][1],
                f"frames_{name_a}": int(a.count.sum()),
                f"frames_{name_b}": int(b.count.sum()),
                "fad_matched": of_share,
                f"fad_within_{name_a}": within_a,
                f"fad_within_{name_b}": within_b,
                "fad_across": across,
            }
        )
        left_out += [
            {
                "emotion": emotion,
                "side": "both" if one.side is None else (name_a, name_b)[one.side],
                "block": one.block,
                "frames": one.frames,
                "fad_left_out": one.fad,
            }
            for one in estimated.left_out
        ]
    if len(emotions) == 1:
        rows, left_out = ([*table, *(row | {"emotion": "all"} for row in table)] for table in (rows, left_out))
    return rows, left_out


def read(
    files: dict[str, list[str]], model: str, layer: int, emotions: list[str]
) -> tuple[dict[str, list[list[Blocks]]], dict[str, list[int]]]:
    """Read moments and clip counts of both domains, for every emotion and, as a list of the emotions, for `all`.

    Raises
    ------
    UserError
        As in `run`.
    """
    blocks: dict[str, list[list[Blocks]]] = {emotion: [] for emotion in [*emotions, "all"]}
    clips: dict[str, list[int]] = {emotion: [] for emotion in blocks}
    read_common_maker(files)
    for domain, paths in files.items():
        arranged = arrange(paths, model=model, domain=domain, layers=[layer], emotions=emotions)
        read = {emotion: read_blocks(path) for emotion, path in arranged[layer].items()}
        for emotion, (moments, count) in read.items():
            if moments.count.sum() < 2:
                raise UserError(
                    f"{arranged[layer][emotion]}: FAD needs at least two frames; add recordings of `{emotion}` to "
                    f"domain `{domain}`"
                )
            blocks[emotion].append([moments])
            clips[emotion].append(count)
        blocks["all"].append([moments for moments, _ in read.values()])
        clips["all"].append(sum(count for _, count in read.values()))
    return blocks, clips
