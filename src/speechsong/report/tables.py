"""Tables: reading what the workflow gathered, and writing it as CSV, Markdown and LaTeX.

A number X with an interval has the columns X, X_low and X_high in the CSV, and one cell, X [low, high], elsewhere."""

from __future__ import annotations

import math
from collections.abc import Set
from pathlib import Path

import pandas as pd

from speechsong import files

# columns that hold names: an emotion may be called "none"; only numbers may be missing
_NAMES = ("model", "approach", "domain", "protocol", "source", "target", "test_domain", "emotion", "metric")


def read(paths: list[str]) -> pd.DataFrame:
    """Read gathered CSVs of several models as one table."""
    parts = []
    for path in paths:
        columns = pd.read_csv(path, nrows=0).columns
        missing = {column: ["", "nan"] for column in columns if column not in _NAMES}
        parts.append(pd.read_csv(path, dtype=dict.fromkeys(_NAMES, str), keep_default_na=False, na_values=missing))
    return pd.concat(parts, ignore_index=True)


def write(
    table: pd.DataFrame,
    csv: str | Path,
    markdown: str | Path,
    notice: str,
    *,
    latex: str | Path | None = None,
    best: tuple[str, ...] = (),
    within: tuple[str, ...] = (),
    bold: Set[tuple[int, str]] = frozenset(),
) -> None:
    """Write a table as CSV, all digits, and as Markdown and LaTeX (booktabs), three digits or so.

    Parameters
    ----------
    table
    csv, markdown, latex
        Where to; no LaTeX if None.
    notice
        A line below the table.
    best
        Columns whose largest value is set in bold.
    within
        Columns whose values must be equal for rows to be compared; none is the whole table.
    bold
        Further cells in bold, by index and column.
    """
    files.write_rows(csv, table.to_dict("records"))
    bold = _largest(table, best, within) | bold
    for path, lines in ((markdown, _markdown), (latex, _latex)):
        if path is not None:
            with files.atomic(path) as temporary:
                temporary.write_text(lines(table, bold, notice), encoding="utf-8")


def _largest(table: pd.DataFrame, best: tuple[str, ...], within: tuple[str, ...]) -> set[tuple[int, str]]:
    groups = [some for _, some in table.groupby(list(within), sort=False)] if within else [table]
    return {
        (row, column) for some in groups for column in best for row in some.index[some[column] == some[column].max()]
    }


def ends(table: pd.DataFrame, column: str) -> list[str]:
    """Name the columns that hold the interval of a column, if it has one."""
    both = [f"{column}_{end}" for end in ("low", "high")]
    return both if set(both) <= set(table.columns) else []


def shown(table: pd.DataFrame) -> list[str]:
    """List the columns that get a cell of their own: bounds stand beside their number."""
    bounds = {end for column in table for end in ends(table, column)}
    return [column for column in table if column not in bounds]


def decimals(values: pd.Series) -> int:
    """Count the decimals that show three digits of a middling value; none for whole numbers."""
    known = values.dropna().abs()
    if (known == known.round()).all():
        return 0
    middle = known[known > 0].median()
    return min(max(2 - math.floor(math.log10(middle)), 0), 4)


def number(value: float, decimals: int) -> str:
    """Format a number; one that is not zero is not shown as zero."""
    if pd.isna(value):
        return ""
    text = f"{value:,.{decimals}f}"
    return f"{value:.1g}" if value and not float(text.replace(",", "")) else text


def cells(table: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    """Format a column as number and interval; the latter is empty where there is none."""
    if not is_number(table[column]):
        return [("" if pd.isna(value) else str(value), "") for value in table[column]]
    columns = [column, *ends(table, column)]
    d = decimals(pd.concat([table[name] for name in columns]))
    found = []
    for _, row in table[columns].iterrows():
        value, *bounds = (number(v, d) for v in row)
        found.append((value, f"[{', '.join(bounds)}]" if bounds and all(bounds) else ""))
    return found


def is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _rows(table: pd.DataFrame) -> list[list[tuple[str, str, str]]]:
    """Format every cell: column, value, interval."""
    columns = [[(column, *cell) for cell in cells(table, column)] for column in shown(table)]
    return [list(row) for row in zip(*columns, strict=True)]


def _markdown(table: pd.DataFrame, bold: set[tuple[int, str]], notice: str) -> str:
    lines = [shown(table), ["---:" if is_number(table[c]) else "---" for c in shown(table)]]
    for index, row in zip(table.index, _rows(table), strict=True):
        values = [(f"**{v}**" if (index, c) in bold else v, bounds) for c, v, bounds in row]
        lines.append([f"{value} {bounds}".strip().replace("|", "\\|") for value, bounds in values])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return text + "\n" + (f"\n{notice}\n" if notice else "")


_SPECIAL = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"})


def _latex(table: pd.DataFrame, bold: set[tuple[int, str]], notice: str) -> str:
    lines = ["% needs \\usepackage{booktabs}"]
    lines += [
        f"\\begin{{tabular}}{{{''.join('r' if is_number(table[c]) else 'l' for c in shown(table))}}}",
        "\\toprule",
    ]
    lines += [" & ".join(c.replace("_", " ").translate(_SPECIAL) for c in shown(table)) + " \\\\", "\\midrule"]
    for index, row in zip(table.index, _rows(table), strict=True):
        texts = []
        for column, value, bounds in row:
            number = is_number(table[column])
            text = value.replace("-", "$-$") if number else value.translate(_SPECIAL)
            bounds = bounds.replace("-", "$-$")
            text = f"\\textbf{{{text}}}" if (index, column) in bold else text
            texts.append(f"{text} {{\\scriptsize {bounds}}}" if bounds else text)
        lines.append(" & ".join(texts) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"% {line}" for line in notice.splitlines()]
    return "\n".join(lines) + "\n"
