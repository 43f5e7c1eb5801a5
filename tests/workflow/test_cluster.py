"""`--profile slurm` on a real Slurm of two nodes: where jobs go, what comes out, and jobs that are killed.

Of all files this takes longest, and its name lets it begin early. That of `--gres` comes late, because only one Slurm
runs at a time.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from common import ROOT, site
from slurm_cluster import Cluster, missing

# a cluster of one machine answers at once
OFTEN = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
CALM = "results/demo/embeddings/mert/{}/layer00/calm.h5"
SPLITS = [f"results/demo/splits/{protocol}-{seed}.csv" for protocol in ("random", "speaker") for seed in range(5)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(absent, tmp_path_factory):
    lacking = missing()
    if lacking:
        absent(f"{', '.join(lacking)} (for the tests of Slurm; Debian: apt-get install slurm-wlm munge, as root)")
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@dataclass
class Finished:
    """A run through the cluster, and its jobs as Slurm remembers them."""

    folder: Path
    jobs: dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def finished(cluster, thin, new_run):
    here = new_run("slurm")
    here.seconds = 1800
    # the smaller of the two encoders, stored as one from the hub is, and what a GPU adapts
    shutil.copytree(thin.folder / "data/encoders", here.folder / "data/encoders")
    config = thin.config | {"models": ["w2v2"], "adapt": thin.config["adapt"] | {"approaches": ["baseline", "peft"]}}
    done = here.snakemake("all", "--profile", "slurm", *OFTEN, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    again = here.snakemake("all", "--profile", "slurm", *OFTEN, config=config)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr
    return Finished(here.folder, by_rule(cluster.jobs(here.folder)))


def by_rule(jobs: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Sort Slurm's jobs by what the executor says of them: the rule, or the group and its rules."""
    found: dict[str, list[dict[str, str]]] = {}
    for job in jobs:
        found.setdefault(job["Comment"].removeprefix("rule_").split("_wildcards_")[0], []).append(job)
    return found


def without_seconds(path: Path) -> str:
    """A table without the time that its rows took."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.drop(columns="seconds", errors="ignore").to_csv(index=False)


def test_results_are_those_of_a_local_run(finished, thin):
    local, cluster = (folder / "results/demo" for folder in (thin.folder, finished.folder))
    # other tables compare encoders or approaches, which are not the same here
    of_one = re.compile("/(clips|corpora|splits|fad|kad|probe|(adapt|predictions)/w2v2/\\w+)/.+[.]csv$")
    tables, found = (
        {str(path.relative_to(folder)) for path in folder.rglob("*.csv") if of_one.search(str(path))}
        for folder in (local, cluster)
    )
    tables = {name for name in tables if "mert" not in name}
    assert found - tables == {name for name in found if "/peft/" in name}
    assert tables <= found
    assert len(tables) > 50
    differ = [
        name
        for name in sorted(tables)
        if (local / name).read_bytes() != (cluster / name).read_bytes()
        and without_seconds(local / name) != without_seconds(cluster / name)
    ]
    assert differ == []
    assert (cluster / "figures/probe_layers.png").read_bytes().startswith(b"\x89PNG")
    assert (cluster / "summary.html").is_file()


def test_gpu_jobs_get_a_gpu_each_and_all_others_none(finished):
    on_gpu = {"extract_w2v2": 4, "adapt_peft": 7}
    for rule, jobs in finished.jobs.items():
        for job in jobs:
            assert job["JobState"] == "COMPLETED"
            assert job["Partition"] == ("gpu" if rule in on_gpu else "cpu")
            assert job.get("TresPerJob") == ("gres:gpu:1" if rule in on_gpu else None)
            if rule == "extract_w2v2":
                # two for the threads that read
                assert job["NumCPUs"] == "3"
    # one job for each (model, domain, emotion) and each stage of adaptation
    assert {rule: len({job["Comment"] for job in finished.jobs[rule]}) for rule in on_gpu} == on_gpu
    assert {rule: len(finished.jobs[rule]) for rule in on_gpu} == on_gpu


def test_jobs_of_seconds_share_an_allocation(finished):
    small = [job for jobs in finished.jobs.values() for job in jobs if job["Partition"] == "cpu"]
    # of some sixty jobs without a GPU
    assert len(small) <= 12
    assert max(int(job["NumCPUs"]) for job in small) == 4


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "demo.yaml").read_text()) | {"models": ["mert"]}


def script_of(folder: Path, name: str, process: subprocess.Popen, old: set[int]) -> int:
    """Wait for the process of a rule's script in a run's folder; return its id."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended
                continue
            number = int(path.parent.name)
            script = any(part.startswith(str(folder)) and part.endswith(f".{name}.py") for part in command)
            if script and Path(command[0]).name.startswith("python") and number not in old:
                return number
        time.sleep(0.05)
    raise AssertionError(f"no job of {name} has started")


