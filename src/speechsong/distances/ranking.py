"""How sure FADs and the order of emotions by them are, from the FADs without each block of speakers.

A block's pseudo-value h_j FAD - (h_j - 1) FAD_(-j), with h_j = all frames / m_j (Busing et al. 1999), is FAD and
the block's influence on it. Drawing blocks with replacement and adding up their influences is the block bootstrap to
first order (Efron and Tibshirani 1993, chapter 20), and takes no new FAD. A draw of blocks holds for all layers and
emotions at once, so that what they share, the people, cancels from comparisons between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from speechsong.distances.jackknife import jackknife

DRAWS = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class _Side:
    """Leave-one-out values of one side: a domain, or both where the same people are in them.

    `sizes` is (B, E), 0 where an emotion has no frames in a block; `values` is (B, L, E), the FAD itself there.
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
        How many.
    seed
        The same draws of blocks for every layer, emotion and, where they have as many blocks, model.

    Returns
    -------
    ndarray (draws, L, E), float64
        Layers ascending, emotions (`all` too) in the order of `fads`. Draws scatter about `fad_corrected` by
        `std_error`, widened for few blocks: their 95 % is that of Student's t, as in `table`. NaN where these are. A
        value may be below zero where the error is as large as the FAD.
    """
    values, sides = _matrices(fads, left_out)
    return _draw(values, sides, draws, seed)


def table(fads: pd.DataFrame, left_out: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Tell how sure the FADs of one model and their order are.

    Parameters
    ----------
    fads, left_out, draws, seed
        As in `resample`.

    Returns
    -------
    DataFrame
        A row a layer and emotion, then rows of layer `all`: geometric means over the layers, without layer 0 as in
        `tables.best_and_worst`. Columns: model, layer, emotion, fad, fad_corrected with the ends of its 95 % interval
        by Student's t (of its logarithm for layer `all`) with B - 1 degrees of freedom, B the blocks of the side that
        has fewer, std_error; the other distances of `fads` (fad_matched, fad_within_*, fad_across); rank, 1 for the
        least corrected FAD, of the emotions without `all`; rank_left_out and rank_resampled, the share of FADs with a
        block left out, corrected as the whole is, and of the draws in which the emotion has that rank; order_left_out
        and order_resampled, the share in which all have theirs. Rank and shares are missing where an emotion has no
        standard error.
    """
    values, sides = _matrices(fads, left_out)
    layers, emotions = sorted(fads["layer"].unique()), list(fads["emotion"].unique())
    others = {
        name: _grid(fads, name)
        for name in fads.columns
        if name in ("fad_matched", "fad_across") or name.startswith("fad_within_")
    }
    by_layer = _summary(values, sides, emotions, draws, seed) | others
    deep = [i for i, layer in enumerate(layers) if layer > 0 or len(layers) == 1]
    logs = [_Side(side.sizes, _mean_log(side.values[:, deep])) for side in sides]
    mean = _summary(_mean_log(values[deep]), logs, emotions, draws, seed)
    # back to the units of a FAD; the error of a logarithm is relative
    mean |= {name: np.exp(mean[name]) for name in ("fad", "fad_corrected", "fad_corrected_low", "fad_corrected_high")}
    mean["std_error"] = mean["std_error"] * mean["fad_corrected"]
    mean |= {name: np.exp(_mean_log(grid[deep])) for name, grid in others.items()}
    ranks = ["rank", "rank_left_out", "rank_resampled", "order_left_out", "order_resampled"]
    parts = []
    for names, grids in (([f"{layer:02d}" for layer in layers], by_layer), (["all"], mean)):
        columns = {"layer": np.repeat(names, len(emotions)), "emotion": emotions * len(names)}
        parts.append(pd.DataFrame(columns | {name: grid.ravel() for name, grid in grids.items()}))
    found = pd.concat(parts, ignore_index=True)
    found.insert(0, "model", fads["model"].iloc[0])
    return found[[name for name in found.columns if name not in ranks] + ranks]


