"""The command `speechsong`: compare two folders, export the LoRA of a checkpoint, predict emotions in recordings."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from math import isfinite
from pathlib import Path

import numpy as np

from speechsong import files
from speechsong.adaptation.export import export, predict
from speechsong.errors import UserError
from speechsong.planning import folders


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="speechsong", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("export", help="write the LoRA part of a peft checkpoint in the format of `peft`")
    one.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file below results/checkpoints")
    one.add_argument("folder", metavar="FOLDER", help="created if missing; for PeftModel.from_pretrained")
    one.add_argument("--card", action="store_true", help="also write a model card (README.md), as model hubs read it")
    two = commands.add_parser("predict", help="print the probability of each emotion in recordings")
    two.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file below results/checkpoints")
    two.add_argument("audio", metavar="AUDIO", nargs="+", help="WAV, FLAC, Ogg, MP3 or any other format of libsndfile")
    two.add_argument("--json", action="store_true", help="JSON instead of a table")
    two.add_argument("--encoder", metavar="FOLDER", help="the encoder, if it is not where it was at training")
    three = commands.add_parser("compare", help="measure how far two folders of recordings are from each other")
    three.add_argument("places", metavar="FOLDER", nargs=2, help="FOLDER/label/*.wav, FOLDER/*.wav, or a table as CSV")
    three.add_argument("--encoder", required=True, help="a name in config.yaml, a folder, or owner/name on the hub")
    three.add_argument("--out", metavar="DIR", help="where everything goes; by default compare-... in this folder")
    options = parser.parse_args(arguments)
    try:
        if options.command == "compare":
            compare(options.places, options.encoder, options.out)
        elif options.command == "export":
            print(export(options.checkpoint, options.folder, options.card))
        else:
            emotions, rows = predict(options.checkpoint, options.audio, options.encoder)
            print(_json(options.audio, emotions, rows) if options.json else _table(options.audio, emotions, rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def compare(places: list[str], encoder: str, out: str | None) -> None:
    """Run the workflow on two folders or tables, and print FAD by layer; see `planning.folders.prepare`.

    Raises
    ------
    UserError
        As `prepare`, or if the workflow is not there or stops.
    """
    house = Path(__file__).resolve().parents[2]
    if not (house / "Snakefile").is_file():
        raise UserError(
            f"the workflow is not beside this package, in {house}; clone the repository of speechsong, and install the "
            "package from there with `pip install --editable .`"
        )
    comparison = folders.prepare(places, encoder, out, house)
    for line in comparison.notes:
        print(line, file=sys.stderr)
    table, figure = (str(comparison.results / name) for name in ("tables/fad.csv", "figures/fad.png"))
    command = ["snakemake", "--snakefile", str(house / "Snakefile"), "--cores", "all", "--configfile"]
    command += [str(comparison.config)]
    if _run([sys.executable, "-m", *command, "--", table, figure]) != 0:
        raise UserError("the run stopped for the reason above; mend it, then run the same command again to go on")
    print(_fads(comparison, table))
    print(f"\nEvery number: {table}\nFigure: {figure}\nConfig, to change or to go on with: {comparison.config}")
    print(f"For more, such as the kernel distance: {shlex.join([*command, '--', 'kad'])}")


def _run(command: list[str]) -> int:
    """Run Snakemake; its messages go to stderr, because stdout is for the result."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Snakemake has it too, and ends its jobs
            continue


def _fads(comparison: folders.Comparison, table: str) -> str:
    """Write FAD by layer and label: corrected with its interval where speakers are known, otherwise plain."""
    rows = [row for row in files.read_rows(table) if row["over"] == "layer"]
    labels = list(dict.fromkeys(row["emotion"] for row in rows))
    # all is the same as the only label
    labels = labels[:1] if len(labels) == 2 else labels
    known = all(isfinite(float(row["fad_corrected"])) for row in rows)
    cells = {(row["layer"], row["emotion"]): _fad(row, known) for row in rows}
    lines = [["layer", *labels]]
    lines += [
        [layer, *(cells[layer, label] for label in labels)] for layer in dict.fromkeys(row["layer"] for row in rows)
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    kind = "corrected for the size of the sample, with 95 % intervals over speakers" if known else "without intervals"
    title = f"FAD between {' and '.join(comparison.domains)} in the layers of {comparison.model}, {kind}"
    aligned = ("  ".join(f"{c:>{w}}" for c, w in zip(line, widths, strict=True)) for line in lines)
    return "\n".join([title, "", *aligned])


def _fad(row: dict[str, str], known: bool) -> str:
    if not known:
        return f"{float(row['fad']):.3g}"
    fad, low, high = (
        f"{float(row[name]):.3g}" for name in ("fad_corrected", "fad_corrected_low", "fad_corrected_high")
    )
    return f"{fad} [{low}, {high}]"


def _json(audio: list[str], emotions: list[str], rows: np.ndarray) -> str:
    entries = [
        {"file": path, "probabilities": {e: round(float(p), 6) for e, p in zip(emotions, row, strict=True)}}
        for path, row in zip(audio, rows, strict=True)
    ]
    return json.dumps(entries, indent=2)


def _table(audio: list[str], emotions: list[str], rows: np.ndarray) -> str:
    width = max(map(len, ["file", *audio]))
    lines = ["  ".join([f"{'file':<{width}}", *(f"{e:>8}" for e in emotions)])]
    for path, row in zip(audio, rows, strict=True):
        cells = (f"{p:>{max(8, len(e))}.3f}" for e, p in zip(emotions, row, strict=True))
        lines.append("  ".join([f"{path:<{width}}", *cells]))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
