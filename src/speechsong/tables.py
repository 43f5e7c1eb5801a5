"""Tables of results: reading what the workflow gathered, and the summaries that papers print."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from speechsong import files


def read(paths: list[str]) -> pd.DataFrame:
    """Read gathered CSVs of several models as one table."""
    # an emotion may be called "none"; only numbers may be missing
    names = dict.fromkeys(("model", "domain", "protocol", "emotion"), str)
    parts = []
    for path in paths:
        columns = pd.read_csv(path, nrows=0).columns
        missing = {column: ["", "nan"] for column in columns if column not in names}
        parts.append(pd.read_csv(path, dtype=names, keep_default_na=False, na_values=missing))
    return pd.concat(parts, ignore_index=True)


def best_and_worst(probes: pd.DataFrame) -> pd.DataFrame:
    """Summarise probes over the layers of each encoder, as the paper's Tables I and II do.

    Parameters
    ----------
    probes
        Rows of probe CSVs. Layer 0, the input of the first block, is left out, as in the paper.

    Returns
    -------
    DataFrame
        A row a (domain, protocol, model): best and worst layer with their accuracy in %, averaged over
        the seeds first, the standard deviation over seeds at the best layer, the mean over layers, and the number
        of seeds.
        The best layer is picked on the test parts, as in the paper: its accuracy is optimistic.
    """
    probes = probes[probes["layer"] > 0]
    rows = []
    for (domain, protocol, model), group in probes.groupby(["domain", "protocol", "model"], sort=False):
        by_layer = 100 * group.groupby("layer")["accuracy"].agg(["mean", "std"])
        best, worst = by_layer["mean"].idxmax(), by_layer["mean"].idxmin()
        rows.append(
            {
                "domain": domain,
                "protocol": protocol,
                "model": model,
                "best": by_layer["mean"][best],
                "best_layer": best,
                "best_sd": by_layer["std"][best],
                "worst": by_layer["mean"][worst],
                "worst_layer": worst,
                "mean": by_layer["mean"].mean(),
                "seeds": group["seed"].nunique(),
            }
        )
    return pd.DataFrame(rows)


def write(table: pd.DataFrame, csv: str | Path, markdown: str | Path, notice: str) -> None:
    """Write a table as CSV, all digits, and as Markdown, two decimals."""
    files.write_rows(csv, table.to_dict("records"))
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    number = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    lines = [list(table.columns), ["---:" if n else "---" for n in number], *cells]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    with files.atomic(markdown) as temporary:
        temporary.write_text(text + "\n" + (f"\n{notice}\n" if notice else ""), encoding="utf-8")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
