"""Tables are read as they were written, and read well as Markdown and LaTeX."""

from __future__ import annotations

import csv
import re
import string
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_results import BY_HAND, metrics
from speechsong import files
from speechsong.evaluation.summaries import best_and_worst
from speechsong.report import tables


def outputs(folder: Path, stem: str = "t") -> SimpleNamespace:
    """Name the outputs of a rule."""
    return SimpleNamespace(csv=folder / f"{stem}.csv", markdown=folder / f"{stem}.md", latex=folder / f"{stem}.tex")


def latex(tmp_path: Path, table: pd.DataFrame, **options: object) -> list[list[str]]:
    """Write a table, and read the cells of the LaTeX one."""
    tables.write(table, outputs(tmp_path), "", **options)
    lines = (tmp_path / "t.tex").read_text(encoding="utf-8").splitlines()
    return [line.removesuffix(" \\\\").split(" & ") for line in lines if line.endswith(" \\\\")]


# --- reading


def test_gathered_tables_are_read_as_one(tmp_path):
    for model in ("w2v2", "mert"):
        rows = [{"model": model, "layer": i, "accuracy": i / 7} for i in range(12)]
        files.write_rows(tmp_path / f"{model}.csv", rows)
    table = tables.read([str(tmp_path / f"{m}.csv") for m in ("w2v2", "mert")])
    assert list(table["model"].unique()) == ["w2v2", "mert"]
    assert list(table["layer"]) == [*range(12), *range(12)]
    assert list(table["accuracy"]) == [i / 7 for i in range(12)] * 2
    assert list(table.index) == list(range(24))


@pytest.mark.parametrize("column", ["emotion", "true", "predicted", "over"])
@pytest.mark.parametrize("name", ["None", "NA", "null", "nan", "007", ""])
def test_names_that_look_like_something_else_are_names(tmp_path, name, column):
    # `None` may well be what people call the emotion of those who show none
    files.write_rows(tmp_path / "a.csv", [{column: name, "fad": 1.5}, {column: "all", "fad": float("nan")}])
    table = tables.read([str(tmp_path / "a.csv")])
    assert list(table[column]) == [name, "all"]
    assert np.isnan(table["fad"][1])


def test_layers_are_whole_numbers_and_may_be_missing(tmp_path):
    table = pd.DataFrame({"over": ["layer", "mean", ""], "layer": pd.array([10, None, None], "Int64")})
    for name, rows in (("some", table), ("none", table[1:])):
        tables.write(rows, outputs(tmp_path, name), "")
        again = tables.read([str(tmp_path / f"{name}.csv")])
        pd.testing.assert_frame_equal(again, rows.reset_index(drop=True), check_dtype=False)
        assert again["layer"].dtype == "Int64"
    assert (tmp_path / "some.csv").read_text() == "over,layer\nlayer,10\nmean,\n,\n"
    assert (tmp_path / "some.md").read_text().splitlines()[2:] == ["| layer | 10 |", "| mean |  |", "|  |  |"]


# --- writing


def written(tmp_path, table: pd.DataFrame, notice: str = "") -> tuple[list[dict], list[list[str]], str]:
    """Write a table; return the rows of the CSV, the cells of the Markdown table and the whole Markdown."""
    tables.write(table, outputs(tmp_path), notice)
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


def test_markup_in_the_notice_and_in_names_is_text(tmp_path):
    table = pd.DataFrame(
        {"speaker": ["<img src=x onerror=alert(1)>", "a|b\nc", "[x](javascript:1)"], "best": [1.0] * 3}
    )
    _, cells, text = written(tmp_path, table, "See <script>alert(1)</script>\n& [this](http://x)")
    assert "<img" not in text
    assert "<script" not in text
    assert text.count("\n") == 7
    assert text.endswith("\n\nSee &lt;script>alert(1)&lt;/script> &amp; \\[this\\](http://x)\n")
    assert "| a\\|b c |" in text
    assert len(cells) == 5


def test_a_number_and_its_interval_share_a_cell(tmp_path):
    table = pd.DataFrame(
        {"model": ["a_b", "c"], "best": [71.234, 80.0], "best_low": [70.0, 79.0], "best_high": [72.0, 81.5]}
    )
    tables.write(table, outputs(tmp_path), "50 % of it", best=("best",))
    assert "| a_b | 71.2 [70.0, 72.0] |" in (tmp_path / "t.md").read_text()
    assert "| c | **80.0** [79.0, 81.5] |" in (tmp_path / "t.md").read_text()
    text = (tmp_path / "t.tex").read_text()
    assert "a\\_b & 71.2 {\\scriptsize [70.0, 72.0]} \\\\" in text
    assert "\\textbf{80.0} {\\scriptsize [79.0, 81.5]}" in text
    assert [line for line in text.splitlines() if "rule" in line] == ["\\toprule", "\\midrule", "\\bottomrule"]
    assert text.endswith("% 50 % of it\n")


