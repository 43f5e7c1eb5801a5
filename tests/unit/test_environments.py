"""The environments of pip and of conda: the same packages at the same versions, and all that the rules need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPT = re.compile(r"^ +script:$", re.M)


def pins(lines: list[str]) -> dict[str, str]:
    """Read lines `name==version`."""
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found.items()}


@pytest.fixture
def conda() -> dict:
    return yaml.safe_load((ROOT / "envs/speechsong.yaml").read_text())


@pytest.fixture
def installed_by_conda(conda) -> dict[str, str]:
    return pins(conda["dependencies"][-1]["pip"])


@pytest.fixture
def pinned() -> dict[str, str]:
    return pins((ROOT / "envs/pins.txt").read_text().splitlines())


def test_every_dependency_is_pinned_within_its_bounds(pinned):
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), line


def test_conda_and_pip_install_the_same_versions(installed_by_conda, pinned):
    assert installed_by_conda.items() <= pinned.items()
    named = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert installed_by_conda.keys() <= named


def test_conda_has_a_python_that_the_project_takes(conda):
    (python,) = (line for line in conda["dependencies"] if str(line).startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_all_that_jobs_import_is_in_the_environment(installed_by_conda):
    """What scripts and the package import anywhere, but for what only the Snakefile and the command line use."""
    code = [*(ROOT / "workflow/scripts").glob("*.py"), *(ROOT / "src/speechsong").rglob("*.py")]
    imported = set()
    for path in code:
        if path.relative_to(ROOT).as_posix() in ("src/speechsong/planning/config.py", "src/speechsong/cli.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "speechsong"}
    assert "torch" in imported
    providers = packages_distributions()
    for name in imported:
        assert {canonicalize_name(p) for p in providers[name]} & installed_by_conda.keys(), name


def test_every_rule_with_a_script_names_its_environment():
    texts = [path.read_text() for path in (ROOT / "rules").glob("*.smk")]
    scripted = [rule for text in texts for rule in split(text) if SCRIPT.search(rule)]
    # all of them; what `use rule` makes has the script and the environment of the rule that it uses
    assert len(scripted) == sum(len(SCRIPT.findall(text)) for text in texts) > 20
    for rule in scripted:
        (environment,) = re.findall(r"conda:\s+\"\.\./envs/(.+)\"", rule)
        assert (ROOT / "envs" / environment).is_file()


def split(text: str) -> list[str]:
    """Cut a file into its rules."""
    return re.split(r"^\s*(?:rule|checkpoint|use rule)\b.*:$", text, flags=re.M)[1:]


def test_what_a_site_edits_is_in_the_first_ten_lines_of_its_profile():
    lines = (ROOT / "profiles/slurm/config.yaml").read_text().splitlines()
    top = yaml.safe_load("\n".join(lines[:10]))
    assert {"slurm_partition", "gpu_partition", "gpu_type", "slurm_account"} <= top["default-resources"].keys()
    # `--profile slurm` looks here
    assert (ROOT / "slurm").resolve() == ROOT / "profiles/slurm"


def test_the_default_profile_leaves_the_others_alone():
    """It is loaded beside them, and takes precedence key by key."""
    default, slurm = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")
    )
    assert not default.keys() & {*slurm, "set-resources", "set-threads", "max-threads"}
