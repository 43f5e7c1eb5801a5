"""Summaries are what one gets by hand, and read well as Markdown."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from speechsong import files, tables


def metrics(accuracies: dict[tuple, float]) -> pd.DataFrame:
    """Rows of `evaluation.measure` on probes: accuracy by (model, domain, protocol, layer), UAR 10 points below."""
    return pd.DataFrame(
        [
            {"model": m, "test_domain": d, "protocol": p, "layer": layer, "metric": metric}
            | {
                "value": a - less,
                "low": a - less - 0.05,
                "high": a - less + 0.02,
                "clips": 697,
                "speakers": 23,
                "seeds": 5,
            }
            for (m, d, p, layer), a in accuracies.items()
            for metric, less in (("accuracy", 0), ("uar", 0.1))
        ]
    )


BY_HAND = {
    # layer 0 is better and worse than all, and counts nothing
    ("w2v2", "speech", "random", "00"): 0.99,
    ("w2v2", "speech", "random", "01"): 0.52,
    ("w2v2", "speech", "random", "02"): 0.65,  # best
    ("w2v2", "speech", "random", "03"): 0.60,
    ("w2v2", "speech", "random", "10"): 0.42,  # worst
    ("w2v2", "speech", "random", "mean"): 0.55,
    ("w2v2", "speech", "random", "selected"): 0.64,
    ("mert", "speech", "random", "01"): 0.25,
    ("mert", "speech", "random", "02"): 0.75,
    ("mert", "speech", "random", "mean"): 0.5,
    ("mert", "speech", "random", "selected"): 0.75,
    # log-mel has one state
    ("logmel", "music", "speaker", "00"): 0.2,
    ("logmel", "music", "speaker", "mean"): 0.2,
    ("logmel", "music", "speaker", "selected"): 0.2,
}


def test_best_and_worst_by_hand():
    found = tables.best_and_worst(metrics(BY_HAND))
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
        ]
    ):
        keys = {"model": "mert", "approach": "ws", "protocol": "random", "source": source, "target": target}
        keys |= {"stage": 2 if target else 1, "test_domain": tested, "layer": np.nan, "metric": "accuracy"}
        value = number / 10
        rows.append(
            keys | {"value": value, "low": value - 0.01, "high": value + 0.01, "clips": 9, "speakers": 5, "seeds": 1}
        )
        rows.append(rows[-1] | {"metric": "uar", "value": 0.99})
    found = tables.two_stages(pd.DataFrame(rows))
    assert len(found) == 2
    names = ["stage_one", "stage_two", "direct", "equal_budget", "source_after"]
    row = found[found["source"] == "speech"].iloc[0]
    assert list(row[names]) == pytest.approx([0, 40, 10, 30, 50])
    assert row["stage_two_low"] == pytest.approx(39)
    row = found[found["source"] == "music"].iloc[0]
    assert list(row[names]) == pytest.approx([10, 60, 0, 20, 70])


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
        ["w2v2", "66.7", "4"],
        ["mert", "5.0", "12"],
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


def test_a_number_and_its_interval_share_a_cell(tmp_path):
    table = pd.DataFrame(
        {"model": ["a_b", "c"], "best": [71.234, 80.0], "best_low": [70.0, 79.0], "best_high": [72.0, 81.5]}
    )
    tables.write(table, tmp_path / "t.csv", tmp_path / "t.md", "50 % of it", latex=tmp_path / "t.tex", best=("best",))
    assert "| a_b | 71.2 [70.0, 72.0] |" in (tmp_path / "t.md").read_text()
    assert "| c | **80.0** [79.0, 81.5] |" in (tmp_path / "t.md").read_text()
    text = (tmp_path / "t.tex").read_text()
    assert "a\\_b & 71.2 {\\scriptsize [70.0, 72.0]} \\\\" in text
    assert "\\textbf{80.0} {\\scriptsize [79.0, 81.5]}" in text
    assert [line for line in text.splitlines() if "rule" in line] == ["\\toprule", "\\midrule", "\\bottomrule"]


def test_a_small_number_is_not_shown_as_zero(tmp_path):
    _, cells, _ = written(tmp_path, pd.DataFrame({"p": [0.5, 0.00042, 0.0, 1.0]}))
    assert [cell for (cell,) in cells[2:]] == ["0.500", "0.0004", "0.000", "1.000"]


def test_the_best_is_found_within_groups_and_may_be_shared(tmp_path):
    table = pd.DataFrame({"domain": ["a", "a", "b", "b"], "x": [1.0, 2.0, 0.5, 0.5]})
    tables.write(table, tmp_path / "t.csv", tmp_path / "t.md", "", best=("x",), within=("domain",))
    lines = (tmp_path / "t.md").read_text().splitlines()[2:]
    assert ["**" in line for line in lines] == [False, True, True, True]


def test_a_number_that_is_missing_leaves_its_cell_empty(tmp_path):
    table = pd.DataFrame({"x": [1.0, np.nan], "x_low": [0.5, np.nan], "x_high": [2.0, np.nan]})
    _, cells, _ = written(tmp_path, table)
    assert cells[2:] == [["1.00 [0.50, 2.00]"], [""]]


def test_a_real_summary_is_written(tmp_path):
    rows, cells, _ = written(tmp_path, tables.best_and_worst(metrics(BY_HAND)))
    assert len(rows) == len(cells) - 2 == 3
    w2v2 = next(line for line in cells if line[:3] == ["speech", "random", "w2v2"])
    assert w2v2[3:7] == ["2", "65.0 [60.0, 67.0]", "10", "42.0 [37.0, 44.0]"]


def test_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        paths = [tmp_path / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")]
        tables.write(tables.best_and_worst(metrics(BY_HAND)), *paths[:2], "x", latex=paths[2])
    for suffix in ("csv", "md", "tex"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
