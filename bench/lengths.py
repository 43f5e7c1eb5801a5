"""Do encoders hear how long a clip is? FAD between the same takes, repeated to two lengths, by layer."""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from common import SHARED, WHISPER, Report, parse, scratch, write_base_encoder
from speechsong.corpora import audio
from speechsong.demo.voices import recordings, write_voice
from speechsong.distances.fad import frechet
from speechsong.embeddings.moments import Moments, of_frames
from speechsong.encoders import forward, loading

SHORT, LONG = 2.0, 4.5  # seconds


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=48, help="takes to repeat (default 48)")
    parser.add_argument("--whisper", type=Path, default=WHISPER, help="folder of a Whisper encoder")
    options = parse(parser, clips=4)
    report = Report(
        "lengths",
        f"{options.clips} takes of song, repeated to {SHORT} and to {LONG} s",
        "two halves of the takes, both repeated to the shorter length",
        options.quick,
    )
    with scratch() as folder:
        takes = find_takes(folder, options.clips)
        write_base_encoder(folder / "wav2vec2", options.quick)
        encoders = {"wav2vec2-base, random weights": (folder / "wav2vec2", 30.0)}
        if options.whisper.is_dir():
            encoders["whisper"] = (options.whisper, 8.0)
        for name, (place, window) in encoders.items():
            encoder = loading.load(place, name=name, layers=None, window_seconds=window, device="cpu")
            short, long = (statistics(encoder, takes, seconds) for seconds in (SHORT, LONG))
            halves = [statistics(encoder, takes[i::2], SHORT) for i in (0, 1)]
            for layer in range(encoder.layers + 1):
                moved = frechet(short[layer], long[layer]).fad
                usual = frechet(halves[0][layer], halves[1][layer]).fad
                report.note(f"{name}, layer {layer}: {moved:.3g} between lengths, {usual:.3g} between halves")
                report.seconds[f"{name}, layer {layer}"] = [moved, usual]
    report.write()


def find_takes(folder: Path, count: int) -> list[Path]:
    """List takes of song: of RAVDESS where it lies beside the repository, else of synthetic voices."""
    if SHARED.is_dir():
        return sorted(SHARED.rglob("03-02-*.*"))[:: max(1, 1012 // count)][:count]
    for name in islice(recordings("song"), count):
        write_voice(folder, name)
    return sorted(folder.rglob("03-02-*.wav"))


def statistics(encoder: loading.Encoder, takes: list[Path], seconds: float) -> list[Moments]:
    """Compute the moments of every hidden state of takes that are repeated until they are as long as asked."""
    length = round(seconds * encoder.rate)
    frames: list[list[np.ndarray]] = [[] for _ in range(encoder.layers + 1)]
    with torch.inference_mode():
        for take in takes:
            samples = np.resize(audio.load(take, encoder.rate), length)
            fronts, counts = zip(*(forward.front(encoder, w) for w in forward.prepare(encoder, samples)), strict=True)
            for state, padded in enumerate(forward.blocks(encoder, list(fronts))):
                frames[state] += [one[:count].numpy() for one, count in zip(padded, counts, strict=True)]
    return [of_frames(np.concatenate(some)) for some in frames]


if __name__ == "__main__":
    main()