def _grid(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Values of a column as (L, E), layers ascending, emotions in their order."""
    return rows.pivot(index="layer", columns="emotion", values=column)[list(rows["emotion"].unique())].to_numpy(float)


def _matrices(fads: pd.DataFrame, left_out: pd.DataFrame) -> tuple[np.ndarray, list[_Side]]:
    """FADs (L, E), and what each side's leave-one-out says."""
    values = _grid(fads, "fad")
    emotions, layers = list(fads["emotion"].unique()), sorted(fads["layer"].unique())
    sides = []
    for _, some in left_out.groupby("side", sort=False):
        blocks = sorted(some["block"].unique())
        sizes, without = np.zeros((len(blocks), len(emotions))), np.tile(values, (len(blocks), 1, 1))
        at = [
            some[c].map({v: i for i, v in enumerate(known)}).to_numpy()
            for c, known in (("block", blocks), ("layer", layers), ("emotion", emotions))
        ]
        sizes[at[0], at[2]] = some["frames"]
        without[at[0], at[1], at[2]] = some["fad_left_out"]
        sides.append(_Side(sizes, without))
    return values, sides


def _mean_log(values: np.ndarray) -> np.ndarray:
    """Mean of the logarithms over layers, (..., L, E) to (..., 1, E); NaN where a FAD is not above zero."""
    return np.log(np.where(values > 0, values, np.nan)).mean(axis=-2, keepdims=True)


def _estimates(values: np.ndarray, sides: list[_Side]) -> tuple[np.ndarray, np.ndarray]:
    """Corrected values and standard errors (L, E) by the jackknife; those of two sides add."""
    corrected, variance = values.copy(), np.zeros_like(values)
    for side in sides:
        for layer, emotion in np.ndindex(values.shape):
            used = side.sizes[:, emotion] > 0
            value = values[layer, emotion]
            found = jackknife(value, side.values[used, layer, emotion], side.sizes[used, emotion])
            corrected[layer, emotion] += found[0] - value
            variance[layer, emotion] += found[1]
    return corrected, np.sqrt(variance)


def _draw(values: np.ndarray, sides: list[_Side], draws: int, seed: int) -> np.ndarray:
    """Draws (draws, L, E) of statistics (L, E), by blocks drawn with replacement."""
    rng = np.random.default_rng(seed)
    corrected, _ = _estimates(values, sides)
    result = np.tile(corrected, (draws, 1, 1))
    # sums of draws are nearly normal, and a few blocks tell their own spread badly
    wider = student.ppf((1 + CONFIDENCE) / 2, _freedom(sides)) / norm.ppf((1 + CONFIDENCE) / 2)
    for side in sides:
        used = side.sizes > 0
        count = used.sum(axis=0)
        h = side.sizes.sum(axis=0) / np.where(used, side.sizes, 1)
        # a block without frames has no influence; one block alone leaves no error
        fewer = np.where(used, h - 1, 0)[:, None, :]
        pseudo = values + fewer * (values - side.values)
        own, _ = _estimates(values, [side])
        weight = np.sqrt(np.divide(1, fewer * count, out=np.zeros_like(fewer), where=fewer > 0))
        # the jackknife's variance is the sum of the squares of these
        influence = np.where(count > 1, (pseudo - own) * weight, np.nan)
        # blocks of unequal size leave a rest, which would move all draws
        influence = np.where(used[:, None, :], influence - influence.sum(axis=0) / np.maximum(count, 1), 0 * influence)
        blocks = len(influence)
        drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
        result += wider * np.tensordot(drawn, influence, 1)
    return result


def _freedom(sides: list[_Side]) -> np.ndarray:
    """Degrees of freedom (E,) of the errors: those of the side with fewer blocks, at least one."""
    return np.maximum(np.min([(side.sizes > 0).sum(axis=0) for side in sides], axis=0) - 1, 1)


def _corrected_left_out(values: np.ndarray, sides: list[_Side]) -> np.ndarray:
    """Values without a block, (blocks of all sides, L, E), less their bias, which goes with 1 / frames."""
    bias = values - _estimates(values, sides)[0]
    found = []
    for side in sides:
        own = values - _estimates(values, [side])[0]
        share = np.where(side.sizes > 0, side.sizes / side.sizes.sum(axis=0), 0)[:, None, :]
        found.append(side.values - bias - own * share / (1 - share))
    return np.concatenate(found)


def _summary(
    values: np.ndarray, sides: list[_Side], emotions: list[str], draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Columns of `table`, each (L, E), for statistics (L, E)."""
    corrected, errors = _estimates(values, sides)
    margin = errors * student.ppf((1 + CONFIDENCE) / 2, _freedom(sides))
    ranked = [i for i, emotion in enumerate(emotions) if emotion != "all"]
    ranks = _ranks(corrected[:, ranked])
    places = np.full(values.shape, "", dtype=object)
    places[:, ranked] = np.where(np.isfinite(corrected[:, ranked]).all(axis=1, keepdims=True), ranks.astype(str), "")
    found = {
        "fad": values,
        "fad_corrected": corrected,
        "fad_corrected_low": corrected - margin,
        "fad_corrected_high": corrected + margin,
        "std_error": errors,
        "rank": places,
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = {
            "left_out": _corrected_left_out(values, sides),
            "resampled": _draw(values, sides, draws, seed),
        }
    for name, some in resampled.items():
        some = some[:, :, ranked]
        same = _ranks(some) == ranks
        unknown = ~np.isfinite(some).all(axis=(0, 2))
        shares = np.full(values.shape, np.nan)
        shares[:, ranked] = same.mean(axis=0)
        shares[unknown] = np.nan
        order = np.where(unknown, np.nan, same.all(axis=2).mean(axis=0))
        found |= {f"rank_{name}": shares, f"order_{name}": np.tile(order[:, None], len(emotions))}
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis, the least first."""
    return values.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1
