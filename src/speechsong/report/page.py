"""The summary of a run: one page that holds its tables and figures, and needs no other file and no network.

This module chooses what the page says. A Jinja2 template, `workflow/report/summary.html.j2`, makes HTML of it.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from speechsong import __version__, files
from speechsong.corpora.confounding import confounded
from speechsong.evaluation.claims_rows import MISSING
from speechsong.report import tables
from speechsong.report.findings import findings
from speechsong.report.works import Work

LONG = 24  # rows; a longer table is folded
WIDE = 28  # characters; lines break in a column with longer text
REM = 7.7 / 300  # width of a pixel on the page, in rem; figures have 300 to the inch
LEVEL = 0.05  # comparisons with an adjusted p of this or more are counted, but not shown

_MIME = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Entry:
    """A result that the page shows.

    Attributes
    ----------
    title : str
        Without a full stop.
    caption : str
        Plain text.
    paths : list of str
        Figures (.png or .svg), or the CSVs of one table.
    """

    title: str
    caption: str
    paths: list[str]


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its content as a URI, and the CSS width of a PNG."""

    uri: str
    width: str


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in the CSV, its heading, and its CSS class (number, text or words)."""

    name: str
    heading: str
    kind: str


@dataclass(frozen=True)
class Table:
    """A table in the page: its cells are values and intervals; `folded` is the text in its place until it is opened."""

    columns: list[Column]
    rows: list[tuple[tuple[str, str], ...]]
    folded: str


@dataclass(frozen=True)
class Section:
    """A part of the page. `tally` counts the verdicts on the paper's claims; there are pictures or a table."""

    label: str
    title: str
    caption: str
    tally: str = ""
    pictures: tuple[Picture, ...] = ()
    table: Table | None = None


def write(
    path: str | Path,
    title: str,
    facts: dict[str, str],
    entries: list[Entry],
    notice: str,
    template: str,
    style: str,
    works: Sequence[Work] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    path
        An HTML file.
    title
        The heading of the page.
    facts
        What the run consists of: lines by name.
    entries
        In the order of the page.
    notice
        A line that stands out at the top; "" for none.
    template
        Text of the Jinja2 template.
    style
        CSS for the class `summary`.
    works
        What to cite, at the end of the page.
    """
    with files.atomic(path) as temporary:
        temporary.write_text(page(title, facts, entries, notice, template, style, works), encoding="utf-8")


def page(
    title: str,
    facts: dict[str, str],
    entries: list[Entry],
    notice: str,
    template: str,
    style: str,
    works: Sequence[Work] = (),
) -> str:
    """Compose the page. The parameters are those of `write`."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(template).render(
        version=__version__,
        title=title,
        facts=facts,
        findings=_findings(entries),
        sections=_sections(entries),
        notice=notice,
        style=style,
        works=works,
    )


def corpora_facts(clips: dict[str, str]) -> dict[str, str]:
    """Say how many recordings, speakers and hours each domain has, and with what its emotions are confounded.

    Parameters
    ----------
    clips
        The clips CSV of each domain.
    """
    facts = {}
    for domain, path in clips.items():
        with files.table(path):
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        hours = table["seconds"].astype(float).sum() / 3600
        length = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
        facts[domain] = f"{len(table):,} recordings of {table['speaker'].nunique():,} speakers, {length}"
        facts[domain] += "".join(f". {line}" for line in confounded(table.to_dict("records")))
    return facts


def _findings(entries: list[Entry]) -> list[tuple[str, int]]:
    """List what the run shows, each sentence with the number of the section of its table, from 0."""
    places = {Path(entry.paths[0]).stem: i for i, entry in enumerate(entries) if Path(entry.paths[0]).suffix == ".csv"}
    by_name = {name: tables.read(entries[i].paths) for name, i in places.items()}
    return [(sentence, places[name]) for sentence, name in findings(by_name)]


def _sections(entries: list[Entry]) -> list[Section]:
    numbers: Counter[str] = Counter()
    sections = []
    for entry in entries:
        kind = "Figure" if Path(entry.paths[0]).suffix in _MIME else "Table"
        numbers[kind] += 1
        label, caption = f"{kind} {numbers[kind]}", " ".join(entry.caption.split())
        if kind == "Figure":
            pictures = tuple(_picture(Path(path)) for path in entry.paths)
            sections.append(Section(label, entry.title, caption, pictures=pictures))
        else:
            whole = tables.read(entry.paths)
            table, remarks = _selected(whole)
            caption = " ".join([caption, *remarks])
            sections.append(Section(label, entry.title, caption, _tally(whole), table=_table(table)))
    return sections


def _picture(path: Path) -> Picture:
    content = path.read_bytes()
    # figures keep their relative sizes; the width is in a PNG's header
    width = f"{int.from_bytes(content[16:20]) * REM:.1f}rem" if path.suffix == ".png" else ""
    return Picture(f"data:{_MIME[path.suffix]};base64,{base64.b64encode(content).decode('ascii')}", width)


def _selected(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Select the rows that the page shows, and say which it does not."""
    remarks = []
    if "test" in table:
        # its sample is speakers, not clips
        table = table[table["test"] == "sign-flip"].drop(columns=["test", "seed"])
        remarks.append("By sign-flip; the CSV has McNemar's as well.")
    if "verdict" in table:
        absent = table["verdict"] == MISSING
        if absent.any():
            few = "1 claim is" if absent.sum() == 1 else f"{absent.sum():,} claims are"
            remarks.append(f"{few} about encoders, emotions, layers or approaches that are not in this run.")
        table = table[~absent]
    adjusted = next((column for column in table if "adjusted" in column), None)
    if adjusted:
        small = table[adjusted] < LEVEL
        left_out = f"{int((~small).sum()):,} of {len(table):,} rows"
        remarks.append(f"Left out: {left_out}, whose {_heading(adjusted)} is {LEVEL:g} or more.")
        table = table[small]
    return table, remarks


def _tally(table: pd.DataFrame) -> str:
    """Count the verdicts on the paper's claims, each as the paper measures; "" if the table has no verdicts."""
    if "verdict" not in table:
        return ""
    own = table[table["in_paper"] == "yes"] if "in_paper" in table else table
    for column, other in (("fit", "converged"), ("fad", "corrected")):
        if column in own:
            own = own[own[column] != other]
    counts = ", ".join(f"{n:,} {verdict}" for verdict, n in own["verdict"].value_counts().items())
    return counts or "none, for this run has other recordings or emotions"


def _table(table: pd.DataFrame) -> Table:
    columns, cells = [], []
    for name in tables.shown(table):
        if tables.is_number(table[name]):
            kind = "number"
            pairs = tables.cells(table, name)
            cells.append([(value.replace("-", "−") or "–", bounds.replace("-", "−")) for value, bounds in pairs])
        else:
            kind = "words" if table[name].astype(str).str.len().max() > WIDE else "text"
            cells.append([("–" if pd.isna(value) else str(value), "") for value in table[name]])
        columns.append(Column(name, _heading(name), kind))
    folded = f"{len(table):,} rows" if len(table) > LONG else ""
    return Table(columns, list(zip(*cells, strict=True)), folded)


def _heading(name: str) -> str:
    return name.replace("_", " ")
