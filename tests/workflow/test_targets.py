"""What users type: single targets, the graph, and plans of the paper's experiment."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def jobs(plan: str) -> dict[str, int]:
    """Rule names and counts of a dry run."""
    table = plan.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}


def test_the_paper_from_an_empty_folder(run):
    plan = run.snakemake("-n", "all")
    assert plan.returncode == 0, plan.stderr
    found = jobs(plan.stdout + plan.stderr)
    assert found["fetch_ravdess"] == 1
    assert found["fetch_encoder"] == 3
    assert found["extract_w2v2"] == found["extract_hubert"] == found["extract_mert"] == 12
    assert found["probe"] == 3 * 2 * 13
    assert found["measure_fad"] == 3 * 13
    assert found["measure_pairs"] == 3 * 13
    assert found["correct_pairs"] == 3
    assert found["measure_kad"] == 3
    assert found["split"] == 10


def test_the_groups_of_the_slurm_profile_can_be_planned(run):
    # Snakemake refuses a group that a job outside it interrupts, but only for a profile that has groups
    plan = run.snakemake("-n", "all", "--profile", "slurm")
    assert plan.returncode == 0, plan.stderr
    assert {"gather_tasks", "extract_mert"} <= set(jobs(plan.stdout + plan.stderr))


def test_a_single_table_plans_its_own_encoder_only(run):
    plan = run.snakemake("-n", "results/fad/mert.csv")
    found = jobs(plan.stdout + plan.stderr)
    assert found == {
        "fetch_ravdess": 1,
        "fetch_encoder": 1,
        "extract_mert": 12,
        "measure_fad": 13,
        "gather_fad": 1,
        "total": 28,
    }


def test_targets_by_name(run):
    rules = {
        **{"embeddings": "extract_w2v2", "probes": "probe", "fad": "measure_fad", "kad": "measure_kad"},
        **{"figures": "plot_fad", "tables": "rank_fad"},
    }
    rules |= {"results/fad/mert/pairs.csv": "correct_pairs", "results/figures/fad_pairs.svg": "plot_fad_pairs"}
    plan = run.snakemake("-n", *rules)
    assert plan.returncode == 0, plan.stderr
    found = jobs(plan.stdout + plan.stderr)
    assert {*(name for name in rules if "/" not in name), *rules.values()} <= set(found)


def test_the_graph_can_be_drawn(run):
    config = yaml.safe_load((ROOT / "demo.yaml").read_text())
    for option in ("--dag", "--rulegraph"):
        graph = run.snakemake("all", option, config=config)
        assert graph.returncode == 0, graph.stderr
        assert graph.stdout.startswith("digraph")
        assert "extract_mert" in graph.stdout


def test_config_on_the_command_line(run):
    plan = run.snakemake("-n", "fad", "--config", "models=[mert]", "device=cpu")
    assert plan.returncode == 0, plan.stderr
    found = jobs(plan.stdout + plan.stderr)
    assert "extract_mert" in found
    assert "extract_w2v2" not in found


def test_the_real_recordings_plan_no_download(shared, run):
    config = yaml.safe_load((ROOT / "tests/real.yaml").read_text())
    for corpus in config["corpora"].values():
        corpus["root"] = str(shared / "data/ravdess-24k")
    config["encoders"]["whisper"]["checkpoint"] = str(shared / "models/whisper-tiny-en")
    plan = run.snakemake("-n", "all", config=config)
    found = jobs(plan.stdout + plan.stderr)
    assert found["extract_whisper"] == 12
    assert not {"fetch_ravdess", "fetch_encoder"} & set(found)


def test_a_corrected_line_of_a_table_redoes_what_depends_on_it(run):
    from speechsong.demo import voices

    lines = ["path,emotion,speaker"]
    for name in voices.recordings("speech"):
        emotion, actor = name.split("-")[-5], name.split("-")[-1][:2]
        if emotion in ("02", "03") and actor in ("01", "02"):
            voices.write_voice(run.folder / "own", name)
            lines.append(f"own/{name},{ {'02': 'calm', '03': 'happy'}[emotion] },{actor}")
    table = run.folder / "own.csv"
    table.write_text("\n".join(lines) + "\n")
    own = {"reader": "table", "table": "own.csv"}
    config = {"corpora": {"a": own, "b": own}, "domains": ["a", "b"], "emotions": ["calm", "happy"]}
    target = "results/clips/a.csv"
    assert run.snakemake(target, config=config).returncode == 0
    assert "Nothing to be done" in run.snakemake(target, config=config).stderr
    # the same people, the same files: one clip is somebody else's
    table.write_text("\n".join([lines[0], lines[1][:-2] + "02", *lines[2:]]) + "\n")
    again = run.snakemake(target, config=config)
    assert again.returncode == 0, again.stderr
    assert (run.folder / target).read_text().splitlines()[1].split(",")[4] == "02"


def test_the_controlled_pair(run, shared):
    config = yaml.safe_load((ROOT / "tests/pair.yaml").read_text())
    for corpus in config["corpora"].values():
        corpus["root"] = str(shared / "data/ravdess-24k")
    plan = run.snakemake("-n", "all", config=config)
    assert plan.returncode == 0, plan.stderr
    found = jobs(plan.stdout + plan.stderr)
    # nobody who is tested was heard
    assert "is pre-trained on" not in plan.stdout + plan.stderr
    assert found["pretrain"] == 2
    assert found["probe"] == 3 * 2 * 5
    assert found["measure_fad"] == 3 * 5
