"""The tutorial, typed as it stands: what it shows is saved, its commands are run, and their output is what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from common import ROOT

BIN = Path(sys.executable).parent
PARTS = re.compile(
    r"(?P<verb>Save|Change)[^\n]*? `(?P<path>[\w./]+)`"
    r"|^```(?P<kind>\w*)\n(?P<block>(?:.|\n)*?)^```"
    r"|^    (?P<command>\S.*?(?:\\\n.*)?)$",
    re.MULTILINE,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(demo, house, tmp_path) -> Path:
    """A copy of the repository after `make demo`."""
    house(tmp_path)
    shutil.copy2(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "demo.yaml"):
        shutil.copy2(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(BIN)
    (tmp_path / ".venv/installed").touch()
    shutil.copytree(demo.folder / "data", tmp_path / "data")
    return tmp_path


def type_in(folder: Path, command: str) -> str:
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_typed_as_it_stands(folder):
    (folder / "data/mine").mkdir()
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    # the fixture has done this
    text = text.replace("    make demo\n    source .venv/bin/activate\n", "")
    typed, saved, path, verb, output = 0, [], None, "", ""
    for part in PARTS.finditer(text):
        if part["path"]:
            verb, path = part["verb"], folder / part["path"]
        elif part["command"]:
            output = type_in(folder, part["command"])
            typed += 1
        elif part["kind"]:
            content = part["block"]
            if verb == "Change":
                content = yaml.safe_dump(yaml.safe_load(path.read_text()) | yaml.safe_load(content))
            path.write_text(content)
            saved.append(path.name)
        elif part["block"].startswith("config key"):
            misspelt = (folder / "mine.yaml").read_text().replace("happy, angry", "hapy, angry")
            (folder / "hapy.yaml").write_text(misspelt)
            refused = type_in(folder, "! snakemake -n all --configfile hapy.yaml")
            assert part["block"].strip() in refused
        else:
            assert part["block"].split() == output.split()
    assert saved == ["write_tables.py", "save_encoder.py", "mine.yaml", "look.py", "mine.yaml", "embeddings.py"]
    assert typed >= 14
    models = pd.read_csv(folder / "results/mine/tables/fad.csv")["model"].unique()
    assert set(models) == {"myhubert", "myhubert-random", "logmel"}
    assert (folder / "results/mine/report.html").is_file()
