"""A map of the clips: two principal components of the clip means of both domains, in the layer that validation selects.

Features are standardised over all clips first, as for converged probes: in some encoders a few of them are a hundred
times as large as the rest, and would be all that the map shows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from speechsong.embeddings import features, store
from speechsong.evaluation.predictions import deep
from speechsong.files import table


def clip_map(
    paths: dict[str, list[str]], probes: str, *, model: str, emotions: list[str], protocol: str, fit: str
) -> list[dict]:
    """Compute where every clip is on the map of an encoder.

    Parameters
    ----------
    paths
        The embedding files of all layers, by domain.
    probes
        The probe CSV of the encoder.
    model
        The encoder.
    emotions
        In the order of the rows.
    protocol, fit
        The probes whose validation selects the layer.

    Returns
    -------
    list of dict
        One row per clip: model, layer, domain, clip_id, emotion, `x` and `y` (in units of standardised features), and
        `x_share` and `y_share`, the shares of the variance on the two axes, which are the same in every row.

    Raises
    ------
    UserError
        If an embedding file or the probe CSV cannot be used.
    """
    with table(probes):
        layer = best_layer(pd.read_csv(probes, keep_default_na=False), protocol, fit)
    store.read_common_maker(paths)
    of_domain = {}
    for domain, files in paths.items():
        arranged = store.arrange(files, model=model, domain=domain, emotions=emotions)
        of_domain[domain] = features.read(arranged[layer])
    points, (x_share, y_share) = principal(
        np.concatenate([found.means for found in of_domain.values()], dtype=np.float64)
    )
    labels = [
        {"model": model, "layer": layer, "domain": domain, "clip_id": clip, "emotion": emotions[label]}
        for domain, found in of_domain.items()
        for clip, label in zip(found.clips, found.labels, strict=True)
    ]
    return [
        label | {"x": float(x), "y": float(y), "x_share": x_share, "y_share": y_share}
        for label, (x, y) in zip(labels, points, strict=True)
    ]


def best_layer(probes: pd.DataFrame, protocol: str, fit: str) -> int:
    """Choose the layer with the best mean validation accuracy over both domains and all seeds; of equals, the first.

    Parameters
    ----------
    probes
        The probe CSV of one encoder. The test part plays no role, nor does layer 0 unless there is no other.
    protocol, fit
        Those of the probes that count.
    """
    chosen = deep(probes[(probes["protocol"] == protocol) & (probes["fit"] == fit)])
    chosen = chosen[chosen["test_domain"] == chosen["domain"]]
    return int(chosen.groupby("layer")["validation"].mean().idxmax())


def principal(means: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Project standardised features onto their first two principal components.

    Parameters
    ----------
    means : ndarray (n, d), float64
        At least two features; overwritten. A feature without variance stays at 0.

    Returns
    -------
    points : ndarray (n, 2), float64
    shares : tuple of two float
        The share of the variance on each axis, from 0 to 1; 0 if there is no variance at all.
    """
    means -= means.mean(axis=0)
    spread = np.sqrt(np.einsum("ij,ij->j", means, means) / len(means))
    means /= np.where(spread > 0, spread, 1)
    # of d x d numbers, however many clips there are
    values, vectors = np.linalg.eigh(means.T @ means)
    axes = vectors[:, [-1, -2]]
    # the sign of an eigenvector is arbitrary: its largest component is positive
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = values.sum()
    first, second = (float(max(value, 0) / total) if total > 0 else 0.0 for value in values[[-1, -2]])
    return means @ axes, (first, second)
