"""The declared dependencies are what the code imports and the programs it runs; hooks run the same linters as make."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# where a package is imported by another name
DISTRIBUTIONS = {"yaml": "pyyaml", "sklearn": "scikit-learn"}
# nothing imports these: a plugin of pytest, and linters
TOOLS = {"pytest-xdist", "ruff", "snakefmt", "mypy"}


def declared(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


RUNTIME = declared(PROJECT["dependencies"])
DEV = declared(PROJECT["optional-dependencies"]["dev"])


def imported(folder: str, own: set[str]) -> set[str]:
    """Name the packages that the files of a folder import anywhere, but for those of Python and for `own`."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
    return distributions(found - own)


def imported_by_rules() -> set[str]:
    """Name the packages that the Snakefile and its rules import; they are not quite Python."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")])
    return distributions(set(re.findall(r"^\s*(?:import|from(?=.* import ))\s+(\w+)", text, re.M)))


def distributions(names: set[str]) -> set[str]:
    third = names - {*sys.stdlib_module_names, "speechsong"}
    return {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in third}


def test_runtime_dependencies_are_what_the_code_imports():
    assert imported("src", set()) | imported("workflow", set()) | imported_by_rules() == RUNTIME


def test_dev_dependencies_are_what_tests_and_benchmarks_import():
    own = {path.stem for folder in ("tests", "bench") for path in (ROOT / folder).glob("*.py")}
    stubs = {name for name in DEV if name.startswith("types-")}
    # what benchmarks compare with, which the Makefile puts into build
    peers = set(re.findall(r"^build/(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert (imported("tests", own) | imported("bench", own)) - RUNTIME - peers == DEV - TOOLS - stubs
    assert {name.removeprefix("types-") for name in stubs} <= RUNTIME


def test_hooks_run_the_linters_of_make_at_the_pinned_versions():
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repo["repo"] == "local"
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff", "ruff-format", "snakefmt", "mypy"]
    make = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")
    pins = (ROOT / "envs/pins.txt").read_text(encoding="utf-8").splitlines()
    for hook in repo["hooks"]:
        # a hook has no version of its own, but that of .venv
        assert hook["language"] == "system"
        assert f"\t{hook['entry']}" in make
        tool = Path(hook["entry"].split()[0]).name
        assert f"{tool}=={version(tool)}" in pins
