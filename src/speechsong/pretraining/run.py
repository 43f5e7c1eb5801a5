"""A pre-training from recordings to the folder of an encoder.

HuBERT's recipe (Hsu et al. 2021, "HuBERT: self-supervised speech representation learning by masked prediction of hidden
units"): frames are clustered, spans of frames are masked, and the model learns to predict the clusters of the masked
frames. The second iteration does the same, from new initial weights, with clusters of the states of a middle block.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from speechsong import files
from speechsong.corpora.recordings import Recording
from speechsong.encoders.saving import save
from speechsong.logs import log
from speechsong.pretraining import clips, state, targets, train
from speechsong.pretraining.clips import Frames
from speechsong.pretraining.model import Predictor, frames_of
from speechsong.pretraining.settings import Settings

# how often an iteration may hear its audio before that is said: the first one of HuBERT base heard its audio 200 times
MOST_TIMES = 500


def pretrain(
    model: str,
    settings: Settings,
    recordings: list[Recording],
    device: torch.device,
    precision: str,
    file: str | Path,
    depends_on: list,
    folder: str | Path,
) -> None:
    """Pre-train an encoder, and write its three files and the curve.

    On a CPU the same run gives the same bits; a GPU may add numbers in another order.

    Parameters
    ----------
    model
        Its name in the catalogue, for messages.
    settings
    recordings
        Of two speakers or more; those of `exclude_speakers` are not among them.
    device
        What to compute on.
    precision
        What to compute in, as from `devices.precision`.
    file
        Keeps an unfinished training; deleted at the end.
    depends_on
        Whatever else the training depends on. A state with other settings or another `depends_on` is not resumed.
    folder
        Of the encoder: config.json, preprocessor_config.json, model.safetensors and curve.csv.

    Raises
    ------
    UserError
        As `clips.read`, `targets.cluster` and `train.fit`.
    """
    key, file, frames = f"encoders.{model}.pretrain", Path(file), frames_of(settings.layout)
    identity = hashlib.sha256(json.dumps([repr(settings), depends_on]).encode()).hexdigest()
    held_out = clips.hold_out({r.speaker for r in recordings}, settings.seed)
    speakers, samples = zip(*clips.read(recordings, frames, settings.seconds, held_out, key), strict=True)
    counts = np.array([frames.count(len(clip)) for clip in samples])
    validates = np.array([speaker in held_out for speaker in speakers])
    learnt_from = np.flatnonzero(~validates)
    _describe(settings, frames, [len(samples[clip]) for clip in learnt_from], held_out, key)

    def fresh(iteration: int) -> tuple[Predictor, torch.optim.AdamW]:
        predictor = Predictor(settings, settings.seed + iteration - 1).to(device)
        return predictor, train.optimiser_of(predictor)

    def clustered(iteration: int, features) -> list[np.ndarray]:
        rng = np.random.default_rng([settings.seed, iteration, 0])
        return targets.cluster(samples, counts, learnt_from, features, settings.clusters, rng, key)

    saved = state.read(file, identity)
    progress = saved.progress if saved else state.Progress()
    predictor, optimiser = fresh(progress.iteration)
    if saved:
        state.restore(saved, predictor, optimiser)
    answers = saved.targets if saved else clustered(1, targets.spectra(frames))
    while True:
        learnt = train.Clips(samples, answers, learnt_from, np.flatnonzero(validates))
        train.fit(predictor, optimiser, learnt, frames, settings, precision, progress, file, identity, key)
        if progress.iteration == settings.iterations:
            break
        progress.iteration, progress.step = progress.iteration + 1, 0
        answers = clustered(progress.iteration, targets.states(predictor, settings.blocks, frames, settings.seconds))
        predictor, optimiser = fresh(progress.iteration)
    last = progress.curve[-1]
    log.info(
        "masked frames of held-out speakers: %.1f %% predicted rightly; the most frequent cluster has %.1f %%",
        100 * last["held_out_accuracy"],
        100 * last["most_frequent"],
    )
    # the folder is one to take away, with what transformers loads
    files.write_rows(Path(folder) / "curve.csv", progress.curve, seal=False)
    encoder = predictor.encoder.cpu()
    config = encoder.config.to_dict() | {"architectures": [type(encoder).__name__], "dtype": "float32"}
    save(folder, settings.layout, config, {name: value.contiguous() for name, value in encoder.state_dict().items()})
    file.unlink(missing_ok=True)


def _describe(settings: Settings, frames: Frames, lengths: list[int], held_out: set[str], key: str) -> None:
    seconds = sum(lengths) / frames.rate
    times = settings.steps * settings.batch_size * settings.seconds / seconds
    log.info(
        "%d clips, %.1f minutes, of which each iteration hears %.1f times as much; held out: speaker %s",
        len(lengths),
        seconds / 60,
        times,
        ", ".join(sorted(held_out)),
    )
    if times > MOST_TIMES:
        log.warning(
            "warning: %.1f minutes of audio are few for %d steps, which hear them %.0f times; lower `%s.steps`, or "
            "name more `domains`",
            seconds / 60,
            settings.steps,
            times,
            key,
        )
