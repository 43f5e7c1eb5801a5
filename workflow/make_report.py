"""Turn finished results into one HTML file, for `make report`; the argument is the config file of the run, if any."""

import shlex
import subprocess
import sys
from pathlib import Path

import yaml

configfile = sys.argv[1:2]
# as in Snakemake, the second overrides the first
settings = {}
for name in ["config.yaml", *configfile]:
    try:
        settings |= yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        sys.exit(f"{name}: cannot be read as a config file ({' '.join(str(error).split())[:200]}); correct it")
results = str(settings["results"])
# a list of arguments, not a shell command: a folder name may contain any character
options = ["--configfile", *configfile] if configfile else []
snakemake = [str(Path(sys.executable).with_name("snakemake")), "all", "--cores", "1", *options]
page = Path(results, "report.html")
done = Path(results, "summary.html").is_file() and not subprocess.call(
    [*snakemake, "--report", str(page), "--report-stylesheet", "workflow/report/report.css"]
)
if not done:
    again = shlex.join(["snakemake", "--cores", "2", "all", *options])
    sys.exit(f"No report, because the results in {results} are not complete; first run: {again}")
print(f"Report: {page}")
