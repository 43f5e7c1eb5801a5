"""What the benchmarks have measured, in one table: every figure beside its target."""

import argparse
import json

import pandas as pd

from common import QUICK, RESULTS


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="those of runs with --quick, which judge nothing")
    quick = parser.parse_args().quick
    rows = []
    for path in sorted((QUICK if quick else RESULTS).glob("*.json")):
        for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
            value = figure["value"]
            rows.append(
                {
                    "benchmark": path.stem,
                    "figure": f"{figure['name']}, {figure['kind']}",
                    "value": str(value) if isinstance(value, int) else f"{value:.3g}",
                    "target": f"{figure['sense']} {figure['target']:g}",
                    "result": "not judged" if quick else "met" if figure["met"] else "MISSED",
                }
            )
    if not rows:
        parser.exit(1, "nothing was measured yet: run `make bench` first\n")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
