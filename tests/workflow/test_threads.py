"""Jobs on one machine: as many threads as it has cores and no more, and one GPU job at a time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from common import ROOT, site

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
            found = {path: job for path in Path("/proc").glob("[0-9]*") if (job := self._job(path))}
            # one that ended during this look may have made room for another
            self.seen.append([job for path, job in found.items() if self._job(path)])

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


def pretended(folder: Path, says: str) -> str:
    """Return a PATH on which nvidia-smi lists GPUs, or says that there are none."""
    program = folder / "bin/nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return f"{program.parent}:{Path(sys.executable).parent}:/usr/bin:/bin"


@pytest.fixture
def planned(run, house):
    """In a copy of the repository in which extraction has no message, which a plan would show in place of resources."""
    run.house = house(run.folder / "house")
    rules = run.house / "rules/embeddings.smk"
    rules.write_text(re.sub(r" +message:\n.*\n", "", rules.read_text()))
    return run


def asked_for(run, *options: str, place: str = "mert/music", **rest) -> str:
    """Return the resources that a plan gives the extraction of one emotion."""
    done = run.snakemake("-n", f"results/demo/embeddings/{place}/layer00/calm.h5", *options, **rest)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return re.search(r"rule extract_\w+:.*?resources: ([^\n]*)", text, re.S)[1] + ","


def asked_for_at(run, config: dict, **values: str | int) -> str:
    """The same on a cluster, with values of its site."""
    return asked_for(run, "--profile", str(site(run.folder / "site", **values)), config=config)


def test_a_machine_has_a_gpu_where_one_is_listed(planned, config):
    path = pretended(planned.folder, "GPU 0: Pretended (UUID: GPU-0)")
    assert "gpu=1," in asked_for(planned, config=config, PATH=path)
    path = pretended(planned.folder, "No devices were found")
    assert "gpu=1," not in asked_for(planned, config=config, PATH=path)


def test_names_of_a_site_that_python_would_read_otherwise(planned, config):
    """And a partition that is left to Slurm: the cluster is one all the same."""
    given = asked_for_at(planned, config, slurm_partition="", gpu_partition="'all'", gpu_type="'max'")
    for part in ("gpu=1,", "slurm_partition=all,", "gpu_model=max,"):
        assert part in given


def test_cpus_of_a_gpu_job_are_the_sites_if_it_sets_them(planned, config):
    assert "cpus_per_task=3," in asked_for_at(planned, config)
    assert "cpus_per_task=1," in asked_for_at(planned, config, cpus_per_task=1)
    given = asked_for_at(planned, config, cpus_per_gpu=8)
    assert "cpus_per_gpu=8," in given
    assert "cpus_per_task" not in given


def test_memory_follows_the_clips_and_the_weights(planned):
    folder = planned.folder / "large"
    folder.mkdir()
    (folder / "config.json").write_text('{"hidden_size": 1024}')
    (folder / "preprocessor_config.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as stream:
        stream.truncate(2_400_000_000)
    rows = [f"{emotion}{i}.wav,{emotion},x" for emotion in ("calm", "happy") for i in range(100)]
    (planned.folder / "table.csv").write_text("path,emotion,speaker\n" + "\n".join(rows))
    for row in rows:
        (planned.folder / row.split(",")[0]).touch()
    config = {
        "results": "results/demo",
        "domains": ["a", "b"],
        "speakers": "independent",
        "corpora": {name: {"reader": "table", "table": "table.csv"} for name in "ab"},
        "emotions": ["calm", "happy"],
        "models": ["large"],
        "encoders": {"large": {"checkpoint": "large", "layers": 24, "window_seconds": 30}},
    }
    found = re.search(r"mem_mb=(\d+)", asked_for(planned, place="large/a", config=config))
    assert int(found[1]) == 3000 + 2 * 2000 + round(100 * 25 * 1024 * 4 / 1e6)


def test_jobs_take_turns_on_the_gpu_of_a_machine(run, config):
    """What Snakemake does where there is a GPU; torch finds none here, and computes without."""
    path = pretended(run.folder, "GPU 0: Pretended (UUID: GPU-0)")
    with Watch(run.folder) as watch:
        done = run.snakemake("embeddings", "--cores", "8", config=config, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, watch.seen)) == 1
