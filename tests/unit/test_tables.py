"""Summaries are what one gets by hand, and read well as Markdown."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from speechsong import files, tables


def probes(accuracies: dict[tuple, list[float]]) -> pd.DataFrame:
    """Rows of probe CSVs: for each (model, domain, protocol, layer) the accuracy of each seed."""
    return pd.DataFrame(
        [
            {"model": m, "domain": d, "layer": layer, "protocol": p, "seed": seed, "accuracy": a}
            for (m, d, p, layer), values in accuracies.items()
            for seed, a in enumerate(values)
        ]
    )


BY_HAND = {
    # layer 0 is better and worse than all, and counts nothing
    ("w2v2", "speech", "random", 0): [0.99, 0.01],
    ("w2v2", "speech", "random", 1): [0.50, 0.54],
    ("w2v2", "speech", "random", 2): [0.60, 0.70],  # best by its mean, 65
    ("w2v2", "speech", "random", 3): [0.90, 0.30],  # holds the best single seed; mean 60
    ("w2v2", "speech", "random", 10): [0.40, 0.44],  # worst, 42
    ("mert", "speech", "random", 1): [0.25],
    ("mert", "speech", "random", 2): [0.75],
    ("w2v2", "music", "speaker", 1): [0.10, 0.20, 0.30],
}


def test_best_and_worst_by_hand():
    found = tables.best_and_worst(probes(BY_HAND))
    assert list(found.columns) == [
        *("domain", "protocol", "model", "best", "best_layer", "best_sd", "worst", "worst_layer", "mean", "seeds")
    ]
    rows = {(r.domain, r.protocol, r.model): r for r in found.itertuples()}
    assert set(rows) == {
        ("speech", "random", "w2v2"),
        ("speech", "random", "mert"),
        ("music", "speaker", "w2v2"),
    }
    row = rows["speech", "random", "w2v2"]
    assert (row.best_layer, row.worst_layer, row.seeds) == (2, 10, 2)
    assert row.best == pytest.approx(65)
    assert row.best_sd == pytest.approx(np.sqrt(50))  # of 60 and 70
    assert row.worst == pytest.approx(42)
    assert row.mean == pytest.approx((52 + 65 + 60 + 42) / 4)
    row = rows["speech", "random", "mert"]
    assert (row.best, row.best_layer, row.worst, row.worst_layer, row.mean) == (75, 2, 25, 1, 50)
    assert np.isnan(row.best_sd)
    row = rows["music", "speaker", "w2v2"]
    assert row.best == row.worst == row.mean == pytest.approx(20)
    assert row.best_sd == pytest.approx(10)


def test_the_order_of_rows_changes_nothing_but_the_order():
    whole = probes(BY_HAND)
    key = ["domain", "protocol", "model"]
    one = tables.best_and_worst(whole).sort_values(key, ignore_index=True)
    other = tables.best_and_worst(whole.sample(frac=1, random_state=0)).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(one, other)


def test_encoders_come_in_the_order_of_the_run():
    found = tables.best_and_worst(probes({(m, "speech", "random", 1): [0.5] for m in ("w2v2", "hubert", "mert")}))
    assert list(found["model"]) == ["w2v2", "hubert", "mert"]


def test_gathered_tables_are_read_as_one(tmp_path):
    for model in ("w2v2", "mert"):
        rows = [{"model": model, "layer": f"{i:02d}", "accuracy": i / 7} for i in range(12)]
        files.write_rows(tmp_path / f"{model}.csv", rows)
    found = tables.read([str(tmp_path / f"{m}.csv") for m in ("w2v2", "mert")])
    assert list(found["model"].unique()) == ["w2v2", "mert"]
    assert list(found["layer"]) == [*range(12), *range(12)]
    assert list(found["accuracy"]) == [i / 7 for i in range(12)] * 2
    assert list(found.index) == list(range(24))


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan", "007"])
def test_names_that_look_like_something_else_are_names(tmp_path, name):
    # `None` may well be what people call the emotion of those who show none
    files.write_rows(tmp_path / "a.csv", [{"emotion": name, "fad": 1.5}, {"emotion": "all", "fad": float("nan")}])
    found = tables.read([str(tmp_path / "a.csv")])
    assert list(found["emotion"]) == [name, "all"]
    assert np.isnan(found["fad"][1])


def written(tmp_path, table: pd.DataFrame, notice: str = "") -> tuple[list[dict], list[list[str]], str]:
    """The CSV's rows, the cells of the Markdown table and the whole Markdown."""
    tables.write(table, tmp_path / "t.csv", tmp_path / "t.md", notice)
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream)), [[c.strip() for c in line.strip("|").split("|")] for line in lines], text


def test_markdown_and_csv(tmp_path):
    table = pd.DataFrame({"model": ["w2v2", "mert"], "best": [200 / 3, 5.0], "best_layer": [4, 12]})
    rows, cells, text = written(tmp_path, table)
    assert cells == [
        ["model", "best", "best_layer"],
        ["---", "---:", "---:"],
        ["w2v2", "66.67", "4"],
        ["mert", "5.00", "12"],
    ]
    assert text.count("\n") == 4
    assert text.endswith("|\n")
    # the CSV keeps every digit
    assert [float(r["best"]) for r in rows] == [200 / 3, 5.0]
    assert [r["best_layer"] for r in rows] == ["4", "12"]


def test_the_notice_stands_below(tmp_path):
    table = pd.DataFrame({"model": ["w2v2"], "best": [1.0]})
    _, cells, text = written(tmp_path, table, "These numbers mean nothing.")
    assert text.endswith("|\n\nThese numbers mean nothing.\n")
    assert len(cells) == 3


def test_a_real_summary_is_written(tmp_path):
    rows, cells, _ = written(tmp_path, tables.best_and_worst(probes(BY_HAND)))
    assert len(rows) == len(cells) - 2 == 3
    assert all(len(line) == 10 for line in cells)
    w2v2 = next(line for line in cells if line[:3] == ["speech", "random", "w2v2"])
    assert w2v2[3:] == ["65.00", "2", "7.07", "42.00", "10", "54.75", "2"]


def test_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        tables.write(tables.best_and_worst(probes(BY_HAND)), tmp_path / f"{name}.csv", tmp_path / f"{name}.md", "x")
    for suffix in ("csv", "md"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
