# GPU, threads, memory and what a site sets: see profiles/slurm.

import shutil
import subprocess

SITE = workflow.resource_settings.default_resources or {}


def site(name):
    """What a cluster's profile sets under a name in its default resources; "" without such a profile."""
    setting = SITE.get(name)
    # Snakemake takes it for Python: the quotes are part of it
    return str(setting.raw).strip("'\"") if setting is not None else ""


def has_gpu():
    """Whether this machine has a GPU. The program that tells may be there without one, as in a container."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listed = subprocess.run([program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return any(line.startswith("GPU ") for line in listed.stdout.splitlines())


# jobs run on other machines; the partition may be "", the one that Slurm chooses
CLUSTER = SITE.get("slurm_partition") is not None
# what a job asks for does not depend on what it finds: `device: auto` is the GPU in a job that sees one
GPU = int(
    config["device"].startswith("cuda")
    or (config["device"] == "auto" and (bool(site("gpu_partition")) if CLUSTER else has_gpu()))
)
# of every job that uses a GPU
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
    """Threads of a job that can use `most`: on one machine at most half of the cores, to leave room for a second job."""
    return most if CLUSTER else max(1, min(most, cores() // 2))


def growing(amount):
    """Memory or minutes, as much again with each attempt: see `retries` of profiles/slurm.

    The first attempt has about twice what was measured at the paper's size, and 270 MB for the two Snakemakes that a
    job of a cluster runs in.
    """
    return lambda wildcards, attempt: amount * attempt
