"""Fingerprints change when what a script computes may change, and not when its comments do."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
from pathlib import Path

import pytest

from speechsong import fingerprint

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py"))
# modules that a script's result depends on, and others that it must not depend on
DEPENDS = {
    "extract": ({"corpora", "embeddings", "encoders", "files", "moments", "audio"}, {"frechet", "probe"}),
    "frechet": ({"frechet", "embeddings", "moments", "files"}, {"probe", "metrics", "figures", "splits", "tables"}),
    "probe": ({"probe", "embeddings", "metrics", "files"}, {"frechet", "figures", "splits", "tables"}),
    "split": ({"splits", "files"}, {"frechet", "probe", "embeddings", "encoders"}),
    "index_clips": ({"clips", "audio", "corpora", "files"}, {"frechet", "probe", "embeddings"}),
    "plot_fad": ({"figures", "tables", "files"}, {"frechet", "probe", "embeddings", "metrics"}),
    "plot_probe_layers": ({"figures", "tables", "files"}, {"frechet", "probe"}),
    "tabulate_probe": ({"tables", "files"}, {"figures", "frechet", "probe"}),
    "kernel": ({"kernel", "jackknife", "embeddings", "files"}, {"frechet", "probe", "figures", "tables", "ranking"}),
    "rank_fad": ({"ranking", "jackknife", "tables", "files"}, {"frechet", "probe", "kernel", "embeddings"}),
    "gather": ({"files"}, {"tables", "figures", "frechet", "probe"}),
}


class House:
    """A copy of the package and the scripts, to be rebuilt at will."""

    _moment = itertools.count(10**9)

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder = folder
        self.package = folder / "src" / "speechsong"
        self.scripts = folder / "workflow" / "scripts"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src" / "speechsong", self.package, ignore=ignore)
        shutil.copytree(ROOT / "workflow" / "scripts", self.scripts, ignore=ignore)
        monkeypatch.setattr(fingerprint, "PACKAGE", self.package)

    def of(self, script: str) -> str:
        return fingerprint.of_script(self.scripts / f"{script}.py")

    def every(self) -> dict[str, str]:
        return {script: self.of(script) for script in SCRIPTS}

    def rewrite(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # two changes within one tick of the file system's clock would have one time
        os.utime(path, (next(self._moment),) * 2)

    def add(self, path: Path, text: str) -> None:
        self.rewrite(path, path.read_text(encoding="utf-8") + text)

    def changed(self, path: Path, text: str = "\n\nANOTHER_FORMULA = 1\n") -> set[str]:
        """The scripts whose fingerprint changes where `text` is added to a file."""
        before = self.every()
        self.add(path, text)
        after = self.every()
        return {script for script in SCRIPTS if before[script] != after[script]}


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    return House(tmp_path / "house", monkeypatch)


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_has_one(script):
    found = fingerprint.of_script(ROOT / "workflow" / "scripts" / f"{script}.py")
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert found == fingerprint.of_script(str(ROOT / "workflow" / "scripts" / f"{script}.py"))


def test_scripts_have_different_ones(house):
    found = house.every()
    assert len(set(found.values())) == len(SCRIPTS)


def test_a_copy_elsewhere_has_the_same(tmp_path, monkeypatch, house):
    found = house.every()
    assert found == {s: fingerprint.of_script(house.scripts / f"{s}.py") for s in SCRIPTS}
    other = House(tmp_path / "a deeper" / "place", monkeypatch)
    assert other.every() == found
    monkeypatch.undo()
    assert {s: fingerprint.of_script(ROOT / "workflow" / "scripts" / f"{s}.py") for s in SCRIPTS} == found


@pytest.mark.parametrize(
    "text",
    ["\n# a comment\n", "\n\n\n\n", "   # a comment\n", "\n# -*- a remark -*-\n\n# ünïcode\n"],
    ids=["comment", "blank lines", "comment after code", "several"],
)
def test_comments_and_blank_lines_do_not_count(house, text):
    before = house.every()
    for path in [*house.package.glob("*.py"), *house.scripts.glob("*.py")]:
        house.rewrite(path, path.read_text(encoding="utf-8").rstrip("\n") + text)
    assert house.every() == before


def test_another_formatting_does_not_count(house):
    before = house.every()
    for path in [*house.package.glob("*.py"), *house.scripts.glob("*.py")]:
        # long lines, single quotes, no comments, brackets where Python likes them
        house.rewrite(path, ast.unparse(ast.parse(path.read_text(encoding="utf-8"))))
    assert house.every() == before


def test_docstrings_do_not_count(house):
    before = house.every()
    for path in house.package.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        changed = re.sub(r'"""(?=\w)', '"""In other words. ', text)
        assert changed != text
        house.rewrite(path, changed)
    assert house.every() == before


def test_a_docstring_less_does_not_count(house):
    before = house.of("frechet")
    path = house.package / "moments.py"
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r'(?s)(def of_frames\(.*?\n) *""".*?"""\n', r"\1", text)
    assert changed != text
    house.rewrite(path, changed)
    assert house.of("frechet") == before


def test_a_text_that_is_no_docstring_counts(house):
    before = house.of("extract")
    path = house.package / "audio.py"
    house.rewrite(path, path.read_text(encoding="utf-8").replace("the recording is silent", "the recording is mute"))
    assert house.of("extract") != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("audio", "2.0**-16", "2.0**-15"),
        ("moments", "self.count - 1", "self.count"),
        ("embeddings", "BATCH_SECONDS = 30.0", "BATCH_SECONDS = 60.0"),
        ("encoders", "nn.functional.gelu(model.conv1", "nn.functional.relu(model.conv1"),
    ],
)
def test_a_formula_counts(house, module, old, new):
    before = house.of("extract")
    path = house.package / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    house.rewrite(path, text.replace(old, new))
    assert house.of("extract") != before


@pytest.mark.parametrize("script", DEPENDS)
def test_a_script_depends_on_what_it_imports_and_on_no_more(house, script):
    needed, foreign = DEPENDS[script]
    for module in sorted(needed):
        assert script in house.changed(house.package / f"{module}.py"), f"{module}.py is imported by {script}.py"
    for module in sorted(foreign):
        assert script not in house.changed(house.package / f"{module}.py"), (
            f"{module}.py is not imported by {script}.py"
        )


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_depends_on_itself_alone_among_scripts(house, script):
    assert house.changed(house.scripts / f"{script}.py") == {script}


def test_a_module_of_the_same_name_as_its_script_counts(house):
    # workflow/scripts/probe.py calls speechsong/probe.py, and so for others
    for script in SCRIPTS:
        if (house.package / f"{script}.py").is_file():
            assert script in house.changed(house.package / f"{script}.py"), script


def test_a_change_of_the_probe_never_touches_embeddings(house):
    # nor does one of the distance: extraction takes hours
    for module in ("probe", "frechet", "metrics", "splits", "figures", "tables"):
        assert "extract" not in house.changed(house.package / f"{module}.py"), module


@pytest.mark.parametrize(
    "line",
    [
        "from speechsong import newcomer",
        "from speechsong.newcomer import VALUE",
        "import speechsong.newcomer",
        "def later():\n    from speechsong import newcomer\n    return newcomer.VALUE",
        "from speechsong import moments, newcomer as n",
    ],
)
def test_a_new_module_is_followed(house, line):
    newcomer, deeper = house.package / "newcomer.py", house.package / "deeper.py"
    house.rewrite(deeper, "DEPTH = 1\n")
    house.rewrite(newcomer, "from speechsong.deeper import DEPTH\n\nVALUE = DEPTH\n")
    assert "extract" not in house.changed(newcomer)
    house.add(house.package / "audio.py", f"\n\n{line}\n")
    for path in (newcomer, deeper):
        changed = house.changed(path)
        assert {"extract", "index_clips"} <= changed
        assert not {"split", "gather"} & changed


def test_modules_that_import_each_other_come_to_an_end(house):
    house.add(house.package / "files.py", "\n\nfrom speechsong import audio\n")
    house.add(house.package / "audio.py", "\n\nfrom speechsong import files\n")
    assert "gather" in house.changed(house.package / "audio.py")


def test_other_packages_are_not_followed(house):
    # files.py imports the csv of the standard library
    house.rewrite(house.package / "csv.py", "FIRST = 1\n")
    assert house.changed(house.package / "csv.py") == set()


def test_every_version_of_python_writes_the_same():
    """`ast.dump` leaves out empty fields since 3.13 and has more of them since 3.12."""
    source = "@d\nclass A:\n    def f(self, *, a=None): return [a, {**{}, 'x': -1.5}]\n"
    written = fingerprint._text(ast.parse(source))
    assert written == (
        "Module(body=[ClassDef(name='A', body=[FunctionDef(name='f', args=arguments(args=[arg(arg='self')], "
        "kwonlyargs=[arg(arg='a')], kw_defaults=[Constant()]), body=[Return(value=List(elts=[Name(id='a', ctx=Load()), "
        "Dict(keys=[None, Constant(value='x')], values=[Dict(), UnaryOp(op=USub(), operand=Constant(value=1.5))])], "
        "ctx=Load()))])], decorator_list=[Name(id='d', ctx=Load())])])"
    )
