"""The workflow away from its folder: as a module of another, deployed from a hosting service, in odd folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from common import ROOT

FAD = "results/demo/fad/mert.csv"
IMPORTER = """
configfile: "mine.yaml"

module speechsong:
    snakefile:
        {snakefile}
    config:
        config{more}

use rule * from speechsong as ss_*
"""


def importer(run, snakefile: str, more: str = "") -> None:
    """Make a run's folder that of a workflow which imports this one; its config leaves out what has a default."""
    run.house = run.folder
    (run.folder / "Snakefile").write_text(IMPORTER.format(snakefile=snakefile, more=more))
    shutil.copy2(ROOT / "demo.yaml", run.folder / "mine.yaml")


@pytest.fixture
def decoy(tmp_path_factory) -> Path:
    """Return a place such as a site has in PYTHONPATH: with a module of its own, and another `speechsong`."""
    place = tmp_path_factory.mktemp("site")
    (place / "speechsong").mkdir()
    (place / "speechsong/__init__.py").write_text("raise RuntimeError('another speechsong')")
    (place / "of_the_site.py").touch()
    return place


@pytest.mark.slow
def test_as_a_module_it_makes_the_same_and_finds_what_is_made(demo, run, decoy):
    importer(run, f'"{ROOT / "Snakefile"}"')
    for name in ("results", "data", ".snakemake"):
        shutil.copytree(demo.folder / name, run.folder / name)
    lost = [run.folder / FAD, run.folder / "results/demo/fad/mert/layer01/calm.csv"]
    for path in lost:
        path.unlink()
    done = run.snakemake(FAD, PYTHONPATH=str(decoy))
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "Finished jobid: 0 (Rule: ss_gather_fad)" in text
    assert "2 of 2 steps (100%) done" in text
    for path in lost:
        assert path.read_bytes() == (demo.folder / path.relative_to(run.folder)).read_bytes()


@pytest.mark.slow
def test_what_a_site_has_in_pythonpath_stays(run, house, decoy):
    run.house = house(run.folder / "house")
    script = run.house / "workflow/scripts/synthesise_voices.py"
    script.write_text("import of_the_site\n" + script.read_text())
    config = yaml.safe_load((ROOT / "demo.yaml").read_text())
    done = run.snakemake("results/demo/clips/speech.csv", config=config, PYTHONPATH=str(decoy))
    assert done.returncode == 0, done.stdout + done.stderr


def refused(run, *words: str, **environment: str) -> None:
    """Check that a plan ends in one line with some words."""
    done = run.snakemake("-n", "all", **environment)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    assert any(all(word in line for word in words) for line in text.splitlines()), text


def test_a_module_with_a_prefix_of_paths_is_refused(run):
    importer(run, f'"{ROOT / "Snakefile"}"', '\n    prefix: "mine"')
    refused(run, "leave out `prefix`", "set `results`")


def test_two_copies_in_one_workflow_are_refused(run, house):
    other = house(run.folder / "other") / "Snakefile"
    importer(run, f'"{ROOT / "Snakefile"}"', f'\n\nmodule other:\n    snakefile: "{other}"\n    config: config')
    with (run.folder / "Snakefile").open("a") as stream:
        stream.write("use rule * from other as other_*\n")
    refused(run, "speechsong is imported from", "use one copy")


@pytest.mark.parametrize("name", ["a{b}c", "a:b"])
def test_a_folder_of_the_repository_that_python_or_snakemake_would_read_otherwise(run, house, name):
    run.house = house(run.folder / name)
    refused(run, f"/{name}: the folder of speechsong must have no", "move it")


@pytest.mark.slow
def test_as_snakedeploy_deploys_it(run, house):
    """From a hosting service, which is a folder here: Snakemake clones it, and reads no file from a folder."""
    git = {
        "GIT_CONFIG_GLOBAL": str(run.folder / "gitconfig"),
        "XDG_CACHE_HOME": str(run.folder / "cache"),
    }
    origin = house(run.folder / "origin")
    (run.folder / "gitconfig").write_text(
        f'[url "file://{origin}"]\n\tinsteadOf = https://github.com/someone/speechsong\n'
        "[user]\n\tname = someone\n\temail = someone@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=origin, env=os.environ | git, check=True)
    importer(run, 'github("someone/speechsong", path="workflow/Snakefile", tag="v1")')
    # the branch of the clone that this is has no say
    done = run.snakemake("results/demo/splits/random-0.csv", **git)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run.folder / "results/demo/splits/random-0.csv").is_file()
    plan = run.snakemake("-n", **git)
    assert "ss_everything" in plan.stdout + plan.stderr
    assert "ss_plot_fad" in plan.stdout + plan.stderr


# --- make report


def make_report(house: Path, configfile: str) -> subprocess.CompletedProcess:
    """Run `make report` in a copy of the repository, with the packages of these tests."""
    shutil.copy2(ROOT / "Makefile", house)
    command = ["make", "-o", ".venv/installed", f"BIN={Path(sys.executable).parent}", "report"]
    environment = os.environ | {"CONFIG": configfile}
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("results", ["a;touch PWNED;", "$(touch PWNED)", "`touch PWNED`", "a' ; touch PWNED; '", "-rf"])
def test_no_value_of_a_config_reaches_a_shell(tmp_path, house, results):
    place = house(tmp_path / "house")
    (place / "own.yaml").write_text(yaml.safe_dump({"results": results}))
    (place / results).mkdir(parents=True)
    # complete at first sight
    (place / results / "summary.html").touch()
    done = make_report(place, "own.yaml")
    assert done.returncode != 0
    assert f"the results in {results} are not complete" in done.stderr
    assert list(tmp_path.rglob("PWNED")) == []


@pytest.mark.parametrize("text", [None, "[", "- a\n- b\n", "\0"])
def test_a_report_of_a_config_that_is_none_is_one_line(tmp_path, house, text):
    place = house(tmp_path / "house")
    if text is not None:
        (place / "own.yaml").write_text(text)
    done = make_report(place, "own.yaml")
    assert "own.yaml: cannot be read as a config file" in done.stderr.splitlines()[0]


@pytest.mark.slow
def test_a_report_of_copied_results_with_spaces_in_every_path(demo, tmp_path, house):
    """And without `.snakemake`, which a plain copy of the results lacks."""
    place = house(tmp_path / "my clone")
    shutil.copytree(demo.folder / "results/demo", place / "my results")
    shutil.copytree(demo.folder / "data", place / "data")
    (place / "my run.yaml").write_text(yaml.safe_dump(demo.config | {"results": "my results"}))
    done = make_report(place, "my run.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Report: my results/report.html" in done.stdout
    assert "Accuracy by layer" in (place / "my results/report.html").read_text(encoding="utf-8")
