"""Predictions of two models, in files and as a table."""

from __future__ import annotations

import pytest

from made_results import DOMAINS, write_predictions
from speechsong.evaluation import predictions as reader


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Write the predictions."""
    here = tmp_path_factory.mktemp("predictions")
    write_predictions(here)
    return here


@pytest.fixture(scope="session")
def predictions(folder):
    """Gather the predictions, and read them."""
    clips = {domain: str(folder / f"{domain}.csv") for domain in DOMAINS}
    for model in "ab":
        paths = [*sorted(folder.glob(f"{model}-*-?.csv")), folder / f"{model}-adapt.csv"]
        table = reader.gather(paths, clips, [folder / f"{model}-probe.csv"])
        table.to_csv(folder / f"{model}-gathered.csv", index=False)
    return reader.read([folder / f"{model}-gathered.csv" for model in "ab"])
