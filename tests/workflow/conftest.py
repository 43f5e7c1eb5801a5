"""Real Snakemake runs, each in a folder of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tiny_encoders import write_encoder

ROOT = Path(__file__).parents[2]


@dataclass
class Run:
    """A working folder, and Snakemake that runs in it on this repository or on a copy."""

    folder: Path
    house: Path = ROOT
    seconds: int = 900

    def snakemake(self, *arguments: str, config: dict | None = None, **environment: str) -> subprocess.CompletedProcess:
        """Run Snakemake here; `config` is merged over config.yaml."""
        command = [sys.executable, "-m", "snakemake", "--directory", str(self.folder)]
        if config is not None:
            file = self.folder / "test.yaml"
            file.write_text(yaml.safe_dump(config))
            command += ["--configfile", str(file)]
        if not {"-n", "--dag", "--rulegraph", "--profile", "--cores"} & set(arguments):
            command += ["--cores", "2"]
        # targets first: `--configfile` would take them for more files
        return subprocess.run(
            [*command[:3], *arguments, *command[3:]],
            cwd=self.house,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.seconds,
        )

    def kill_when(self, state: Path, target: str, config: dict) -> None:
        """Run Snakemake for a target, kill it and its jobs once a file is there, and take away the lock."""
        (self.folder / "killed.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", target, "--directory", str(self.folder), "--cores", "2"]
        process = subprocess.Popen(
            [*command, "--configfile", str(self.folder / "killed.yaml")],
            cwd=self.house,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert state.exists()
        self.snakemake("--unlock", config=config)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture(scope="session")
def new_run(tmp_path_factory):
    """Make a named working folder that outlives one test."""
    return lambda name: Run(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def house():
    """Copy what a run needs of the repository into a folder: code may be edited there."""

    def copy(folder: Path) -> Path:
        for name in ("rules", "workflow", "src", "profiles", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("Snakefile", "config.yaml"):
            shutil.copy2(ROOT / name, folder / name)
        return folder

    return copy


@pytest.fixture(scope="session")
def thin(new_run, house, tmp_path_factory) -> Run:
    """A finished run of two encoders and two emotions, in a copy of the repository.

    w2v2 lies where an encoder from the hub does.
    """
    here = Run(place := new_run("thin").folder, place)
    config = yaml.safe_load((ROOT / "demo.yaml").read_text())
    here.config = config | {
        "emotions": ["calm", "happy"],
        "models": ["w2v2", "mert"],
        "encoders": config["encoders"] | {"w2v2": {"checkpoint": "acme/voices", "revision": "one", "layers": 2}},
        "split": {"protocols": ["random"], "seeds": [0, 1]},
        "adapt": config["adapt"] | {"approaches": ["baseline"], "models": None},
    }
    # the first process of a run of tests makes it, and all copy it; xdist gives each a folder in a common one
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Run(shared / "run", shared / "run")
        if not (shared / "output").exists():
            shutil.rmtree(made.folder, ignore_errors=True)
            house(made.folder)
            write_encoder(made.folder / "data/encoders/acme--voices/one", "wav2vec2")
            done = made.snakemake("all", config=here.config)
            assert done.returncode == 0, done.stdout + done.stderr
            (shared / "output").write_text(done.stdout + done.stderr)
    shutil.copytree(made.folder, place, dirs_exist_ok=True)
    here.output = (shared / "output").read_text()
    return here


@pytest.fixture(scope="session")
def demo(new_run) -> Run:
    """The finished demo: in CI, that of `make demo`, of which Snakemake makes again what is stale."""
    here = new_run("demo")
    config = yaml.safe_load((ROOT / "demo.yaml").read_text())
    if os.environ.get("CI"):
        for name in ("results/demo", "data/demo", ".snakemake/metadata"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, here.folder / name)
    done = here.snakemake("all", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    here.config = config
    return here
