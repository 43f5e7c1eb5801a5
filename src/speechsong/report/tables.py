"""Tables: reading what the workflow gathered, and writing it as CSV, Markdown and LaTeX.

Conventions
-----------
A number X with an interval has the columns X, X_low and X_high in the CSV, and one cell, X [low, high], elsewhere.
`layer` is a whole number. It is missing where a row is about several layers, as `over` says, or about none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Set
from pathlib import Path
from typing import Protocol

import pandas as pd

from speechsong import files
from speechsong.errors import UserError

# columns of names have no missing values: an emotion may be called "none"
_NAMES = (
    *("model", "approach", "fit", "domain", "protocol", "source", "target", "test_domain", "over", "emotion", "metric"),
    *("true", "predicted", "attribute", "level", "speaker_id", "gender", "outcome", "distance"),
)
_TYPES = {**dict.fromkeys(_NAMES, str), "layer": "Int64"}

# characters that have a special meaning in Markdown
_MARKDOWN = {"&": "&amp;", "<": "&lt;"} | {character: f"\\{character}" for character in "|[]`\\"}

# characters that have a special meaning in LaTeX
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # after a line break these would be its options
    "[": "{[}",
    "*": "{*}",
}


class Outputs(Protocol):
    """Where a table goes, such as the outputs of a rule."""

    csv: str | Path
    markdown: str | Path
    latex: str | Path


def read(paths: list[str]) -> pd.DataFrame:
    """Read CSVs with the same columns, such as those of several models, as one table.

    Raises
    ------
    UserError
        If one cannot be read, or has a row twice.
    """
    parts = []
    for path in paths:
        with files.table(path):
            columns = pd.read_csv(path, nrows=0).columns
            # as in pairs of emotions: one column for each domain
            names = {column for column in columns if column in _NAMES or column.startswith("emotion_")}
            missing = {column: ["", "nan"] for column in columns if column not in names}
            types = _TYPES | dict.fromkeys(names, str)
            parts.append(pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing))
        if "model" in parts[-1] and parts[-1].duplicated().any():
            raise UserError(f"{path}: has a row twice; delete the file and run again")
    return pd.concat(parts, ignore_index=True)


def write(
    table: pd.DataFrame,
    outputs: Outputs,
    notice: str,
    best: tuple[str, ...] = (),
    within: tuple[str, ...] = (),
    bold: Set[tuple[int, str]] = frozenset(),
) -> None:
    """Write a table with all digits as CSV, and with about three as Markdown and LaTeX.

    Parameters
    ----------
    table
    outputs
        The three files.
    notice
        A line below the table; "" for none.
    best
        Columns whose largest value is set in bold.
    within
        Rows are compared if they have the same values in these columns; without any, all rows are.
    bold
        Further cells in bold, by index and column.
    """
    files.write_rows(outputs.csv, records(table))
    bold = _largest(table, best, within) | bold
    for path, text in ((outputs.markdown, _markdown), (outputs.latex, _latex)):
        with files.atomic(path) as temporary:
            temporary.write_text(text(table, bold, notice), encoding="utf-8")


def records(table: pd.DataFrame) -> list[dict]:
    """Turn a table into rows for `files.write_rows`; what is missing is None."""
    return [{key: None if v is pd.NA else v for key, v in row.items()} for row in table.to_dict("records")]


def ends(table: pd.DataFrame, column: str) -> list[str]:
    """Name the columns that hold the interval of a column; none if it has no interval."""
    both = [f"{column}_{end}" for end in ("low", "high")]
    return both if set(both) <= set(table.columns) else []


def shown(table: pd.DataFrame) -> list[str]:
    """List the columns that get a cell of their own; the ends of an interval stand beside their number."""
    bounds = {end for column in table for end in ends(table, column)}
    return [column for column in table if column not in bounds]


def decimals(values: pd.Series) -> int:
    """Count the decimals that show three digits of the median; none if all are whole numbers."""
    known = values.dropna().abs()
    if (known == known.round()).all():
        return 0
    middle = known[known > 0].median()
    return min(max(2 - math.floor(math.log10(middle)), 0), 4)


def number(value: float, decimals: int) -> str:
    """Format a number; a nonzero one is never shown as zero, and a missing one is ""."""
    if pd.isna(value):
        return ""
    text = f"{value:,.{decimals}f}"
    return f"{value:.1g}" if value and not float(text.replace(",", "")) else text


def cells(table: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    """Format a column, each cell as value and interval; either is empty where it is missing."""
    if not is_number(table[column]):
        return [("" if pd.isna(value) else str(value), "") for value in table[column]]
    columns = [column, *ends(table, column)]
    digits = decimals(pd.concat([table[name] for name in columns]))
    pairs = []
    for values in zip(*(table[name] for name in columns), strict=True):
        value, *bounds = (number(v, digits) for v in values)
        pairs.append((value, f"[{', '.join(bounds)}]" if bounds and all(bounds) else ""))
    return pairs


def is_number(column: pd.Series) -> bool:
    """Tell whether a column holds numbers."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _largest(table: pd.DataFrame, best: tuple[str, ...], within: tuple[str, ...]) -> set[tuple[int, str]]:
    """Find the cells with the largest value of each column in `best`, by index and column."""
    groups = [group for _, group in table.groupby(list(within), sort=False)] if within else [table]
    return {
        (index, column)
        for group in groups
        for column in best
        for index in group.index[group[column] == group[column].max()]
    }


