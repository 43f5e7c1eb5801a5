"""The rooms of the package: imports point one way, and each room says what it is and has its rules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from common import ROOT

PACKAGE = ROOT / "src" / "speechsong"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
GROUND = {"errors", "logs", "files", "metrics", "states"}
# a room imports from rooms further up only
ORDER = [
    {"ground"},
    {"corpora"},
    {"encoders"},
    {"embeddings"},
    {"probes", "distances", "adaptation", "pretraining"},
    {"evaluation"},
    {"report"},
]
MAY = {room: set().union(*ORDER[:i]) for i, level in enumerate(ORDER) for room in level} | {
    "demo": {"ground", "corpora", "encoders"},
    "planning": {"ground", "corpora", "encoders", "pretraining", "demo"},
    # it runs the workflow
    "cli": set().union(*ORDER) | {"planning"},
}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Of the ground floor is also the package itself, which imports nothing of it at the top."""
    first = module.split(".")[1:2]
    return first[0] if first and first[0] not in GROUND else "ground"


def imports_of(path: Path) -> set[str]:
    """Name the modules of the package that a file imports anywhere, at the top or in a function.

    The functions of the package itself do not count: they are for users, and nothing in the package calls them.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if path == PACKAGE / "__init__.py" else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the import in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # a name in a module is of the module
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == PACKAGE.name}


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}


def test_every_room_has_its_place():
    assert {room_of(module) for module in MODULES} == MAY.keys()
    assert set(ROOMS) == MAY.keys() - {"ground", "cli"}


@pytest.mark.parametrize("room", sorted(MAY))
def test_imports_point_one_way(room):
    for module, imported in IMPORTS.items():
        if room_of(module) == room:
            beyond = {name for name in imported if room_of(name) not in MAY[room] | {room}}
            assert beyond == set(), f"{module} is in {room}, which may import from {', '.join(sorted(MAY[room]))}"


def test_no_circle_between_rooms():
    graph = {room: set() for room in MAY}
    for module, imported in IMPORTS.items():
        graph[room_of(module)] |= {room_of(name) for name in imported} - {room_of(module)}
    # raises where there is one
    assert set(TopologicalSorter(graph).static_order()) == set(MAY)


def test_no_circle_between_modules():
    assert set(TopologicalSorter(IMPORTS).static_order()) == set(MODULES)


@pytest.mark.parametrize("module", sorted(GROUND))
def test_the_ground_floor_imports_nothing_above_it(module):
    assert IMPORTS[f"speechsong.{module}"] <= {"speechsong", *(f"speechsong.{name}" for name in GROUND)}


def test_every_import_is_written_out():
    """Fingerprints follow the statement `import`, and nothing else."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", ""))
            assert name not in ("import_module", "__import__"), f"{path}, line {node.lineno}"


@pytest.mark.parametrize("place", ["distances", "probes", "embeddings.moments", "corpora.splits"])
def test_plain_computation_needs_no_torch(place):
    inside = [m for m in MODULES if m == f"speechsong.{place}" or m.startswith(f"speechsong.{place}.")]
    assert inside
    code = f"import sys, {', '.join(inside)}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_in_five_lines_what_it_is_and_does_nothing(room):
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1, "there is code in it"
    assert 0 < len((ast.get_docstring(tree) or "").splitlines()) <= 5


@pytest.mark.parametrize("room", sorted({*ROOMS} - {"planning", "demo"}))
def test_a_room_has_its_rules(room):
    assert (ROOT / "rules" / f"{room}.smk").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_tests(room):
    assert list((ROOT / "tests" / "unit" / room).glob("test_*.py"))


def test_every_benchmark_is_run_by_make():
    (named,) = re.findall(r"^BENCHMARKS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    scripts = [path for path in (ROOT / "bench").glob("*.py") if "\ndef main() " in path.read_text(encoding="utf-8")]
    # the table shows what the others have measured
    assert sorted([*named.split(), "table"]) == sorted(path.stem for path in scripts)
