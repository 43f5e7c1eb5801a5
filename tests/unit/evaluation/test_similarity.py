"""Similarity and transfer: the correlation is SciPy's of the same numbers, and planted ones are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from made_results import EMOTIONS, pick
from speechsong.distances import ranking
from speechsong.evaluation.similarity import OVER, similarity
from speechsong.evaluation.transfer import transfer

BLOCKS = {domain: {f"0{i}": i // 2 for i in range(6)} for domain in ("speech", "music")}
LAYERS = range(3)


def distances(value, sides=("both",), error: float = 0.01) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Make FADs and KADs, `value(layer, emotion)`, and those with each of three blocks left out."""
    rng = np.random.default_rng(0)
    made = {}
    for name, size in (("fad", "frames"), ("kad", "clips")):
        table, left_out = [], []
        for layer in LAYERS:
            for emotion in [*EMOTIONS, "all"]:
                keys = {"model": "b", "layer": layer, "emotion": emotion}
                table.append(keys | {name: value(layer, emotion)})
                for side in sides:
                    for block in range(3):
                        without = value(layer, emotion) + error * rng.standard_normal()
                        left_out.append(keys | {"side": side, "block": block, size: 10, f"{name}_left_out": without})
        made[name] = pd.DataFrame(table), pd.DataFrame(left_out)
    return made


@pytest.fixture(scope="module")
def of_b(predictions):
    return predictions[predictions["model"] == "b"]


def outcomes(of_b, **keys) -> pd.DataFrame:
    return pick(pd.DataFrame(transfer(of_b, EMOTIONS)), approach="probe", **keys)


def near(layer: int, emotion: str) -> float:
    return 1 + 3 * layer + [*EMOTIONS, "all"].index(emotion) ** 2


@pytest.mark.parametrize("sides", [("both",), ("speech", "music")])
def test_the_correlation_is_that_of_the_table_of_transfer(of_b, sides):
    made = distances(near, sides)
    rows, points = (pd.DataFrame(some) for some in similarity(of_b, made, BLOCKS, EMOTIONS))
    keys = {"fit": "converged", "protocol": "speaker", "source": "speech", "target": "music"}
    kept = outcomes(of_b, **keys, over="layer")
    kept = kept[kept["layer"] > 0]
    fads = ranking.estimates(*made["fad"]).set_index(["layer", "emotion"])["fad_corrected"]
    single = kept[kept["emotion"] != "all"]
    cells = [fads[row.layer, row.emotion] for row in single.itertuples()]
    mean = outcomes(of_b, **keys, over="mean").set_index("emotion")["kept"]
    relative = {
        emotion: np.mean([fads[k, emotion] / np.mean([fads[k, e] for e in EMOTIONS]) for k in (1, 2)])
        for emotion in EMOTIONS
    }
    expected = {
        "layers and emotions": spearmanr(cells, single["kept"])[0],
        "emotions": spearmanr([relative[e] for e in EMOTIONS], [mean[e] for e in EMOTIONS])[0],
    }
    for over, value in expected.items():
        row = pick(rows, **keys, outcome="kept", distance="fad", over=over).iloc[0]
        assert row["correlation"] == pytest.approx(value)
        assert row["n"] == (6 if over == "layers and emotions" else 3)
    # two layers have no order worth the name
    assert pick(rows, over="layers")["correlation"].isna().all()
    drawn = pick(points, **keys).set_index(["layer", "emotion"])
    assert len(drawn) == 6
    for row in single.itertuples():
        assert drawn.loc[(row.layer, row.emotion), "kept"] == pytest.approx(row.kept)
        assert drawn.loc[(row.layer, row.emotion), "fad"] == pytest.approx(fads[row.layer, row.emotion])


def test_a_planted_correlation_is_found_with_its_sign(of_b):
    keys = {"fit": "paper", "protocol": "random", "source": "speech", "target": "music"}
    kept = outcomes(of_b, **keys, over="layer").set_index(["layer", "emotion"])["kept"]
    for sign in (1, -1):
        made = distances(lambda layer, emotion, sign=sign: 10 + sign * kept[layer, emotion], error=1e-6)
        rows = pd.DataFrame(similarity(of_b, made, BLOCKS, EMOTIONS)[0])
        for distance in ("fad", "kad"):
            row = pick(rows, **keys, outcome="kept", distance=distance, over="layers and emotions").iloc[0]
            assert row["correlation"] == pytest.approx(sign)


