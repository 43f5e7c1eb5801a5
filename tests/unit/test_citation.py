"""CITATION.cff has what the Citation File Format 1.2.0 requires, and is of this version."""

from __future__ import annotations

import re

import yaml

import speechsong
from common import ROOT

CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_what_the_format_requires_is_there():
    assert CITED["cff-version"] == "1.2.0"
    assert all(isinstance(CITED[key], str) for key in ("message", "title"))
    for work in (CITED, *CITED["references"]):
        assert work["title"] and work["authors"]
        for author in work["authors"]:
            assert author.keys() in ({"name"}, {"family-names", "given-names"})
    for reference in CITED["references"]:
        assert reference["type"] == "article"
        assert re.fullmatch(r"10\.\d+/\S+", reference.get("doi", "10.1/x"))
        assert "doi" in reference or reference["url"].startswith("https://")


def test_it_is_of_this_version_and_licence():
    assert CITED["version"] == speechsong.__version__
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(f"{CITED['license']} License")
