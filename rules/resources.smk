# GPU, threads and memory, and the settings of a cluster: see profiles/slurm.

import shutil
import subprocess

SITE = workflow.resource_settings.default_resources or {}


def site(name):
    """The value of a name in the default resources of a cluster profile; "" if no profile sets it."""
    setting = SITE.get(name)
    # Snakemake evaluates it as Python, so the quotes are part of it
    return str(setting.raw).strip("'\"") if setting is not None else ""


def has_gpu():
    """Whether this machine has a GPU. nvidia-smi may be installed without one, as in a container, so it is run."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return any(line.startswith("GPU ") for line in listed.stdout.splitlines())


# jobs run on other machines; the partition "" is the one that Slurm chooses
CLUSTER = SITE.get("slurm_partition") is not None
# whether jobs request a GPU; with `device: auto`, a job that sees a GPU uses it in any case
GPU = int(
    config["device"].startswith("cuda")
    or (config["device"] == "auto" and (bool(site("gpu_partition")) if CLUSTER else has_gpu()))
)
# resources of every job that uses a GPU
ON_GPU = {"gpu": GPU}
if GPU and CLUSTER:
    ON_GPU |= {"slurm_partition": site("gpu_partition") or site("slurm_partition")}
    ON_GPU |= {"gpu_model": site("gpu_type")} if site("gpu_type") else {}


def cores():
    """Cores of the run; 1 where none are given, as for --dag."""
    try:
        return workflow.cores or 1
    except WorkflowError:
        return 1


def threads(most):
    """Threads of a job that can use `most`: on one machine at most half of the cores, to leave room for another job."""
    return most if CLUSTER else max(1, min(most, cores() // 2))


def growing(amount):
    """Memory or minutes, multiplied by the number of the attempt: see `retries` in profiles/slurm.

    The first attempt gets about twice what was measured at the paper's size, plus 270 MB for the two Snakemake
    processes that run a cluster job.
    """
    return lambda wildcards, attempt: amount * attempt
