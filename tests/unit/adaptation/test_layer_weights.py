"""Layer weights are the softmax of what a checkpoint holds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from made_stages import run, stage
from speechsong.adaptation import checkpoints
from speechsong.adaptation.layer_weights import layer_weights


def test_shares_of_real_checkpoints(corpus, tmp_path):
    first = run(corpus, stage(corpus, "ws", "speech"), tmp_path, "speech")["checkpoint"]
    second = run(corpus, stage(corpus, "ws", "speech", "music", first), tmp_path, "speech-music")["checkpoint"]
    table = pd.DataFrame(layer_weights([first, second]))
    labels = ["model", "approach", "protocol", "seed", "source", "target", "stage"]
    assert list(table.columns) == [*labels, "layer", "weight"]
    assert [tuple(row) for row in table[["source", "target", "stage"]].drop_duplicates().to_numpy()] == [
        ("speech", "", 1),
        ("speech", "music", 2),
    ]
    for path, rows in zip((first, second), (table[table["stage"] == 1], table[table["stage"] == 2]), strict=True):
        parameters, description = checkpoints.read(path)
        assert list(rows["layer"]) == description["layers"]
        raw = np.exp(parameters["layer_weights"].astype(float))
        np.testing.assert_allclose(rows["weight"], raw / raw.sum())
        assert np.ptp(rows["weight"]) > 0
