"""Costs: estimates of memory, and of hours without a GPU. Snakemake needs them early, so nothing heavy is imported."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from speechsong.files import is_file
from speechsong.planning.plan import Run
from speechsong.planning.sources import Source
from speechsong.planning.targets import trained_on

# seconds of an epoch of peft (validation included) per second of audio and block of width 768, on two cores
BLOCK_SECONDS = 0.02
# length of a RAVDESS clip, for recordings that are still to be fetched
CLIP_SECONDS = 4.2


def peft_hours(encoder: dict, folder: str | Path, paths: list[str], share: float) -> float:
    """Estimate the hours of one epoch of peft on two cores.

    Parameters
    ----------
    encoder
        Its entry in the catalogue.
    folder
        Folder of its config.json. Until that is fetched, the width is taken as 768, and the audio of a Whisper as that
        of the clips instead of whole windows.
    paths
        All recordings that the stage has.
    share
        The share of them that train or validate.

    Returns
    -------
    float
        Proportional to seconds of audio, blocks, and the square of the width.
    """
    # Whisper works on whole windows, however short the clip
    whole = "d_model" in _described(folder)
    seconds = len(paths) * encoder["window_seconds"] if whole else sum(map(_seconds, paths))
    wide = encoder["pretrain"]["width"] if "pretrain" in encoder else width(folder)
    return share * seconds * encoder["layers"] * (wide / 768) ** 2 * BLOCK_SECONDS / 3600


def width(folder: str | Path) -> int:
    """Read the width of an encoder; 768 if its config.json is still to be fetched or has no width."""
    described = _described(folder)
    widths = (described.get(key) for key in ("hidden_size", "d_model"))
    return next((w for w in widths if isinstance(w, int) and w > 0), 768)


def peft_without_gpu(config: dict, run: Run, sources: dict[str, Source], stages: list[tuple[str, str]]) -> list[str]:
    """Say how long the peft stages of a run take without a GPU, and how to leave them out.

    Parameters
    ----------
    config
        After `config.check`.
    run
    sources
        The source of each encoder.
    stages
        Encoder and direction of each stage that will run.

    Returns
    -------
    list of str
        One line, or none if it takes less than six minutes.
    """
    hours = 0.0
    share = sum(config["split"]["fractions"][:2])
    for model, direction in stages:
        paths = [r.path for domain in trained_on(config["domains"], direction) for r in run.recordings[domain]]
        epoch = peft_hours(config["encoders"][model], sources[model].folder, paths, share)
        hours += epoch * config["adapt"]["epochs"]
    if hours < 0.1:
        return []
    return [
        f"Without a GPU the {len(stages)} peft stages take about {in_words(hours)} on two cores (an estimate from the "
        "lengths of the clips); `adapt: {approaches: [baseline, ws]}` leaves them out"
    ]


def extraction_megabytes(source: Source | None, clips: int, states: int) -> int:
    """Estimate the memory of an extraction job in MB, about twice what was measured at the paper's size.

    Parameters
    ----------
    source
        The encoder's source; None for log-mel.
    clips, states
        Numbers of clips and hidden states of the job, which keeps one mean per clip and hidden state in memory.
    """
    if source is None:
        return 1500
    means = clips * states * width(source.folder) * 4 / 1e6
    # 3000 includes 400 MB of weights twice: as they are read, and in the model
    return round(3000 + means + 2 * max(0, weights_megabytes(source.folder) - 400))


def weights_megabytes(folder: str | Path) -> float:
    """Return the size of an encoder's weights in MB; 0 before they are fetched."""
    files = [*Path(folder).glob("*.safetensors")] or [*Path(folder).glob("*.bin")]
    return sum(file.stat().st_size for file in files) / 1e6


def in_words(hours: float) -> str:
    """Write a time in whole hours, or in minutes below two hours."""
    return f"{hours:.0f} hours" if hours >= 2 else f"{60 * hours:.0f} minutes"


def _described(folder: str | Path) -> dict:
    # a broken file is reported by the job that loads the encoder
    try:
        described = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}


# every stage asks for the same recordings
@cache
def _seconds(path: str) -> float:
    import soundfile

    # opening a pipe that took the place of a recording would wait for ever
    if not is_file(path):
        return CLIP_SECONDS
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, RuntimeError):
        return CLIP_SECONDS
