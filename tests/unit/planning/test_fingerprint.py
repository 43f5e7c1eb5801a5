"""Fingerprints change when what a script computes may change, and not when its comments do."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common import ROOT
from speechsong.planning import fingerprint

SCRIPTS = sorted(path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py"))
# modules and whole rooms that a script's result depends on, and others that it must not depend on
DEPENDS = {
    "extract": (
        {
            *("corpora/recordings", "corpora/readers", "corpora/audio", "embeddings/extract", "embeddings/store"),
            *("embeddings/moments", "encoders/families", "encoders/loading", "encoders/forward", "files"),
        },
        {
            *("distances", "probes", "adaptation", "evaluation", "report", "planning", "demo", "metrics"),
            *("embeddings/features", "corpora/splits", "corpora/download", "corpora/zenodo", "encoders/hub"),
        },
    ),
    "extract_logmel": (
        {"corpora/audio", "embeddings/extract_logmel", "embeddings/store", "encoders/logmel", "files"},
        {"distances", "probes", "encoders/loading", "encoders/forward", "embeddings/features", "corpora/splits"},
    ),
    "measure_fad": (
        {"distances/fad", "distances/jackknife", "embeddings/store", "embeddings/moments", "files"},
        {"probes", "embeddings/features", "metrics", "evaluation", "report", "corpora/splits", "distances/kad"},
    ),
    "measure_pairs": (
        {"distances/pairs", "distances/gaussians", "distances/fad", "embeddings/store", "files"},
        {"probes", "evaluation", "report", "distances/kad", "distances/nearest", "distances/ranking"},
    ),
    "count_nearest": (
        {"distances/nearest", "distances/ranking", "report/tables", "files"},
        {"distances/fad", "distances/pairs", "probes", "distances/kad", "embeddings"},
    ),
    "measure_kad": (
        {"distances/kad", "distances/jackknife", "embeddings/features", "embeddings/store", "files"},
        {"distances/fad", "probes", "evaluation", "report", "distances/ranking"},
    ),
    "probe": (
        {"probes/run", "probes/train", "embeddings/features", "embeddings/store", "metrics", "files"},
        {"distances", "evaluation", "report", "corpora/splits"},
    ),
    "split": ({"corpora/splits", "files"}, {"distances", "probes", "embeddings", "encoders"}),
    "index_clips": (
        {"corpora/index", "corpora/audio", "corpora/recordings", "corpora/readers", "files"},
        {"distances", "probes", "embeddings"},
    ),
    "plot": ({"report/figures", "report/tables", "files"}, {"distances", "probes", "embeddings", "metrics"}),
    "tabulate": (
        {"report/tables", "evaluation/summaries", "files"},
        {"report/figures", "distances", "probes", "embeddings"},
    ),
    "rank_fad": (
        {"distances/ranking", "distances/jackknife", "report/tables", "files"},
        {"distances/fad", "probes", "distances/kad", "embeddings"},
    ),
    "gather": ({"files"}, {"report", "distances", "probes", "evaluation"}),
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

    def modules(self, place: str) -> list[Path]:
        """The files of a module or of a whole room, both named as in `DEPENDS`."""
        path = self.package / place
        files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        assert files and all(file.is_file() for file in files), place
        return files

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

    def changes(self, path: Path, script: str) -> bool:
        """Whether the fingerprint of one script changes where a formula is added to a file."""
        before = self.of(script)
        self.add(path, "\n\nANOTHER_FORMULA = 1\n")
        return self.of(script) != before


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
    for path in [*house.package.rglob("*.py"), *house.scripts.glob("*.py")]:
        house.rewrite(path, path.read_text(encoding="utf-8").rstrip("\n") + text)
    assert house.every() == before


def test_another_formatting_does_not_count(house):
    before = house.every()
    for path in [*house.package.rglob("*.py"), *house.scripts.glob("*.py")]:
        # long lines, single quotes, no comments, brackets where Python likes them
        house.rewrite(path, ast.unparse(ast.parse(path.read_text(encoding="utf-8"))))
    assert house.every() == before


def test_docstrings_do_not_count(house):
    before = house.every()
    for path in house.package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        changed = re.sub(r'"""(?=\w)', '"""In other words. ', text)
        assert changed != text
        house.rewrite(path, changed)
    assert house.every() == before


def test_a_docstring_less_does_not_count(house):
    before = house.of("measure_fad")
    path = house.package / "embeddings/moments.py"
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r'(?s)(def of_frames\(.*?\n) *""".*?"""\n', r"\1", text)
    assert changed != text
    house.rewrite(path, changed)
    assert house.of("measure_fad") == before


def test_a_text_that_is_no_docstring_counts(house):
    before = house.of("extract")
    path = house.package / "corpora/audio.py"
    house.rewrite(path, path.read_text(encoding="utf-8").replace("the recording is silent", "the recording is mute"))
    assert house.of("extract") != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("corpora/audio", "2.0**-16", "2.0**-15"),
        ("embeddings/moments", "self.count - 1", "self.count"),
        ("embeddings/extract", "BATCH_SECONDS = 30.0", "BATCH_SECONDS = 60.0"),
        ("encoders/forward", "nn.functional.gelu(model.conv1", "nn.functional.relu(model.conv1"),
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
    for path in (path for place in sorted(needed) for path in house.modules(place)):
        assert house.changes(path, script), f"{path} is imported by {script}.py"
    for path in (path for place in sorted(foreign) for path in house.modules(place)):
        assert not house.changes(path, script), f"{path} is not imported by {script}.py"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_depends_on_itself_alone_among_scripts(house, script):
    assert house.changed(house.scripts / f"{script}.py") == {script}


def test_a_module_of_the_same_name_as_its_script_counts(house):
    # workflow/scripts/extract.py calls embeddings/extract.py, and so for others
    namesakes = [(script, path) for script in SCRIPTS for path in house.package.rglob(f"{script}.py")]
    assert namesakes
    for script, path in namesakes:
        assert house.changes(path, script), script


def test_a_change_of_the_probe_never_touches_embeddings(house):
    # nor does one of the distance: extraction takes hours
    for place in ("probes", "embeddings/features", "distances", "metrics", "corpora/splits", "evaluation", "report"):
        for path in house.modules(place):
            assert not house.changes(path, "extract"), path


@pytest.mark.parametrize(
    "line",
    [
        "from speechsong import newcomer",
        "from speechsong.newcomer import VALUE",
        "import speechsong.newcomer",
        "def later():\n    from speechsong import newcomer\n    return newcomer.VALUE",
        "from speechsong import files, newcomer as n",
    ],
)
def test_a_new_module_is_followed(house, line):
    newcomer, deeper = house.package / "newcomer.py", house.package / "deeper.py"
    house.rewrite(deeper, "DEPTH = 1\n")
    house.rewrite(newcomer, "from speechsong.deeper import DEPTH\n\nVALUE = DEPTH\n")
    assert "extract" not in house.changed(newcomer)
    house.add(house.package / "corpora/audio.py", f"\n\n{line}\n")
    for path in (newcomer, deeper):
        changed = house.changed(path)
        assert {"extract", "index_clips"} <= changed
        assert not {"split", "gather"} & changed


@pytest.mark.parametrize(
    "line",
    [
        "from speechsong.corpora import audio",
        "import speechsong.corpora.audio",
        "import speechsong.corpora.audio as sound",
        "from speechsong.corpora.audio import load",
        "def later():\n    from speechsong.corpora import audio, index\n    return audio, index",
    ],
)
def test_an_import_through_a_room_is_followed(house, line):
    module, room, above = (house.package / name for name in ("corpora/audio.py", "corpora/__init__.py", "__init__.py"))
    for path in (module, room):
        assert "gather" not in house.changed(path)
    house.add(house.scripts / "gather.py", f"\n\n{line}\n")
    # what audio.py imports, too
    for path in (module, room, above, house.package / "errors.py"):
        assert "gather" in house.changed(path), path
    assert "gather" not in house.changed(house.package / "corpora/splits.py")


def test_functions_of_the_package_itself_are_for_users_and_do_not_count(house):
    package = house.package / "__init__.py"
    line = "\n\ndef later():\n    from speechsong.corpora import audio\n    return audio\n"
    assert house.changed(package, line) == set()
    assert "gather" in house.changed(package)


def test_no_script_calls_a_function_of_the_package_itself():
    for path in [*(ROOT / "workflow/scripts").glob("*.py"), *(ROOT / "src/speechsong").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "speechsong":
                assert "load" not in [alias.name for alias in node.names], path


def test_code_of_a_room_counts_and_is_followed(house):
    room = house.package / "corpora/__init__.py"
    assert "index_clips" not in house.changed(house.package / "metrics.py")
    changed = house.changed(room, "\n\nfrom speechsong import metrics\n")
    assert {"index_clips", "split", "extract", "fetch_ravdess"} <= changed
    assert not {"gather", "measure_fad"} & changed
    assert changed <= house.changed(house.package / "metrics.py")
    # to import a room by its name alone is to import its code
    house.add(house.scripts / "gather.py", "\n\nimport speechsong.encoders\n")
    assert "gather" in house.changed(house.package / "encoders/__init__.py")


@pytest.mark.parametrize(
    "line",
    [
        "from speechsong import nothing",
        "from speechsong.nothing import load",
        "from speechsong.corpora import nothing",
        "from speechsong.corpora.nothing import load",
        "from speechsong.corpora.audio import nothing",
        "from speechsong.corpora.audio import load, nothing",
        "from speechsong.corpora.audio import *",
        "import speechsong.nothing",
        "import speechsong.corpora.nothing",
        "import speechsong.corpora.audio.load",
        "def later():\n    from speechsong.corpora import nothing\n    return nothing",
        "from . import audio",
        "from .corpora import audio",
    ],
)
@pytest.mark.parametrize("place", ["scripts/index_clips.py", "package/corpora/audio.py"])
def test_an_import_that_leads_to_no_file_is_an_error(house, place, line):
    where, _, name = place.partition("/")
    path = getattr(house, where) / name
    house.of("index_clips")
    house.add(path, f"\n\n{line}\n")
    number = path.read_text(encoding="utf-8").splitlines().index(line.splitlines()[-2 if "later" in line else 0]) + 1
    with pytest.raises(ImportError, match=rf"{re.escape(str(path))}, line {number}: "):
        house.of("index_clips")


# --- against Python's own imports


IMPORT_ALL = """
import ast, functools, json, sys

