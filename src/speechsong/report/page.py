"""The summary of a run: one page with its tables and figures in it, that needs no other file and no network."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from speechsong import __version__, files
from speechsong.report import tables

LONG = 24  # rows; a longer table is folded
WIDE = 28  # characters; a column with longer text has lines that break
REM = 7.7 / 300  # width on the page of a pixel, in rem; figures have 300 to the inch
LEVEL = 0.05  # of the adjusted p; comparisons above it are counted, not shown

_MIME = {".png": "image/png", ".svg": "image/svg+xml"}
_MARKS = {"holds": "✓", "does not hold": "✗", "undecided": "?", "not in this run": "–"}


@dataclass(frozen=True)
class Entry:
    """What stands under one title.

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


def write(path: str | Path, title: str, facts: dict[str, str], entries: list[Entry], notice: str, style: str) -> None:
    """Write the page.

    Parameters
    ----------
    path
        An HTML file.
    title
        The heading of the page.
    facts
        What the run is made of: lines by name.
    entries
        In the order of the page.
    notice
        A line to stand out at the top, or nothing.
    style
        CSS for the class `summary`.
    """
    with files.atomic(path) as temporary:
        temporary.write_text(page(title, facts, entries, notice, style), encoding="utf-8")


def corpora_facts(clips: dict[str, str]) -> dict[str, str]:
    """Say how many recordings, speakers and hours each domain has.

    Parameters
    ----------
    clips
        The clips CSV of each domain.
    """
    facts = {}
    for domain, path in clips.items():
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        hours = table["seconds"].astype(float).sum() / 3600
        length = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
        facts[domain] = f"{len(table):,} recordings of {table['speaker'].nunique():,} speakers, {length}"
    return facts


def page(title: str, facts: dict[str, str], entries: list[Entry], notice: str, style: str) -> str:
    """Compose the page; parameters as in `write`."""
    count = {"Figure": 0, "Table": 0}
    contents, sections = [], []
    for number, entry in enumerate(entries):
        pictures = Path(entry.paths[0]).suffix in _MIME
        kind = "Figure" if pictures else "Table"
        count[kind] += 1
        anchor, label = f"summary-{number}", f"{kind} {count[kind]}"
        contents.append(f'<li><a href="#{anchor}">{label}</a> {escape(entry.title)}</li>')
        caption = f"<b>{label}. {escape(entry.title)}.</b> {escape(' '.join(entry.caption.split()))}"
        body = _figures(entry, caption) if pictures else _table(entry, caption)
        sections.append(f'<section id="{anchor}">\n{body}\n</section>')
    lines = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{style}</style></head>",
            "<body>",
            '<article class="summary not-prose">',
            "<header>",
            f"<p>Summary, speechsong {escape(__version__)}</p>",
            f"<h1>{escape(title)}</h1>",
            f'<p role="note">{escape(notice)}</p>' if notice else "",
            f"<dl>\n{lines}\n</dl>",
            f"<nav><ol>\n{chr(10).join(contents)}\n</ol></nav>",
            "</header>",
            *sections,
            "</article>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _figures(entry: Entry, caption: str) -> str:
    images = []
    for path in map(Path, entry.paths):
        content = path.read_bytes()
        # figures keep their sizes in relation to each other: the width stands in a PNG's header
        size = f' style="width: {int.from_bytes(content[16:20]) * REM:.1f}rem"' if path.suffix == ".png" else ""
        data = base64.b64encode(content).decode("ascii")
        images.append(f'<img{size} alt="{escape(entry.title)}" src="data:{_MIME[path.suffix]};base64,{data}">')
    return f"<figure><div>\n{chr(10).join(images)}\n</div><figcaption>{caption}</figcaption></figure>"


def _table(entry: Entry, caption: str) -> str:
    table = tables.read(entry.paths)
    if "test" in table:
        # the test that takes people, not clips, for the sample
        table = table[table["test"] == "sign-flip"].drop(columns=["test", "seed"])
        caption += " By sign-flip; the CSV has McNemar's as well."
    adjusted = next((c for c in table.columns if "adjusted" in c), None)
    if adjusted:
        small = table[adjusted] < LEVEL
        rest = int((~small).sum())
        caption += f" Left out: {rest:,} of {len(table):,} rows, whose {_heading(adjusted)} is {LEVEL:g} or more."
        table = table[small]
    if "verdict" in table:
        own = table[table["in_paper"] == "yes"] if "in_paper" in table else table
        tally = ", ".join(f"{n:,} {verdict}" for verdict, n in own["verdict"].value_counts().items())
        caption += f" <b>Of the paper's: {escape(tally or 'none, for this run has other recordings or emotions')}.</b>"
    if table.empty:
        return f"<p>{caption}</p>"
    columns = _columns(table)
    kinds = [kind for _, kind, _ in columns]
    head = "".join(f'<th class="{kind}">{escape(_heading(name))}</th>' for name, kind, _ in columns)
    rows = zip(*(cells for *_, cells in columns), strict=True)
    body = "\n".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    # the box scrolls, not the page
    focus = f'role="region" tabindex="0" aria-label="{escape(entry.title)}"'
    box = f"<div {focus}><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    if len(table) > LONG:
        box = f"<details><summary>{len(table):,} rows</summary>{box}</details>"
    return f"<p>{caption}</p>\n{box}"


def _columns(table: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Name, class and cells as HTML of each column; the ends of an interval share the cell of what they are about."""
    columns = []
    for name in tables.shown(table):
        if tables.is_number(table[name]):
            pairs = tables.cells(table, name)
            cells = [
                (value.replace("-", "−") or "–") + (f" <small>{bounds.replace('-', '−')}</small>" if bounds else "")
                for value, bounds in pairs
            ]
            columns.append((name, "number", cells))
        else:
            kind = "words" if table[name].astype(str).str.len().max() > WIDE else "text"
            columns.append((name, kind, [_text(name, value) for value in table[name]]))
    return columns


def _text(column: str, value: object) -> str:
    if pd.isna(value):
        return "–"
    text = escape(str(value))
    if column == "verdict" and value in _MARKS:
        kind = str(value).split()[0]
        return f'<span class="verdict {kind}"><span aria-hidden="true">{_MARKS[value]}</span> {text}</span>'
    return text


def _heading(name: str) -> str:
    return name.replace("_", " ")
