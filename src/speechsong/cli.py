"""The command `speechsong`: export the LoRA of a checkpoint, and predict the emotions in recordings."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

from speechsong.adaptation.export import export, predict
from speechsong.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="speechsong", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("export", help="write the LoRA part of a peft checkpoint in the format of `peft`")
    one.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file below results/checkpoints")
    one.add_argument("folder", metavar="FOLDER", help="created if missing; for PeftModel.from_pretrained")
    two = commands.add_parser("predict", help="print the probability of each emotion in recordings")
    two.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file below results/checkpoints")
    two.add_argument("audio", metavar="AUDIO", nargs="+", help="WAV, FLAC, Ogg, MP3 or any other format of libsndfile")
    two.add_argument("--json", action="store_true", help="JSON instead of a table")
    two.add_argument("--encoder", metavar="FOLDER", help="the encoder, if it is not where it was at training")
    options = parser.parse_args(arguments)
    try:
        if options.command == "export":
            print(export(options.checkpoint, options.folder))
        else:
            emotions, rows = predict(options.checkpoint, options.audio, options.encoder)
            print(_json(options.audio, emotions, rows) if options.json else _table(options.audio, emotions, rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


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