def test_the_gain_of_two_stages(of_b):
    made = distances(near)
    rows = pd.DataFrame(similarity(of_b, made, BLOCKS, EMOTIONS)[0])
    gains = pick(rows, outcome="gain")
    # 2 approaches, protocols, directions and distances
    assert len(gains) == 16 and set(gains["over"]) == {"emotions"}
    keys = {"approach": "ws", "protocol": "random", "test_domain": "music"}
    after, before = pick(of_b, **keys, source="speech", target="music"), pick(of_b, **keys, source="music", target="")
    recalls = [
        t.assign(right=t["true"] == t["predicted"]).groupby("true")["right"].mean()[EMOTIONS] for t in (after, before)
    ]
    row = pick(gains, approach="ws", protocol="random", target="music", distance="fad").iloc[0]
    fads = ranking.estimates(*made["fad"]).set_index(["layer", "emotion"])["fad_corrected"]
    relative = [np.mean([fads[k, e] / np.mean([fads[k, o] for o in EMOTIONS]) for k in (1, 2)]) for e in EMOTIONS]
    assert row["correlation"] == pytest.approx(spearmanr(relative, recalls[0] - recalls[1])[0])


def test_every_number_lies_in_its_interval_and_one_row_has_each_key(of_b):
    rows = pd.DataFrame(similarity(of_b, distances(near, error=0.3), BLOCKS, EMOTIONS)[0])
    keys = ["outcome", "approach", "fit", "protocol", "source", "target", "distance", "over"]
    assert not rows.duplicated(keys).any()
    assert set(rows["over"]) == set(OVER)
    known = rows.dropna(subset=["correlation_low"])
    assert len(known) > 20
    assert (known["correlation_low"] <= known["correlation"]).all()
    assert (known["correlation"] <= known["correlation_high"]).all()


def test_a_cell_without_an_outcome_is_left_out(of_b):
    # nothing is right in music, so there is nothing to keep
    wrong = of_b.copy()
    following = dict(zip(EMOTIONS, [*EMOTIONS[1:], EMOTIONS[0]], strict=True))
    there = wrong["test_domain"] == "music"
    wrong.loc[there, "predicted"] = wrong.loc[there, "true"].map(following)
    rows = pd.DataFrame(similarity(wrong, distances(near), BLOCKS, EMOTIONS)[0])
    nothing = pick(rows, outcome="kept", target="music")
    assert (nothing["n"] == 0).all() and nothing["correlation"].isna().all()
    assert (pick(rows, outcome="kept", target="speech", over="layers and emotions")["n"] > 0).all()


@pytest.mark.parametrize("sides", [("both",), ("speech", "music")])
def test_distances_and_outcomes_share_their_speakers(sides):
    """A distance that depends on the blocks drawn alone moves as the draws say, to the last digit."""
    _, left_out = distances(near, sides, error=0.5)["fad"]
    table = distances(near, sides, error=0.5)["fad"][0]
    samples = ranking.resample(table, left_out)
    corrected = ranking.estimates(table, left_out)["fad_corrected"].iloc[0]
    drawn = ranking.draw_blocks(left_out)
    assert list(drawn) == list(sides)
    same = np.all([(counts == 1).all(axis=1) for counts in drawn.values()], axis=0)
    # every block once is the whole sample
    assert same.sum() > 20
    np.testing.assert_allclose(samples[same, 0, 0], corrected)
    # and the draws explain all of the scatter
    counts = np.hstack([counts.astype(float) for counts in drawn.values()])
    design = np.column_stack([counts, np.ones(len(counts))])
    fitted = design @ np.linalg.lstsq(design, samples[:, 1, 2], rcond=None)[0]
    np.testing.assert_allclose(fitted, samples[:, 1, 2])
