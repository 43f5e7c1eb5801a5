"""Jobs on one machine: as many threads as it has cores and no more, and one GPU job at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
POOLS = """
import json, numpy, scipy.linalg, sklearn.cluster, threadpoolctl, torch
pools = threadpoolctl.threadpool_info()
print(json.dumps({"torch": torch.get_num_threads(), "pools": {p["filepath"]: p["num_threads"] for p in pools}}))
"""

pytestmark = pytest.mark.slow


class Watch:
    """Looks at the jobs of a run while the `with` block lasts.

    Attributes
    ----------
    seen : list of dict
        At each look, the environment of the process of each extraction that was running.
    """

    def __init__(self, folder: Path) -> None:
        self.seen: list[list[dict[str, str]]] = []
        self._folder = str(folder)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.seen.append([found for path in Path("/proc").glob("[0-9]*") if (found := self._job(path))])

    def _job(self, path: Path) -> dict[str, str] | None:
        try:
            command = (path / "cmdline").read_text(errors="replace").split("\0")
            # the interpreter, not the shell that starts it
            script = command[1] if Path(command[0]).name.startswith("python") else ""
            if not (script.startswith(self._folder) and script.endswith(".extract.py")):
                return None
            variables = (path / "environ").read_text(errors="replace").split("\0")
        except (OSError, IndexError):  # it has ended, or is no job
            return None
        return dict(variable.split("=", 1) for variable in variables if "=" in variable)


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "demo.yaml").read_text()) | {"models": ["mert"], "emotions": ["calm", "happy"]}


def test_threads_follow_the_cores_of_the_run(run, config):
    with Watch(run.folder) as watch:
        many = {name: "64" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        config["device"] = "cpu"
        done = run.snakemake("embeddings", "--cores", "4", config=config, **many)
    assert done.returncode == 0, done.stdout + done.stderr
    threads = [[int(job["OMP_NUM_THREADS"]) for job in jobs] for jobs in watch.seen]
    assert max(map(sum, threads)) == 4
    extraction = max((job for jobs in watch.seen for job in jobs), key=lambda job: int(job["OMP_NUM_THREADS"]))
    assert extraction["OMP_NUM_THREADS"] == "2"
    pools = subprocess.run([sys.executable, "-c", POOLS], env=extraction, check=True, capture_output=True, text=True)
    pools = json.loads(pools.stdout)
    assert pools["torch"] == 2
    assert len(pools["pools"]) > 1
    # of a machine with one core, one
    assert set(pools["pools"].values()) <= {1, 2}


def test_jobs_take_turns_on_the_gpu_of_a_machine(run, config):
    """What Snakemake does where there is a GPU; torch finds none here, and computes without."""
    pretend = run.folder / "bin/nvidia-smi"
    pretend.parent.mkdir()
    pretend.write_text("#!/bin/sh\n")
    pretend.chmod(0o755)
    with Watch(run.folder) as watch:
        path = f"{pretend.parent}:{Path(sys.executable).parent}:/usr/bin:/bin"
        done = run.snakemake("embeddings", "--cores", "8", config=config, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, watch.seen)) == 1
