"""Ranking: how certain FADs are, and how certain the order of emotions by FAD is.

Both are computed from the FADs with one block of speakers left out, by the jackknife and by a bootstrap of blocks. The
pseudo-value of a block j, h_j FAD - (h_j - 1) FAD_(-j) with h_j = all frames / m_j [1], is FAD plus the block's
influence on it. Drawing blocks with replacement and adding up their influences is the block bootstrap to first order
[2], and needs no new FADs. The same blocks are drawn for all layers and emotions, so that the variation between
speakers, which these share, cancels when they are compared.

Conventions
-----------
Arrays have the axes blocks (B), layers (L, ascending) and emotions (E, in the order of the FAD CSV, with `all`). A side
is a domain, or both domains together if the same speakers are in them.

References
----------
[1] F. Busing, E. Meijer and R. van der Leeden, "Delete-m jackknife for unequal m", Statistics and Computing 1999.
[2] B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 20.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from speechsong.distances.jackknife import jackknife

DRAWS = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class _Side:
    """Statistics of one side, with each of its blocks left out.

    `sizes` (B, E) are the frames of a block, 0 if it has none of an emotion. `values` (B, L, E) are the statistics
    without the block, or with all blocks if it has no frames.
    """

    sizes: np.ndarray
    values: np.ndarray


def resample(fads: pd.DataFrame, left_out: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Resample the FADs of one model by blocks of speakers.

    Parameters
    ----------
    fads
        Rows of the model's FAD CSV.
    left_out
        Rows of its left_out.csv.
    draws
        Number of samples.
    seed
        The same seed draws the same blocks for every layer and emotion, and for every model with as many blocks.

    Returns
    -------
    ndarray (draws, L, E), float64
        They scatter about `fad_corrected` by `std_error`, widened for few blocks, so that their central 95 % are
        Student's interval, as in `table`. NaN where that is NaN. A value may be below zero if the error is as large as
        the FAD.
    """
    values, sides = _matrices(fads, left_out)
    return _draw(values, sides, draws, seed)


