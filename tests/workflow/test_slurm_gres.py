"""`--profile slurm` on a Slurm that knows `--gres` and no `--gpus`."""

from __future__ import annotations

import pytest
import yaml

from common import ROOT, site
from slurm_cluster import WITH_GRES, Cluster, missing

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(absent, tmp_path_factory):
    if lacking := missing():
        absent(f"{', '.join(lacking)} (for the tests of Slurm; Debian: apt-get install slurm-wlm munge, as root)")
    with Cluster(tmp_path_factory.mktemp("gres"), WITH_GRES) as cluster:
        yield cluster


def test_a_gpu_is_asked_for_as_the_site_knows_it(cluster, run):
    profile = site(run.folder / "site", gpu_gres="gpu:pretend:1")
    config = yaml.safe_load((ROOT / "demo.yaml").read_text()) | {"models": ["mert"]}
    often = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
    target = "results/demo/embeddings/mert/speech/layer00/calm.h5"
    done = run.snakemake(target, "--profile", str(profile), *often, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run.folder / target).is_file()
    (job,) = cluster.jobs(run.folder)
    assert (job["Partition"], job["TresPerNode"]) == ("gpu", "gres:gpu:pretend:1")
    # torch sees no GPU here, and the job says that it asked for one
    log = run.folder / "results/demo/logs/embeddings/mert/speech/calm.log"
    assert "the job asked for a GPU" in log.read_text()
