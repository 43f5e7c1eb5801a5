# GPU, threads and memory, and the settings of a cluster: see profiles/slurm.

import functools

from snakemake.resources import GroupResources

from speechsong.encoders import devices

# what Apple's GPUs cannot do yet is done on the CPU
os.environ.update(PYTORCH_ENABLE_MPS_FALLBACK=os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK", "1"))

SITE = workflow.resource_settings.default_resources or {}


def site(name):
    """The value of a name in the default resources of a cluster profile; "" if no profile sets it."""
    setting = SITE.get(name)
    if setting is None or setting.raw is None:
        return ""
    # Snakemake evaluates it as Python, so the quotes are part of it
    return str(setting.raw).strip("'\"")


# jobs run on other machines; the partition "" is the one that Slurm chooses
CLUSTER = SITE.get("slurm_partition") is not None
# whether jobs request a GPU; with `device: auto`, a job that sees a GPU uses it in any case
GPU = int(
    config["device"].startswith(("cuda", "mps"))
    or (config["device"] == "auto" and (bool(site("gpu_partition")) if CLUSTER else devices.has_gpu()))
)
# resources of every job that uses a GPU
ON_GPU = {"gpu": GPU}
if GPU and CLUSTER:
    ON_GPU |= {"slurm_partition": site("gpu_partition") or site("slurm_partition")}
    if site("gpu_gres"):
        ON_GPU |= {"gpu": 0, "gres": site("gpu_gres")}
    elif "-" in site("gpu_type"):
        # the executor refuses a hyphen in `gpu_model`
        more = f"{site('slurm_extra')} --gpus-per-node={site('gpu_type')}:1".strip()
        ON_GPU |= {"gpu": 0, "slurm_extra": more}
    elif site("gpu_type"):
        ON_GPU |= {"gpu_model": site("gpu_type")}
# two threads of extraction read ahead on a GPU's node; `threads` stays 1, because it decides the order of sums on a CPU
READING = (
    {"cpus_per_task": 3} if GPU and CLUSTER and not site("cpus_per_task") and not site("cpus_per_gpu") else {}
)


def capped(resources_of_group, most):
    """Let a group ask for at most `most` minutes: Snakemake adds up the minutes of its jobs, and caps none."""

    @functools.wraps(resources_of_group)
    def answer(*arguments, **options):
        resources = resources_of_group(*arguments, **options)
        return resources | {"runtime": min(resources.get("runtime", most), most)}

    return answer


if CLUSTER and site("most_minutes"):
    if not site("most_minutes").isdecimal():
        raise WorkflowError(f"profile: most_minutes: {site('most_minutes')} is no whole number of minutes")
    MOST_MINUTES = int(site("most_minutes"))
    # `local`: a limit of each submitted job, and not of all of them together
    workflow.resource_scopes["runtime"] = "local"
    # a Snakemake in an allocation would run at once only jobs whose minutes together stay below this
    if workflow.is_main_process:
        workflow.register_resource("runtime", MOST_MINUTES)
    GroupResources.basic_layered = capped(GroupResources.basic_layered, MOST_MINUTES)


def side_by_side(format_job_exec):
    """Let jobs of a group use all cores of their allocation, as on one machine.

    The helper that the executor starts there would run them one by one, each with a Snakemake of its own
    (snakemake-executor-plugin-slurm, issue 469).
    """

    @functools.wraps(format_job_exec)
    def answer(self, job):
        command = format_job_exec(self, job)
        if not job.is_group():
            return command
        limits = [
            f"{name}={job.resources[name]}" for name in ("gpu", "mem_mb") if name in job.resources.keys()
        ]
        shared = " ".join([f"--cores {job.threads}", *(["--resources"] if limits else []), *limits])
        return command.replace("--executor slurm-jobstep --jobs 1", shared)

    return answer


if CLUSTER:
    from snakemake_executor_plugin_slurm import Executor

    Executor.format_job_exec = side_by_side(Executor.format_job_exec)


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
    processes of a cluster job.
    """
    return lambda wildcards, attempt: amount * attempt
