"""The summary holds what the tables say, takes nothing from elsewhere, and reads names as text."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from common import ROOT
from speechsong import files
from speechsong.report import page as pages
from speechsong.report.style import plt, save

STYLE = ".summary > p { color: #000; }"
TEMPLATE = (ROOT / "workflow/report/summary.html.j2").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collect tables as rows of text, all other text, and what is loaded; check that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.loaded: list[str] = []
        self.labels: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag in ("img", "script", "link", "iframe", "object", "use", "image"):
            self.loaded += [value for name, value in attrs if name in ("src", "href", "data", "xlink:href")]
        self.labels += [value for name, value in attrs if name in ("aria-label", "alt")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        elif "style" not in self.open:
            self.text += data


def table_page(tmp_path: Path, rows: list[dict], caption: str = "") -> Page:
    """Make the page of one table."""
    files.write_rows(tmp_path / "table.csv", rows)
    entry = pages.Entry("A table", caption, [str(tmp_path / "table.csv")])
    return Page(pages.page("A run", {}, [entry], "", TEMPLATE, STYLE))


def test_an_interval_shares_the_cell_of_its_number(tmp_path):
    rows = [
        {"model": "w2v2", "accuracy": 79.802, "accuracy_low": 75.06, "accuracy_high": 84.04, "seeds": 5},
        {"model": "mert", "accuracy": 61.0, "accuracy_low": None, "accuracy_high": None, "seeds": 5},
    ]
    assert table_page(tmp_path, rows).tables == [
        [["model", "accuracy", "seeds"], ["w2v2", "79.8 [75.1, 84.0]", "5"], ["mert", "61.0", "5"]]
    ]


def test_the_ends_of_a_whole_number_keep_their_decimals(tmp_path):
    rows = [{"x": 2, "x_low": 1.25, "x_high": 3.5}]
    assert table_page(tmp_path, rows).tables[0][1] == ["2.00 [1.25, 3.50]"]


def test_a_low_without_a_high_is_a_column_of_its_own(tmp_path):
    assert table_page(tmp_path, [{"x": 2, "x_low": 1}]).tables == [[["x", "x low"], ["2", "1"]]]


def test_claims_are_told_by_sign_and_word_and_counted(tmp_path):
    verdicts = ["holds", "does not hold", "holds", "undecided", "not in this run"]
    rows = [
        {
            "claim": f"c{i}",
            "encoder": "mert",
            "verdict": v,
            "number": -1.25,
            "number_low": -2.5,
            "number_high": 0.125,
            "meaning": "m",
        }
        for i, v in enumerate(verdicts)
    ]
    page = table_page(tmp_path, rows)
    assert page.tables[0][0] == ["claim", "encoder", "verdict", "number", "meaning"]
    assert [row[2] for row in page.tables[0][1:]] == [*("✓ holds", "✗ does not hold", "✓ holds", "? undecided")]
    assert "1 claim is about encoders, emotions, layers or approaches that are not in this run." in page.text
    assert page.tables[0][1][3] == "−1.25 [−2.50, 0.12]"
    assert "Of the paper's: 2 holds, 1 does not hold, 1 undecided, 1 not in this run." in page.text


def test_claims_are_counted_as_the_paper_measures(tmp_path):
    keys = [("plain", "", "yes"), ("corrected", "", "yes"), ("", "paper", "yes"), ("", "converged", "yes")]
    keys += [("", "paper", "no")]
    rows = [{"claim": "c", "in_paper": own, "fit": fit, "fad": fad, "verdict": "holds"} for fad, fit, own in keys]
    page = table_page(tmp_path, rows)
    assert "Of the paper's: 2 holds." in page.text
    assert len(page.tables[0]) == 6


def test_only_comparisons_that_stand_are_shown_and_the_rest_counted(tmp_path):
    rows = [{"first": f"a{i}", "p": p / 2, "p_adjusted": p} for i, p in enumerate([0.2, 0.0499, 0.05, 1.0, 1e-9])]
    page = table_page(tmp_path, rows)
    assert [row[0] for row in page.tables[0][1:]] == ["a1", "a4"]
    assert page.tables[0][2][2] == "1e−09"
    assert "3 of 5 rows, whose p adjusted is 0.05 or more" in page.text


def test_no_comparison_that_stands_is_no_table(tmp_path):
    page = table_page(tmp_path, [{"first": "a", "p_adjusted": 0.5}])
    assert page.tables == []
    assert "1 of 1 rows" in page.text


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([0.02, 35.5, 1234.5], ["0.02", "35.5", "1,234.5"]),
        ([1500.4, 1234567.2], ["1,500", "1,234,567"]),
        ([0.00012, 0.00034], ["0.0001", "0.0003"]),
        ([3, 12000], ["3", "12,000"]),
        ([0.0, 0.0], ["0", "0"]),
    ],
)
def test_numbers_show_about_three_digits_and_never_a_false_zero(tmp_path, values, cells):
    shown = [row[0] for row in table_page(tmp_path, [{"x": v} for v in values]).tables[0][1:]]
    assert shown == cells


def test_a_long_table_is_folded_and_whole(tmp_path):
    short, long = ([{"layer": i} for i in range(n)] for n in (pages.LONG, pages.LONG + 1))
    assert "rows" not in table_page(tmp_path, short).text
    page = table_page(tmp_path, long)
    assert f"{pages.LONG + 1} rows" in page.text
    assert len(page.tables[0]) == pages.LONG + 2


def test_the_files_of_a_table_are_one_table(tmp_path):
    for name in ("a", "b"):
        files.write_rows(tmp_path / f"{name}.csv", [{"model": name, "fad": 1.5}])
    entry = pages.Entry("FAD", "", [str(tmp_path / f"{name}.csv") for name in ("a", "b")])
    assert Page(pages.page("t", {}, [entry], "", TEMPLATE, STYLE)).tables == [
        [["model", "fad"], ["a", "1.50"], ["b", "1.50"]]
    ]


def test_a_missing_value_is_a_dash_but_a_name_may_be_empty(tmp_path):
    rows = [
        {"target": "", "over": "mean", "layer": None, "note": None},
        {"target": "music", "over": "layer", "layer": 10, "note": "x"},
    ]
    assert table_page(tmp_path, rows).tables[0][1:] == [["", "mean", "–", "–"], ["music", "layer", "10", "x"]]


def test_names_are_text_whatever_is_in_them(tmp_path):
    nasty = '<script>alert("x")</script>&amp;'
    files.write_rows(tmp_path / "t.csv", [{nasty: nasty, "verdict": nasty}])
    entry = pages.Entry(nasty, nasty, [str(tmp_path / "t.csv")])
    text = pages.page(nasty, {nasty: nasty}, [entry], nasty, TEMPLATE, STYLE)
    page = Page(text)
    assert page.loaded == []
    assert page.tables[0][1] == [nasty, nasty]
    assert page.text.count(nasty) > 5
    # also in attributes, where quotation marks end a value
    assert nasty in page.labels
    # the style alone is taken as it is
    assert STYLE in text


def test_figures_are_in_the_page_and_nothing_is_loaded_from_elsewhere(tmp_path):
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    paths = [str(tmp_path / f"f.{suffix}") for suffix in ("png", "svg")]
    save(figure, paths, "")
    entries = [pages.Entry(f"F{i}", f"Caption {i}.", [path]) for i, path in enumerate(paths)]
    text = pages.page("t", {}, entries, "", TEMPLATE, STYLE)
    page = Page(text)
    assert [uri.split(",")[0] for uri in page.loaded] == ["data:image/png;base64", "data:image/svg+xml;base64"]
    assert [base64.b64decode(uri.split(",")[1]) for uri in page.loaded] == [Path(p).read_bytes() for p in paths]
    assert not re.search(r"https?://|@import|url\(", re.sub(r'base64,[^"]*', "", text))
    assert page.labels == ["F0", "F1"]
    assert "Figure 2. F1. Caption 1." in page.text


def test_figures_and_tables_are_numbered_in_the_order_given(tmp_path):
    figure, _ = plt.subplots()
    save(figure, [str(tmp_path / "f.png")], "")
    files.write_rows(tmp_path / "t.csv", [{"x": 1}])
    paths = [tmp_path / name for name in ("t.csv", "f.png", "t.csv")]
    text = pages.page("t", {}, [pages.Entry(f"E{i}", "", [str(p)]) for i, p in enumerate(paths)], "", TEMPLATE, STYLE)
    assert re.findall(r"<b>(.*?)\.</b>", text) == ["Table 1. E0", "Figure 1. E1", "Table 2. E2"]
    links, anchors = re.findall(r'href="#(.*?)"', text), re.findall(r'<section id="(.*?)"', text)
    assert links == anchors
    assert len(set(anchors)) == 3


def test_what_the_corpora_hold(tmp_path):
    clips = [{"speaker": f"{i % 4:02d}", "emotion": "sad", "seconds": 900} for i in range(10)]
    files.write_rows(tmp_path / "speech.csv", clips)
    files.write_rows(tmp_path / "music.csv", clips[:2])
    facts = pages.corpora_facts({d: str(tmp_path / f"{d}.csv") for d in ("speech", "music")})
    assert facts == {
        "speech": "10 recordings of 4 speakers, 2.5 hours",
        "music": "2 recordings of 2 speakers, 30 minutes",
    }


def test_the_notice_is_there_only_if_there_is_one(tmp_path):
    assert "role=" not in pages.page("t", {}, [], "", TEMPLATE, STYLE)
    assert '<p role="note">Mind this.</p>' in pages.page("t", {}, [], "Mind this.", TEMPLATE, STYLE)


def test_the_same_bytes_twice(tmp_path):
    files.write_rows(tmp_path / "t.csv", [{"x": 1.5, "y": "b"}])
    entry = pages.Entry("T", "", [str(tmp_path / "t.csv")])
    for name in ("a", "b"):
        pages.write(tmp_path / f"{name}.html", "t", {}, [entry], "", TEMPLATE, STYLE)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_page_opens_with_what_the_run_shows(tmp_path):
    row = {"domain": "speech", "protocol": "speaker", "fit": "converged", "model": "<b>", "selected": 81.0}
    files.write_rows(tmp_path / "probe.csv", [row | {"selected_low": 77.0, "selected_high": 84.0}])
    files.write_rows(tmp_path / "other.csv", [{"x": 1}])
    entries = [pages.Entry(name, "", [str(tmp_path / f"{name}.csv")]) for name in ("other", "probe")]
    text = pages.page("t", {}, entries, "", TEMPLATE, STYLE)
    page = Page(text)
    assert "With new speakers, <b> recognises emotions in speech with an accuracy of 81.0 % [77.0, 84.0]." in page.text
    assert page.text.index("What this run shows") < page.text.index("Table 1")
    assert '84.0]. <a href="#summary-1">Table 2</a>' in text
    assert "What this run shows" not in pages.page("t", {}, entries[:1], "", TEMPLATE, STYLE)
