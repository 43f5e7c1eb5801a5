"""The plan of large runs: time, memory and jobs of `snakemake -n all`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import yaml
from common import ROOT, Report, scratch

from speechsong import files

CONFIG = {
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
    options = parser.parse_args()
    report = Report(
        "scale",
        "`snakemake -n all` from nothing: processor seconds, memory and jobs",
        "none; what counts is that the time for a file stays as it is",
    )
    per_file = []
    with scratch() as folder:
        for size in SIZES[: options.sizes]:
            seconds, megabytes, jobs, count = plan(folder, *size)
            name = "{} encoders x {} layers x {} emotions x 2 corpora of {:,}".format(*size)
            report.note(f"{name}: {seconds:.1f} s, {megabytes:.0f} MB, {jobs:,} jobs, {count:,} files")
            report.figure(name, "ms a file", 1000 * seconds / count, "<", 1.5)
            per_file.append(seconds / count)
            report.seconds[name] = seconds
    report.facts |= {"python": sys.version.split()[0]}
    report.write()


def plan(folder: Path, encoders: int, layers: int, emotions: int, recordings: int) -> tuple[float, float, int, int]:
    """Plan a run; return processor seconds, peak memory in MB, jobs, and files that the plan is about."""
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
    command = [sys.executable, "-c", MEASURED, "-n", "--quiet", "rules", "all", "--cores", "2"]
    command += ["--configfile", str(folder / "config.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    text = done.stdout + done.stderr
    jobs = int(next(line.split()[1] for line in text.splitlines() if line.startswith("total ")))
    measured = next(line.split()[1:] for line in text.splitlines() if line.startswith("MEASURED "))
    seconds, megabytes = map(float, measured)
    tuples = encoders * layers * emotions * len(config["domains"])
    return seconds, megabytes, jobs, tuples + recordings * len(config["domains"])


# Snakemake in a process of its own, which says at the end how much memory it took
MEASURED = f"""
import sys, time
sys.path.insert(0, {str(ROOT / "bench")!r})
from common import peak_megabytes
from snakemake.cli import main
try:
    main()
finally:
    print("MEASURED", time.process_time(), peak_megabytes())
"""


if __name__ == "__main__":
    main()
