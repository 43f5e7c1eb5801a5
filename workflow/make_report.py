"""Turn finished results into one HTML file, for `make report`; the argument is the config file of the run, if any."""

import subprocess
import sys
from pathlib import Path

import yaml

configfile = sys.argv[1:2]
results = yaml.safe_load(Path(*configfile or ["config.yaml"]).read_text(encoding="utf-8")).get("results", "results")
# arguments, not a line for a shell: a folder may be called anything
options = ["--configfile", *configfile] if configfile else []
snakemake = [str(Path(sys.executable).with_name("snakemake")), "all", "--cores", "1", *options]
done = Path(results, "summary.html").is_file() and not subprocess.call(
    [*snakemake, "--report", f"{results}/report.html", "--report-stylesheet", "workflow/report/report.css"]
)
if not done:
    again = f"snakemake --cores 2 all{' --configfile ' + configfile[0] if configfile else ''}"
    sys.exit(f"No report, because the results in {results} are not complete; first run: {again}")
print(f"Report: {results}/report.html")
