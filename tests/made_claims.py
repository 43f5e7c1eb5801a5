"""Made-up answers and distances that the paper's claims are asked of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd

from speechsong.evaluation.claims_rows import judge
from speechsong.evaluation.predictions import COLUMNS

EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
SPEAKERS, CLIPS = 6, 50

# accuracy by layer, 1 to 8, as the paper has it: quarters are 1 and 2, 4 and 5, 7 and 8; the upper half is 5 to 8
BY_LAYER = {
    ("w2v2", "speech"): [0.60, 0.60, 0.66, 0.70, 0.70, 0.64, 0.50, 0.48],
    ("w2v2", "music"): [0.60, 0.60, 0.60, 0.64, 0.64, 0.58, 0.44, 0.42],
    ("hubert", "speech"): [0.60, 0.60, 0.70, 0.74, 0.76, 0.80, 0.80, 0.80],
    ("hubert", "music"): [0.60, 0.60, 0.58, 0.62, 0.64, 0.68, 0.68, 0.68],
    ("mert", "speech"): [0.50, 0.50, 0.58, 0.68, 0.68, 0.64, 0.58, 0.58],
    ("mert", "music"): [0.70, 0.70, 0.76, 0.82, 0.82, 0.84, 0.84, 0.84],
}
_SPEECH = {"angry": 0.10, "fearful": 0.10, "calm": 0.04, "neutral": -0.08, "happy": -0.08, "sad": -0.08}
_MUSIC = {"angry": 0.24, "fearful": -0.02, "calm": 0.0, "neutral": -0.04, "happy": -0.04, "sad": -0.04}
_MERT = {"angry": 0.10, "fearful": -0.40, "calm": -0.20, "neutral": 0.14, "happy": 0.16, "sad": 0.16}


def as_the_paper(model: str, domain: str, layer: int, emotion: str) -> float:
    """Give the recall of an emotion; layer 0 has nothing to do with the others."""
    if layer == 0:
        return 0.1
    if (model, domain, emotion) == ("w2v2", "music", "angry"):
        return 0.76
    offsets = _SPEECH if domain == "speech" else _MERT if model == "mert" else _MUSIC
    return BY_LAYER[model, domain][layer - 1] + offsets[emotion]


def probed(
    recall: Callable[[str, str, int, str], float],
    models: tuple[str, ...] = ("w2v2", "hubert", "mert"),
    spread: float = 0.0,
    layers: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """Make predictions of probes with the recalls asked for; speakers differ by `spread`."""
    rng = np.random.default_rng(seed)
    axes = (models, ("speech", "music"), range(layers + 1), EMOTIONS)
    cells = [(*cell, speaker) for cell in product(*axes) for speaker in range(SPEAKERS)]
    shares = [recall(*cell) + spread * rng.normal() for *cell, _ in cells]
    table = pd.DataFrame(cells, columns=["model", "test_domain", "layer", "true", "speaker"])
    table["right"] = (CLIPS * np.array(shares)).round()
    table = table.loc[table.index.repeat(CLIPS)].reset_index(drop=True)
    clip = np.tile(np.arange(CLIPS), len(cells))
    return table.assign(
        **{
            "approach": "probe",
            "fit": "paper",
            "protocol": "random",
            "source": table["test_domain"],
            "target": "",
            "stage": 1,
        },
        **{"seed": 0, "selected": "no", "speaker": table["speaker"].astype(str)},
        clip_id=table["true"] + "-" + table["speaker"].astype(str) + "-" + pd.Series(clip).astype(str),
        predicted=table["true"].where(clip < table["right"], "none"),
    )[COLUMNS]


def stages(accuracies: dict[tuple[str, str, str, str], float], spread: float = 0.0) -> pd.DataFrame:
    """Make predictions of adaptation with the accuracies (in %) by model, approach, source and target."""
    rng = np.random.default_rng(1)
    parts = []
    for (model, approach, source, target), value in accuracies.items():
        for speaker in range(10):
            right = np.arange(100) < round(value + spread * rng.normal())
            parts.append(
                pd.DataFrame(
                    {
                        **{"model": model, "approach": approach, "fit": "", "protocol": "random", "source": source},
                        **{"target": target, "stage": 2 if target else 1, "test_domain": target or source},
                        **{"layer": pd.NA, "seed": 0, "clip_id": [f"{speaker}-{i}" for i in range(100)]},
                        **{"true": "calm", "predicted": np.where(right, "calm", "sad")},
                        **{"speaker": str(speaker), "selected": ""},
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def fads(
    model: str, value: Callable[[int, str], float], noise: float = 0.001, layers: int = 8, bias: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make FADs of layers 0 to `layers`, and those without each of 8 blocks, which scatter by a share `noise`."""
    rng = np.random.default_rng(0)
    rows, left_out = [], []
    for layer in range(layers + 1):
        for emotion in [*EMOTIONS, "all"]:
            keys = {"model": model, "layer": layer, "emotion": emotion}
            plain = value(layer, emotion)
            rows.append(keys | {"fad": plain + bias * plain, "fad_corrected": plain, "std_error": 1.0})
            moves = rng.normal(size=8)
            for block, move in enumerate(moves - moves.mean()):
                # without a block the bias is as much larger as the sample is smaller
                moved = plain * (1 + noise * move) + bias * plain * 8 / 7
                left_out.append(keys | {"side": "both", "block": block, "frames": 100, "fad_left_out": moved})
    return pd.DataFrame(rows), pd.DataFrame(left_out)


def by_name(rows: list[dict]) -> dict[tuple[str, ...], dict]:
    """Index rows by claim and encoder, and by fit and kind of FAD where they have one; check what each must have."""
    found = {}
    for row in rows:
        key = tuple(filter(None, (row["claim"], row["encoder"], row["fit"] != "paper" and row["fit"], row["fad"])))
        assert key not in found
        found[key] = row
        if row["verdict"] != "not in this run":
            low, high = row["number_low"], row["number_high"]
            assert row["verdict"] == judge(low, high, row["bound"], row["side"])
            assert not (low > row["number"] or high < row["number"])
    return found
