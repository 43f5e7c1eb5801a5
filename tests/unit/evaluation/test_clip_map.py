"""The map of the clips: principal components as of scikit-learn, of the layer that validation selects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from speechsong import files
from speechsong.embeddings import store
from speechsong.evaluation import clip_map

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(40, 6), (5, 30)])
def test_components_are_those_of_scikit_learn(shape):
    means = RNG.standard_normal(shape) * np.geomspace(1, 1000, shape[1]) + 5
    means[:, 2] += 3 * means[:, 0]
    points, shares = clip_map.principal(means.copy())
    theirs = PCA(2, svd_solver="full").fit(StandardScaler().fit_transform(means))
    wanted = theirs.transform(StandardScaler().fit_transform(means))
    np.testing.assert_allclose(np.abs(points), np.abs(wanted), atol=1e-8)
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_, atol=1e-10)


def test_features_without_variance_change_nothing():
    means = RNG.standard_normal((20, 4))
    wanted = clip_map.principal(means.copy())[0]
    # an average of equal numbers is not exact
    constant = np.full((20, 1), 0.1, dtype=np.float32).astype(float)
    found = clip_map.principal(np.hstack([means, constant]))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    points, shares = clip_map.principal(np.full((3, 4), 2.5))
    assert not points.any() and shares == (0, 0)


def probes(of_layer: dict[int, tuple[float, float]], **others) -> pd.DataFrame:
    """Make rows of a probe CSV from the validation accuracies in speech and music."""
    row = {"model": "m", "fit": "converged", "protocol": "speaker", "seed": 0} | others
    return pd.DataFrame(
        [
            row | {"domain": domain, "test_domain": tested, "layer": layer, "validation": value}
            for layer, both in of_layer.items()
            for domain, value in zip(("speech", "music"), both, strict=True)
            for tested in ("speech", "music")
        ]
    )


def test_the_layer_with_the_best_mean_validation_accuracy_is_chosen():
    table = pd.concat(
        [
            # layer 0 does not count, and layer 2 is the first of two equals
            probes({0: (1, 1), 1: (0.9, 0.2), 2: (0.6, 0.6), 3: (0.7, 0.5)}),
            probes({0: (1, 1), 1: (0.9, 0.2), 2: (0.6, 0.6), 3: (0.6, 0.6)}, seed=1),
            probes({1: (1, 1)}, fit="paper"),
            probes({3: (1, 1)}, protocol="random"),
        ]
    )
    assert clip_map.best_layer(table, "speaker", "converged") == 2
    assert clip_map.best_layer(table, "random", "converged") == 3
    # log-mel has no other
    assert clip_map.best_layer(probes({0: (0.5, 0.5)}), "speaker", "converged") == 0


def test_every_clip_is_on_the_map_once(tmp_path):
    files.write_rows(tmp_path / "probe.csv", probes({0: (1, 1), 1: (0.2, 0.2), 2: (0.6, 0.6)}).to_dict("records"))
    paths, means = {}, []
    for domain in ("speech", "music"):
        paths[domain] = []
        for emotion in ("sad", "happy"):
            pooled = RNG.standard_normal((3, 4, 5)).astype(np.float32)
            means.append(pooled[2])
            made = store.Embeddings(
                [f"{domain}{emotion}{i}" for i in range(4)],
                np.full(4, 9),
                pooled,
                *(np.full(2, 18), np.zeros((3, 2, 5)), np.zeros((3, 2, 15), np.float32)),
            )
            for layer in range(3):
                path = tmp_path / f"m/{domain}/layer{layer:02d}/{emotion}.h5"
                store.write(path, made, layer, {"model": "m", "domain": domain, "emotion": emotion})
                paths[domain].append(str(path))
    asked = {"model": "m", "emotions": ["sad", "happy"], "protocol": "speaker", "fit": "converged"}
    table = pd.DataFrame(clip_map.clip_map(paths, str(tmp_path / "probe.csv"), **asked))
    points, shares = clip_map.principal(np.concatenate(means, dtype=np.float64))
    np.testing.assert_array_equal(table[["x", "y"]], points)
    assert (table[["x_share", "y_share"]].drop_duplicates().to_numpy() == [shares]).all()
    assert set(table["layer"]) == {2}
    assert list(table["clip_id"]) == [
        f"{d}{e}{i}" for d in ("speech", "music") for e in ("sad", "happy") for i in range(4)
    ]
    assert (table["clip_id"].str.removesuffix("0") == table["domain"] + table["emotion"]).sum() == 4
