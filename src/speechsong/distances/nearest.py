"""Nearest: whether an emotion is nearest to the same emotion of the other domain, and how sure that is.

All statistics are those of `ranking`, with a pair of emotions in the place of an emotion.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechsong.distances import ranking

# of the draws lies beyond each end of a 95 % interval
TAIL = 0.025


def estimates(rows: pd.DataFrame, left_out: pd.DataFrame, domains: list[str]) -> pd.DataFrame:
    """Correct the FADs of all pairs of one model, and their geometric means over the layers.

    Parameters
    ----------
    rows, left_out
        From `pairs.run` for all layers, with model and layer.
    domains
        A and B.

    Returns
    -------
    DataFrame
        model, over (`layer` or `mean`), layer, emotion_A, emotion_B, fad, fad_corrected with its 95 % interval,
        std_error: see `ranking.table`.
    """
    columns = _columns(domains)
    fads, without, pairs = _by_number(rows, left_out, columns)
    found = ranking.estimates(fads, without)
    number = found.columns.get_loc("emotion")
    for place, column in enumerate(columns):
        found.insert(number + place, column, [pairs[i][place] for i in found["emotion"]])
    return found.drop(columns="emotion")


def table(found: pd.DataFrame, left_out: pd.DataFrame, domains: list[str]) -> pd.DataFrame:
    """Count the emotions of one model that are nearest to the same emotion of the other domain.

    Parameters
    ----------
    found
        From `estimates`.
    left_out, domains
        As there.

    Returns
    -------
    DataFrame
        Two rows per layer, and two for the geometric mean over the layers: one for the emotions of each domain. The
        columns:

        model, over (`layer` or `mean`), layer (Int64, missing for the mean), domain
        emotions
            How many there are.
        same_plain, same
            How many of them have the same emotion of the other domain as the nearest, by `fad` and by `fad_corrected`.
            `same` has a 95 % interval over speakers in same_low and same_high: quantiles of the draws of blocks, and
            `same` itself. Missing where a pair has no standard error.
        chance
            What to expect if the nearest had nothing to do with the emotion: 1.
        other
            By `fad_corrected`, or `fad` without it: the emotions with another nearest, as `sad: calm`.
    """
    by_layer = found[found["over"] == "layer"]
    fads, without, pairs = _by_number(by_layer, left_out, _columns(domains))
    emotions = list(dict.fromkeys(a for a, _ in pairs))
    shape = (len(emotions), len(emotions))
    draws = ranking.resample(fads, without)
    drawn = {("layer", layer): draws[:, i] for i, layer in enumerate(sorted(by_layer["layer"].unique()))}
    drawn["mean", pd.NA] = ranking.resample_mean(fads, without)
    rows = []
    for (over, layer), samples in drawn.items():
        chosen = found[(found["over"] == over) & (found["layer"].isna() if over == "mean" else found["layer"] == layer)]
        plain, corrected = (chosen[name].to_numpy(float).reshape(shape) for name in ("fad", "fad_corrected"))
        known = np.isfinite(corrected).all() and np.isfinite(samples).all()
        for axis, domain in enumerate(domains):
            same = low = high = np.nan
            if known:
                same = int(count(corrected, axis))
                counts = count(samples.reshape(-1, *shape), axis)
                low, high = np.quantile(counts, [TAIL, 1 - TAIL], method="inverted_cdf")
                low, high = min(low, same), max(high, same)
            nearest = _nearest(corrected if known else plain, axis)
            other = [f"{emotions[i]}: {emotions[k]}" for i, k in enumerate(nearest) if i != k]
            rows.append(
                {"model": found["model"].iloc[0], "over": over, "layer": layer, "domain": domain}
                | {"emotions": len(emotions), "same_plain": int(count(plain, axis))}
                | {"same": same, "same_low": low, "same_high": high}
                | {"chance": 1, "other": ", ".join(other)}
            )
    whole = ["layer", "same", "same_low", "same_high"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def count(distances: np.ndarray, axis: int) -> np.ndarray:
    """Count the emotions whose nearest is the same emotion.

    Parameters
    ----------
    distances : ndarray (..., C, C)
        Emotions of A by emotions of B.
    axis
        Whose emotions are counted: 0 for those of A, 1 for those of B.

    Returns
    -------
    ndarray (...), int
    """
    return (_nearest(distances, axis) == np.arange(distances.shape[-1])).sum(axis=-1)


def _nearest(distances: np.ndarray, axis: int) -> np.ndarray:
    """For each emotion of a domain, the number of the nearest emotion of the other."""
    return distances.argmin(axis=-1 if axis == 0 else -2)


def _columns(domains: list[str]) -> list[str]:
    return [f"emotion_{domain}" for domain in domains]


def _by_number(
    rows: pd.DataFrame, left_out: pd.DataFrame, columns: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str]]]:
    """Number the pairs in the column `emotion`, which `ranking` goes by; return them in this order, too."""
    pairs = list(dict.fromkeys(zip(*(rows[column] for column in columns), strict=True)))
    numbers = {pair: i for i, pair in enumerate(pairs)}
    numbered = [
        part.assign(emotion=[numbers[pair] for pair in zip(*(part[column] for column in columns), strict=True)])
        for part in (rows, left_out)
    ]
    return numbered[0], numbered[1], pairs
