"""Real Snakemake runs, each in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@dataclass
class Run:
    """A working folder, and Snakemake on this repository in it."""

    folder: Path

    def snakemake(self, *arguments: str, config: dict | None = None, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake here; `config` is merged over config.yaml."""
        command = [sys.executable, "-m", "snakemake", "--directory", str(self.folder)]
        if config is not None:
            file = self.folder / "test.yaml"
            file.write_text(yaml.safe_dump(config))
            command += ["--configfile", str(file)]
        if not {"-n", "--dag", "--rulegraph"} & set(arguments):
            command += ["--cores", "2"]
        # targets first: `--configfile` would take them for more files
        return subprocess.run(
            [*command[:3], *arguments, *command[3:]],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture(scope="session")
def new_run(tmp_path_factory):
    """Make a named working folder that outlives one test."""
    return lambda name: Run(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def demo(new_run) -> Run:
    """The finished demo."""
    here = new_run("demo")
    config = yaml.safe_load((ROOT / "demo.yaml").read_text())
    done = here.snakemake("all", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    here.output = done.stdout + done.stderr
    here.config = config
    return here
