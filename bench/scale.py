"""Planning large runs and a finished run: time, memory and jobs of `snakemake -n all`."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from common import ROOT, Report, parse, scratch
from speechsong import files
from speechsong.corpora.zenodo import ravdess_recordings
from speechsong.encoders.hub import hub_folder

CONFIG: dict = {
    "domains": ["a", "b"],
    "speakers": "independent",
    "device": "cpu",
    "adapt": {"approaches": ["baseline"], "protocols": ["random"], "seeds": [0]},
}
# encoders, layers, emotions, recordings of each of the two corpora
SIZES = [(1, 12, 6, 1_000), (3, 12, 6, 1_000), (3, 12, 6, 10_000), (20, 25, 10, 10_000), (20, 25, 10, 100_000)]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many of the sizes, from the smallest")
    options = parse(parser, sizes=1)
    report = Report(
        "scale",
        "`snakemake -n all` from nothing: processor seconds, memory and jobs; and of the paper's config, finished",
        "the time per file at the second largest size",
        options.quick,
    )
    per_file = []
    with scratch() as folder:
        for size in SIZES[: options.sizes]:
            seconds, wall, megabytes, jobs, count = plan(folder, *size)
            name = "{} encoders x {} layers x {} emotions x 2 corpora of {:,}".format(*size)
            report.note(
                f"{name}: {seconds:.1f} s ({wall:.1f} s of wall time), {megabytes:.0f} MB, {jobs:,} jobs, "
                f"{count:,} files"
            )
            report.figure(name, "ms a file", 1000 * seconds / count, "<", 1.5)
            per_file.append(seconds / count)
            report.seconds[name] = {"processor": seconds, "wall": wall}
        if len(per_file) > 1:
            report.figure("growth: a file at the largest size", "ratio", per_file[-1] / per_file[-2], "<=", 1.2)
        report.seconds["no-op"] = no_op(folder / "paper", 1 if options.quick else 3)
        report.figure("no-op of the paper's config", "s", min(report.seconds["no-op"]), "<", 3)
    report.facts |= {"python": sys.version.split()[0]}
    report.write()


def plan(folder: Path, encoders: int, layers: int, emotions: int, recordings: int) -> tuple:
    """Plan a run; return processor seconds, wall seconds, peak memory in MB, and the numbers of jobs and files."""
    names = [f"e{i}" for i in range(emotions)]
    config = CONFIG | {"results": str(folder / "results"), "emotions": names, "corpora": {}}
    for domain in config["domains"]:
        table = folder / f"{domain}-{recordings}.csv"
        rows = [
            {"path": f"{domain}/{i // 1000}/{i}.wav", "emotion": names[i % emotions], "speaker": f"s{i % 997}"}
            for i in range(recordings)
        ]
        files.write_rows(table, rows)
        for row in rows:
            path = folder / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        config["corpora"][domain] = {"reader": "table", "table": str(table)}
    config["models"] = [f"m{i}" for i in range(encoders)]
    config["encoders"] = {}
    for model in config["models"]:
        checkpoint = folder / "encoders" / model
        checkpoint.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            (checkpoint / name).write_text(json.dumps({"hidden_size": 1024}))
        config["encoders"][model] = {"checkpoint": str(checkpoint), "layers": layers - 1, "window_seconds": 30}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    start = time.perf_counter()
    text = snakemake("-n", "--quiet", "rules", "all", "--configfile", str(folder / "config.yaml"))
    wall = time.perf_counter() - start
    jobs = int(next(line.split()[1] for line in text.splitlines() if line.startswith("total ")))
    measured = next(line.split()[1:] for line in text.splitlines() if line.startswith("MEASURED "))
    seconds, megabytes = map(float, measured)
    tuples = encoders * layers * emotions * len(config["domains"])
    return seconds, wall, megabytes, jobs, tuples + recordings * len(config["domains"])


def no_op(folder: Path, rounds: int) -> list[float]:
    """Return the wall seconds of planning the paper's experiment when it is finished, with empty files as results."""
    for channel in ("speech", "song"):
        for name in ravdess_recordings(channel):
            path = folder / "data/ravdess" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for encoder in yaml.safe_load((ROOT / "config.yaml").read_text())["encoders"].values():
        if "revision" in encoder:
            place = hub_folder(folder / "data/encoders", encoder["checkpoint"], encoder["revision"])
            place.mkdir(parents=True, exist_ok=True)
            (place / "config.json").write_text("{}")
    here = ["all", "--directory", str(folder)]
    outputs = [
        line.split("\t")[0] for line in snakemake("--summary", *here).splitlines() if line.startswith("results/")
    ]
    for output in outputs:
        (folder / output).parent.mkdir(parents=True, exist_ok=True)
        (folder / output).touch()
    # the end of a run reads this one
    (folder / "results/tables/recordings.csv").write_text("domain,emotion,differs\n")
    # record the settings and the code of every file, as a run does
    snakemake("--touch", *here)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        text = snakemake("-n", *here)
        seconds.append(time.perf_counter() - start)
        if "Nothing to be done" not in text:
            raise SystemExit(text[-3000:])
    return seconds


def snakemake(*arguments: str) -> str:
    """Run Snakemake in a process of its own; return what it prints."""
    command = [sys.executable, "-c", MEASURED, *arguments, "--cores", "2"]
    path = {"PYTHONPATH": str(ROOT / "bench")}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | path, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return done.stdout + done.stderr


# Snakemake in a process of its own, which prints its processor seconds and peak memory at the end
MEASURED = """
import time
from common import peak_megabytes
from snakemake.cli import main
try:
    main()
finally:
    print("MEASURED", time.process_time(), peak_megabytes())
"""


if __name__ == "__main__":
    main()