@functools.cache
def imports(path):
    with open(path, encoding="utf-8") as stream:
        nodes = list(ast.walk(ast.parse(stream.read())))
    ours = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        if all(name.split(".")[0] == "speechsong" for name in names):
            ours.append(compile(ast.Module([node], []), path, "exec"))
    return ours

def run_imports(path):
    for statement in imports(path):
        exec(statement, {})

def ours():
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "speechsong"}

found = {}
for script in sys.argv[1:]:
    for name in ours():
        del sys.modules[name]
    run_imports(script)
    seen = set()
    while set(ours()) - seen:
        for name, module in ours().items():
            if name not in seen:
                seen.add(name)
                # the functions of the package itself are for users: no script calls them
                if name != "speechsong":
                    run_imports(module.__file__)
    found[script] = sorted(seen)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> dict[str, set[str]]:
    """The modules of the package that Python imports for each script, those that functions import included."""
    paths = [str(ROOT / "workflow" / "scripts" / f"{script}.py") for script in SCRIPTS]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *paths],
        # each module is imported dozens of times, and compiled once
        env=os.environ
        | {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": ""}
        | {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(path).stem: set(names) for path, names in json.loads(done.stdout).items()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_that_is_really_imported_counts(imported, script):
    counted = fingerprint.modules(ROOT / "workflow" / "scripts" / f"{script}.py").keys() - {f"{script}.py"}
    assert "speechsong.logs" in imported[script]
    assert imported[script] <= counted
    # and nothing else does
    assert counted <= imported[script]


def test_modules_that_import_each_other_come_to_an_end(house):
    house.add(house.package / "files.py", "\n\nfrom speechsong.corpora import audio\n")
    house.add(house.package / "corpora/audio.py", "\n\nfrom speechsong import files\n")
    assert "gather" in house.changed(house.package / "corpora/audio.py")


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