def test_a_small_number_is_not_shown_as_zero(tmp_path):
    _, cells, _ = written(tmp_path, pd.DataFrame({"p": [0.5, 0.00042, 0.0, 1.0]}))
    assert [cell for (cell,) in cells[2:]] == ["0.500", "0.0004", "0.000", "1.000"]


def test_the_best_is_found_within_groups_and_may_be_shared(tmp_path):
    table = pd.DataFrame({"domain": ["a", "a", "b", "b"], "x": [1.0, 2.0, 0.5, 0.5]})
    tables.write(table, outputs(tmp_path), "", best=("x",), within=("domain",))
    lines = (tmp_path / "t.md").read_text().splitlines()[2:]
    assert ["**" in line for line in lines] == [False, True, True, True]


def test_a_number_that_is_missing_leaves_its_cell_empty(tmp_path):
    table = pd.DataFrame({"x": [1.0, np.nan], "x_low": [0.5, np.nan], "x_high": [2.0, np.nan]})
    _, cells, _ = written(tmp_path, table)
    assert cells[2:] == [["1.00 [0.50, 2.00]"], [""]]


def test_a_real_summary_is_written(tmp_path):
    rows, cells, _ = written(tmp_path, best_and_worst(metrics(BY_HAND)))
    assert len(rows) == len(cells) - 2 == 3
    w2v2 = next(line for line in cells if line[:4] == ["speech", "random", "paper", "w2v2"])
    assert w2v2[4:8] == ["2", "65.0 [60.0, 67.0]", "10", "42.0 [37.0, 44.0]"]


def test_a_bar_does_not_end_a_cell_of_markdown(tmp_path):
    _, _, text = written(tmp_path, pd.DataFrame({"model": ["a|b"], "x": [1]}))
    assert text.splitlines()[2] == "| a\\|b | 1 |"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2e-7, r"$2 \times 10^{-7}$"),
        (-2e-7, r"$-2 \times 10^{-7}$"),
        (-12.5, "$-$12.500"),
        (-0.0004, "$-$0.0004"),
        (1234.5, "1,234.500"),
    ],
)
def test_numbers_in_latex(tmp_path, number, text):
    # the median sets three decimals
    table = pd.DataFrame({"x": [number, 0.5, 0.5, 0.5]})
    assert latex(tmp_path, table)[1] == [text]
    table = pd.DataFrame({"x": [0.5, 0.5], "x_low": [number, 0.25], "x_high": [number, 0.75]})
    assert latex(tmp_path, table)[1][0].endswith(rf"{{\scriptsize [{text}, {text}]}}")
    table = pd.DataFrame({"x": [0.5, 0.5, number, 0.5]})
    assert latex(tmp_path, table, bold={(2, "x")})[3] == [rf"\textbf{{{text}}}"]


# what LaTeX prints for these, from the manuals of TeX and of LaTeX
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    "{[}": "[",
    "{*}": "*",
} | {f"\\{character}": character for character in "&%$#_{}"}
TOKEN = re.compile("|".join([*map(re.escape, PRINTED), r"[^\\{}$&#^_~%<>|\[*]"]))


@given(st.text(string.printable[:95], min_size=1))
def test_latex_prints_every_character_as_it_is(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("latex")
    # in a name, and in a heading, where underscores are spaces
    tables.write(pd.DataFrame({text: [text]}), outputs(folder), "")
    lines = (folder / "t.tex").read_text(encoding="utf-8").splitlines()
    for line, wanted in ((lines[3], text.replace("_", " ")), (lines[5], text)):
        cell = line.removesuffix(r" \\")
        tokens = TOKEN.findall(cell)
        # nothing is left over that is special
        assert "".join(tokens) == cell
        assert "".join(PRINTED.get(token, token) for token in tokens) == wanted
        # nor is anything read as options of the row or the rule before it
        assert not line.startswith(("[", "*"))


def test_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        tables.write(best_and_worst(metrics(BY_HAND)), outputs(tmp_path, name), "x")
    for suffix in ("csv", "md", "tex"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
