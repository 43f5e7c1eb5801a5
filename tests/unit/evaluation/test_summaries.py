"""Summaries are what one gets by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from made_results import BY_HAND, metrics
from speechsong.evaluation import summaries


def test_best_and_worst_by_hand():
    found = summaries.best_and_worst(metrics(BY_HAND))
    rows = {(r.domain, r.protocol, r.model): r for r in found.itertuples()}
    assert list(rows) == [("speech", "random", "w2v2"), ("speech", "random", "mert"), ("music", "speaker", "logmel")]
    row = rows["speech", "random", "w2v2"]
    assert (row.best_layer, row.worst_layer, row.seeds, row.clips, row.speakers) == (2, 10, 5, 697, 23)
    assert (row.best, row.worst, row.mean, row.selected, row.selected_uar) == pytest.approx((65, 42, 55, 64, 54))
    assert (row.best_low, row.best_high, row.selected_uar_low) == pytest.approx((60, 67, 49))
    row = rows["speech", "random", "mert"]
    assert (row.best, row.best_layer, row.worst, row.worst_layer) == (75, 2, 25, 1)
    row = rows["music", "speaker", "logmel"]
    assert (row.best, row.worst, row.mean, row.best_layer) == pytest.approx((20, 20, 20, 0))


def test_two_stages_by_hand():
    rows = []
    for number, (source, target, tested) in enumerate(
        [
            *(("speech", "", "speech"), ("music", "", "music"), ("speech", "speech", "speech")),
            *(("music", "music", "music"), ("speech", "music", "music"), ("speech", "music", "speech")),
            *(("music", "speech", "speech"), ("music", "speech", "music")),
            *(("music+speech", "", "speech"), ("music+speech", "", "music")),
        ]
    ):
        keys = {"model": "mert", "approach": "ws", "protocol": "random", "source": source, "target": target}
        keys |= {"stage": 2 if target else 1, "test_domain": tested, "over": "", "metric": "accuracy"}
        value = number / 10
        rows.append(
            keys | {"value": value, "low": value - 0.01, "high": value + 0.01, "clips": 9, "speakers": 5, "seeds": 1}
        )
        rows.append(rows[-1] | {"metric": "uar", "value": 0.99})
    found = summaries.two_stages(pd.DataFrame(rows))
    assert len(found) == 2
    names = ["stage_one", "stage_two", "direct", "equal_budget", "joint", "source_after"]
    row = found[found["source"] == "speech"].iloc[0]
    assert list(row[names]) == pytest.approx([0, 40, 10, 30, 90, 50])
    assert row["stage_two_low"] == pytest.approx(39)
    row = found[found["source"] == "music"].iloc[0]
    assert list(row[names]) == pytest.approx([10, 60, 0, 20, 80, 70])