def draw_blocks(left_out: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw the blocks that `resample` draws, so that other statistics can be resampled by the same speakers.

    Parameters
    ----------
    left_out, draws, seed
        As in `resample`.

    Returns
    -------
    dict of ndarray (draws, B), int
        For each side (a domain, or `both`), how often each of its blocks is in each sample; blocks ascend.
    """
    counts = left_out.groupby("side", sort=False)["block"].nunique()
    return dict(zip(counts.index, _multinomials(list(counts), draws, seed), strict=True))


def widening(blocks: int) -> float:
    """Give the factor by which samples are widened for few blocks, as in `resample`."""
    return float(stdtrit(max(blocks - 1, 1), (1 + CONFIDENCE) / 2) / ndtri((1 + CONFIDENCE) / 2))


def resample_mean(fads: pd.DataFrame, left_out: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Resample the geometric means over the layers, without layer 0 unless there is no other.

    Parameters
    ----------
    fads, left_out, draws, seed
        As in `resample`.

    Returns
    -------
    ndarray (draws, E), float64
        As in `resample`, but the logarithms scatter.
    """
    return np.exp(_draw(*_mean_of_layers(fads, *_matrices(fads, left_out)), draws, seed)[:, 0])


def estimates(fads: pd.DataFrame, left_out: pd.DataFrame) -> pd.DataFrame:
    """Correct the FADs of one model and their geometric means, without any draws.

    Parameters
    ----------
    fads, left_out
        As in `resample`.

    Returns
    -------
    DataFrame
        The rows of `table`, with its columns up to std_error.
    """
    values, sides = _matrices(fads, left_out)
    return _rows(fads, _numbers(values, sides), _of_logs(_numbers(*_mean_of_layers(fads, values, sides))))


def table(fads: pd.DataFrame, left_out: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Find how certain the FADs of one model and their order are.

    Parameters
    ----------
    fads, left_out, draws, seed
        As in `resample`.

    Returns
    -------
    DataFrame
        One row per layer and emotion, then one row per emotion for the geometric mean over the layers, without layer 0
        unless there is no other. The columns:

        model, over (`layer` or `mean`), layer (Int64, missing for the mean), emotion
        fad, fad_corrected, std_error
            fad_corrected has its 95 % interval by Student's t in fad_corrected_low and fad_corrected_high, with B - 1
            degrees of freedom, where B is the number of blocks of the side that has fewer. For the mean, the interval
            is computed on the logarithm.
        fad_matched, fad_within_{domain}, fad_across
            As in `fads`, if it has them.
        rank (Int64)
            1 for the smallest corrected FAD. `all` has no rank. If one emotion of a layer has no standard error, none
            of that layer's emotions has a rank.
        rank_left_out, order_left_out
            Share of the FADs with a block left out, corrected like the whole, in which this emotion keeps its rank, or
            all emotions keep theirs. Missing where one of them has no standard error.
        rank_resampled, order_resampled
            The same shares, of the bootstrap draws.
    """
    values, sides = _matrices(fads, left_out)
    emotions = list(fads["emotion"].unique())
    others = {
        name: _grid(fads, name)
        for name in fads.columns
        if name in ("fad_matched", "fad_across") or name.startswith("fad_within_")
    }
    by_layer = _summary(values, sides, emotions, draws, seed) | others
    mean = _of_logs(_summary(*_mean_of_layers(fads, values, sides), emotions, draws, seed))
    deep = _deep(fads)
    mean |= {name: np.exp(_mean_log(grid[deep])) for name, grid in others.items()}
    ranks = ["rank", "rank_left_out", "rank_resampled", "order_left_out", "order_resampled"]
    joined = _rows(fads, by_layer, mean)
    return joined[[*(name for name in joined if name not in ranks), *ranks]].astype({"rank": "Int64"})


def _rows(fads: pd.DataFrame, by_layer: dict[str, np.ndarray], mean: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows of `table` from its columns, each (L, E) by layer and (1, E) for the mean."""
    layers, emotions = sorted(fads["layer"].unique()), list(fads["emotion"].unique())
    rows = [{"over": "layer", "layer": layer, "emotion": e} for layer in layers for e in emotions]
    rows += [{"over": "mean", "layer": None, "emotion": e} for e in emotions]
    numbers = {name: np.concatenate([by_layer[name].ravel(), mean[name].ravel()]) for name in by_layer}
    joined = pd.concat([pd.DataFrame(rows), pd.DataFrame(numbers)], axis=1)
    joined.insert(0, "model", fads["model"].iloc[0])
    return joined.astype({"layer": "Int64"})


def _deep(fads: pd.DataFrame) -> list[int]:
    """Find the layers that count in a mean, by their place: all but layer 0, unless there is no other."""
    layers = sorted(fads["layer"].unique())
    return [i for i, layer in enumerate(layers) if layer > 0 or len(layers) == 1]


def _mean_of_layers(fads: pd.DataFrame, values: np.ndarray, sides: list[_Side]) -> tuple[np.ndarray, list[_Side]]:
    """Mean over the layers of the logarithms, as statistics (1, E) and what leaving out blocks says of them."""
    deep = _deep(fads)
    return _mean_log(values[deep]), [_Side(side.sizes, _mean_log(side.values[:, deep])) for side in sides]


def _of_logs(mean: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns in the units of a FAD from those of its logarithm, whose error is relative."""
    names = ("fad", "fad_corrected", "fad_corrected_low", "fad_corrected_high")
    mean = mean | {name: np.exp(mean[name]) for name in names}
    return mean | {"std_error": mean["std_error"] * mean["fad_corrected"]}


def _grid(fads: pd.DataFrame, column: str) -> np.ndarray:
    """Values (L, E) of a column."""
    return fads.pivot(index="layer", columns="emotion", values=column)[list(fads["emotion"].unique())].to_numpy(float)


def _matrices(fads: pd.DataFrame, left_out: pd.DataFrame) -> tuple[np.ndarray, list[_Side]]:
    """FADs (L, E), and for each side the FADs with each of its blocks left out."""
    values = _grid(fads, "fad")
    emotions, layers = list(fads["emotion"].unique()), sorted(fads["layer"].unique())
    sides = []
    for _, rows in left_out.groupby("side", sort=False):
        blocks = sorted(rows["block"].unique())
        sizes, without = np.zeros((len(blocks), len(emotions))), np.tile(values, (len(blocks), 1, 1))
        block, layer, emotion = (
            rows[name].map({value: i for i, value in enumerate(known)}).to_numpy(int)
            for name, known in (("block", blocks), ("layer", layers), ("emotion", emotions))
        )
        sizes[block, emotion] = rows["frames"]
        without[block, layer, emotion] = rows["fad_left_out"]
        sides.append(_Side(sizes, without))
    return values, sides


def _mean_log(values: np.ndarray) -> np.ndarray:
    """Mean of the logarithms over the layers, (..., L, E) to (..., 1, E); NaN if a FAD is not above zero."""
    return np.log(np.where(values > 0, values, np.nan)).mean(axis=-2, keepdims=True)


def _estimates(values: np.ndarray, sides: list[_Side]) -> tuple[np.ndarray, np.ndarray]:
    """Corrected values and standard errors (L, E) by the jackknife; corrections and variances of two sides add."""
    corrected, variance = values.copy(), np.zeros_like(values)
    for side in sides:
        for layer, emotion in np.ndindex(values.shape):
            used = side.sizes[:, emotion] > 0
            value = values[layer, emotion]
            own, error = jackknife(float(value), side.values[used, layer, emotion], side.sizes[used, emotion])
            corrected[layer, emotion] += own - value
            variance[layer, emotion] += error
    return corrected, np.sqrt(variance)


def _draw(values: np.ndarray, sides: list[_Side], draws: int, seed: int) -> np.ndarray:
    """Samples (draws, L, E) of statistics (L, E), by blocks drawn with replacement."""
    corrected, _ = _estimates(values, sides)
    result = np.tile(corrected, (draws, 1, 1))
    # sums of draws are nearly normal, but with few blocks their spread is itself uncertain
    wider = stdtrit(_freedom(sides), (1 + CONFIDENCE) / 2) / ndtri((1 + CONFIDENCE) / 2)
    multinomials = _multinomials([len(side.sizes) for side in sides], draws, seed)
    for side, drawn in zip(sides, multinomials, strict=True):
        used = side.sizes > 0
        count = used.sum(axis=0)
        h = side.sizes.sum(axis=0) / np.where(used, side.sizes, 1)
        # a block without frames has no influence; a single block gives no error
        fewer = np.where(used, h - 1, 0)[:, None, :]
        pseudo = values + fewer * (values - side.values)
        own, _ = _estimates(values, [side])
        weight = np.sqrt(np.divide(1, fewer * count, out=np.zeros_like(fewer), where=fewer > 0))
        # the jackknife's variance is the sum of the squares of these
        influence = np.where(count > 1, (pseudo - own) * weight, np.nan)
        # influences of blocks of unequal size do not add up to zero, which would shift all draws
        influence = np.where(used[:, None, :], influence - influence.sum(axis=0) / np.maximum(count, 1), 0 * influence)
        result += wider * np.tensordot(drawn, influence, 1)
    return result


def _multinomials(counts: list[int], draws: int, seed: int) -> list[np.ndarray]:
    """How often each block is drawn, (draws, B) for each side with B blocks."""
    rng = np.random.default_rng(seed)
    return [rng.multinomial(count, np.full(count, 1 / count), size=draws) for count in counts]


def _freedom(sides: list[_Side]) -> np.ndarray:
    """Degrees of freedom (E,) of the standard errors: those of the side with fewer blocks, at least one."""
    return np.maximum(np.min([(side.sizes > 0).sum(axis=0) for side in sides], axis=0) - 1, 1)


def _corrected_left_out(values: np.ndarray, sides: list[_Side]) -> np.ndarray:
    """Values without a block, (blocks of all sides, L, E), minus their bias, which is proportional to 1 / frames."""
    bias = values - _estimates(values, sides)[0]
    parts = []
    for side in sides:
        own = values - _estimates(values, [side])[0]
        share = np.where(side.sizes > 0, side.sizes / side.sizes.sum(axis=0), 0)[:, None, :]
        parts.append(side.values - bias - own * share / (1 - share))
    return np.concatenate(parts)


def _numbers(values: np.ndarray, sides: list[_Side]) -> dict[str, np.ndarray]:
    """Columns of `estimates`, each (L, E), for statistics (L, E)."""
    corrected, errors = _estimates(values, sides)
    margin = errors * stdtrit(_freedom(sides), (1 + CONFIDENCE) / 2)
    return {
        "fad": values,
        "fad_corrected": corrected,
        "fad_corrected_low": corrected - margin,
        "fad_corrected_high": corrected + margin,
        "std_error": errors,
    }


def _summary(
    values: np.ndarray, sides: list[_Side], emotions: list[str], draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Columns of `table`, each (L, E), for statistics (L, E)."""
    columns = _numbers(values, sides)
    corrected = columns["fad_corrected"]
    ranked = [i for i, emotion in enumerate(emotions) if emotion != "all"]
    ranks = _ranks(corrected[:, ranked])
    places = np.full(values.shape, np.nan)
    places[:, ranked] = np.where(np.isfinite(corrected[:, ranked]).all(axis=1, keepdims=True), ranks, np.nan)
    columns["rank"] = places
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = {
            "left_out": _corrected_left_out(values, sides),
            "resampled": _draw(values, sides, draws, seed),
        }
    for name, samples in resampled.items():
        samples = samples[:, :, ranked]
        same = _ranks(samples) == ranks
        unknown = ~np.isfinite(samples).all(axis=(0, 2))
        shares = np.full(values.shape, np.nan)
        shares[:, ranked] = same.mean(axis=0)
        shares[unknown] = np.nan
        order = np.where(unknown, np.nan, same.all(axis=2).mean(axis=0))
        columns |= {f"rank_{name}": shares, f"order_{name}": np.tile(order[:, None], len(emotions))}
    return columns


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, 1 for the smallest."""
    return values.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1