def _rows(table: pd.DataFrame) -> list[list[tuple[str, str, str]]]:
    """Format all cells, each as column, value and interval."""
    columns = [[(column, *cell) for cell in cells(table, column)] for column in shown(table)]
    return [list(row) for row in zip(*columns, strict=True)]


def _markdown(table: pd.DataFrame, bold: Set[tuple[int, str]], notice: str) -> str:
    lines = [shown(table), ["---:" if is_number(table[c]) else "---" for c in shown(table)]]
    for index, row in zip(table.index, _rows(table), strict=True):
        texts = [(c, v if is_number(table[c]) else _markdown_text(v), bounds) for c, v, bounds in row]
        values = [(f"**{v}**" if (index, c) in bold else v, bounds) for c, v, bounds in texts]
        lines.append([f"{value} {bounds}".strip() for value, bounds in values])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + "\n" + (f"\n{_markdown_text(notice)}\n" if notice else "")


def _markdown_text(text: str) -> str:
    """Escape what Markdown would take for markup, HTML or the end of a cell."""
    return " ".join("".join(_MARKDOWN.get(character, character) for character in text).splitlines())


def _latex(table: pd.DataFrame, bold: Set[tuple[int, str]], notice: str) -> str:
    columns = shown(table)
    alignment = "".join("r" if is_number(table[column]) else "l" for column in columns)
    lines = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{alignment}}}", "\\toprule"]
    lines += [" & ".join(_latex_text(column.replace("_", " ")) for column in columns) + " \\\\", "\\midrule"]
    for index, row in zip(table.index, _rows(table), strict=True):
        texts = []
        for column, value, bounds in row:
            text = _latex_numbers(value) if is_number(table[column]) else _latex_text(value)
            text = f"\\textbf{{{text}}}" if (index, column) in bold else text
            texts.append(f"{text} {{\\scriptsize {_latex_numbers(bounds)}}}" if bounds else text)
        lines.append(" & ".join(texts) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"% {line}" for line in notice.splitlines()]
    return "\n".join(lines) + "\n"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_numbers(text: str) -> str:
    """Set powers of ten and minus signs of formatted numbers as mathematics."""
    return re.sub(
        r"(-?[\d.]+)e([-+]\d+)|-",
        lambda match: rf"${match[1]} \times 10^{{{int(match[2])}}}$" if match[2] else "$-$",
        text,
    )
