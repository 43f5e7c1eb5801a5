"""Slurm on this machine: its daemons, two virtual nodes, and two pretend GPUs, of two types, on one of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
# nested srun looks for its configuration nowhere else
PLACE = Path("/etc/slurm")
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
SelectType={select}
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16818 CPUs=4 RealMemory=64000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=16819 CPUs=8 RealMemory=64000 Gres=gpu:pretend:1,gpu:pre-tend:1
PartitionName=cpu Nodes=n1 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n2 MaxTime=INFINITE State=UP
PartitionName=short Nodes=n1 MaxTime=20 State=UP
PartitionName=gpu-short Nodes=n2 MaxTime=150 State=UP
"""
GPUS = """\
AutoDetect=off
NodeName=n2 Name=gpu Type=pretend File={folder}/nvidia0
NodeName=n2 Name=gpu Type=pre-tend File={folder}/nvidia1
"""
# how Slurm hands out nodes: with GPUs as it does today, or as at sites that know `--gres` only
WITH_GPUS = "select/cons_tres"
WITH_GRES = "select/cons_res"


def missing() -> list[str]:
    """Name the programs of Slurm that are not installed, and root if this user is another."""
    return [name for name in PROGRAMS if not shutil.which(name)] + (["root"] if os.geteuid() else [])


class Cluster:
    """A cluster that lives in `folder` and ends with the `with` block."""

    def __init__(self, folder: Path, select: str = WITH_GPUS) -> None:
        self.folder = folder
        self._select = select
        self._daemons: list[subprocess.Popen] = []
        self._files = [PLACE / "slurm.conf", PLACE / "gres.conf"]

    def __enter__(self) -> Cluster:
        # a machine has one Slurm, and tests run side by side; closing the file gives the lock back
        self._lock = (Path(tempfile.gettempdir()) / "speechsong-tests-slurm.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for file in self._files:
            if file.exists():
                raise RuntimeError(f"{file} is there: another Slurm may be running on this machine")
        for name in ("state", "spool-n1", "spool-n2"):
            (self.folder / name).mkdir()
        for name in ("nvidia0", "nvidia1"):
            os.mknod(self.folder / name, 0o20666, os.makedev(1, 3))
        PLACE.mkdir(exist_ok=True)
        values = {"folder": self.folder, "host": socket.gethostname(), "select": self._select}
        for file, text in zip(self._files, (CONFIGURATION, GPUS), strict=True):
            file.write_text(text.format(**values))
        try:
            subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "0755", "/run/munge"], check=True)
            if not self._answers("munge", "-n"):
                self._start("munged", "--foreground", "--force", user="munge")
                self._wait("munge", "-n")
            self._start("slurmctld", "-D")
            for node in ("n1", "n2"):
                self._start("slurmd", "-D", "-N", node)
            self._wait("sh", "-c", "test $(sinfo --noheader --Node --format %N --states idle | sort -u | wc -l) = 2")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["scancel", "--user", "root"], capture_output=True, timeout=60)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        # with a configuration but no controller, every `snakemake` would wait ten seconds for one
        for file in self._files:
            file.unlink(missing_ok=True)
        self._lock.close()

    def jobs(self, folder: Path) -> list[dict[str, str]]:
        """Every job so far of the runs in a folder as Slurm describes it, by the keys of `scontrol show job`."""
        lines = self.ask("scontrol", "--oneliner", "show", "jobs").splitlines()
        jobs = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]
        return [job for job in jobs if job.get("WorkDir") == str(folder)]

    def ask(self, *command: str) -> str:
        """Run a command of Slurm; return what it prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def _start(self, *command: str, user: str | None = None) -> None:
        with (self.folder / f"{'-'.join(command)}.out").open("w") as output:
            self._daemons.append(
                subprocess.Popen(
                    command,
                    user=user,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def _answers(self, *command: str) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
        return False

    def _wait(self, *command: str) -> None:
        deadline = time.monotonic() + 120
        while not self._answers(*command):
            for daemon in self._daemons:
                if daemon.poll() is not None:
                    raise RuntimeError(f"{daemon.args} ended; what it said is in {self.folder}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Slurm does not start; what its daemons say is in {self.folder}")
            time.sleep(0.2)