def minutes(job: dict[str, str]) -> float:
    """The time that a job asked for."""
    return pd.Timedelta(job["TimeLimit"].replace("-", " days ")) / pd.Timedelta(minutes=1)


def test_a_killed_job_is_sent_again_with_more_memory_and_time(cluster, run, config):
    """Once its process is killed on the node, once the job is cancelled; the third attempt is left alone.

    Three times an hour would be beyond the partition's limit, and wait in the queue for ever.
    """
    profile = site(run.folder / "site", gpu_type="pre-tend", gpu_partition="gpu-short", most_minutes=150)
    (run.folder / "test.yaml").write_text(yaml.safe_dump(config))
    target = CALM.format("speech")
    command = [sys.executable, "-m", "snakemake", target, "--directory", str(run.folder), "--profile", str(profile)]
    process = subprocess.Popen(
        [*command, *OFTEN, "--configfile", str(run.folder / "test.yaml")],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=(run.folder / "output").open("w"),
        stderr=subprocess.STDOUT,
    )
    first = script_of(run.folder, "extract", process, set())
    os.kill(first, signal.SIGKILL)
    script_of(run.folder, "extract", process, {first})
    second = [job["JobId"] for job in cluster.jobs(run.folder) if job["JobState"] == "RUNNING"]
    assert len(second) == 1
    cluster.ask("scancel", *second)
    assert process.wait(600) == 0, (run.folder / "output").read_text()
    assert (run.folder / target).exists()
    jobs = cluster.jobs(run.folder)
    assert [job["JobState"] for job in jobs] == ["FAILED", "CANCELLED", "COMPLETED"]
    megabytes = [int(job["MinMemoryNode"].rstrip("M")) for job in jobs]
    assert [m / megabytes[0] for m in megabytes] == [1, 2, 3]
    assert [minutes(job) for job in jobs] == [60, 120, 150]
    # the type of GPU is the site's
    assert {job["TresPerNode"] for job in jobs} == {"gres:gpu:pre-tend:1"}


def begin_split_with(run, house, code: str) -> None:
    """Let a run work in a copy of the repository, in which jobs of `split` do something first."""
    run.house = house(run.folder / "house")
    script = run.house / "workflow/scripts/split.py"
    script.write_text(code + script.read_text())


# each job waits until as many have run at the same time as a shared allocation has cores
MEET = """
import os, time
from pathlib import Path

place, deadline = Path("meeting", os.environ["SLURM_JOB_ID"]), time.monotonic() + 60
place.mkdir(parents=True, exist_ok=True)
(place / str(os.getpid())).touch()
while not (place / "met").exists():
    assert time.monotonic() < deadline, "too few jobs of the allocation have begun"
    if sum(Path("/proc", other.name).exists() for other in place.iterdir()) == 4:
        (place / "met").touch()
    time.sleep(0.1)

"""


@pytest.mark.parametrize("how", ["no partition of GPUs", "device: cpu"])
def test_a_run_without_gpus_goes_to_cpus(cluster, run, house, config, how):
    """Once to a partition with a limit below what extraction or a group of splits would ask for.

    Either way, the splits share an allocation and run side by side, and the two index jobs run at the same time.
    """
    begin_split_with(run, house, MEET)
    limited = {"gpu_partition": "", "slurm_partition": "short", "most_minutes": 20}
    profile = site(run.folder / "site", **(limited if how == "no partition of GPUs" else {}))
    config |= {"device": "cpu"} if how == "device: cpu" else {}
    targets = ("results/demo/clips/speech.csv", CALM.format("music"), *SPLITS)
    done = run.snakemake(*targets, "--profile", str(profile), *OFTEN, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = by_rule(cluster.jobs(run.folder))
    assert {rule: len(some) for rule, some in jobs.items()} == {"extract_mert": 1, "index_clips": 2, "splits_split": 1}
    assert max(job["StartTime"] for job in jobs["index_clips"]) < min(job["EndTime"] for job in jobs["index_clips"])
    every = [job for some in jobs.values() for job in some]
    assert {job["Partition"] for job in every} == {"short" if how == "no partition of GPUs" else "cpu"}
    assert {minutes(job) for job in every} == ({20} if how == "no partition of GPUs" else {30, 60})
    assert all("TresPerJob" not in job for job in every)


# the first job that comes here fails
FAIL = """
import os

try:
    os.close(os.open("failed", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    pass
else:
    raise SystemExit("not now")

"""


def test_jobs_of_an_allocation_are_sent_again_if_one_fails(cluster, run, house, config):
    begin_split_with(run, house, FAIL)
    done = run.snakemake(*SPLITS, "--profile", str(site(run.folder / "site")), *OFTEN, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = by_rule(cluster.jobs(run.folder))["splits_split"]
    assert [job["JobState"] for job in jobs] == ["FAILED", "COMPLETED"]
    assert all((run.folder / split).is_file() for split in SPLITS)
