"""Targets: the cluster of every frame, by k-means on log-mel spectra or on the states of an encoder.

HuBERT (Hsu et al. 2021, section III-A) clusters cepstra with their differences. Log-mel spectra hold the same, and what
the model does not see of a recording's loudness is not in them: they are of the normalised samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.cluster.vq import kmeans2, vq

from speechsong.errors import UserError
from speechsong.pretraining.clips import Frames
from speechsong.pretraining.model import Predictor

BANDS = 40
# power, relative to samples of unit variance
FLOOR = 1e-6
# frames that clusters are formed from, and passes over them
MOST_FRAMES = 100_000
PASSES = 20


def spectra(frames: Frames) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that turns samples (n,) into log-mel frames with their differences, (T, 80) float32.

    A frame is computed from the same samples as the frame of the encoder: one window, as long as the encoder's field.
    """
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(
        frames.rate, n_fft=frames.least, hop_length=frames.hop, n_mels=BANDS, center=False, norm="slaney",
        mel_scale="slaney",
    )  # fmt: skip

    def features(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            levels = mel(torch.from_numpy(samples)).clamp(min=FLOOR).log10()
            return torch.cat([levels, torchaudio.functional.compute_deltas(levels)]).T.numpy()

    return features


def states(model: Predictor, blocks: int, frames: Frames, seconds: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that turns samples (n,) into the states of a model's middle block, (T, d) float32.

    A recording is cut into windows of the length that the model was trained on, without overlap between their frames.
    """
    model.eval()
    step = frames.count(round(seconds * frames.rate))
    device = model.head.weight.device

    def features(samples: np.ndarray) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for first in range(0, frames.count(len(samples)), step):
                window = samples[first * frames.hop :][: frames.samples(step)]
                heard = torch.from_numpy(window)[None].to(device)
                parts.append(model.states(heard, (blocks + 1) // 2)[0].cpu().numpy())
        return np.concatenate(parts)

    return features


def cluster(
    clips: list[np.ndarray],
    counts: np.ndarray,
    learnt_from: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    clusters: int,
    rng: np.random.Generator,
    key: str,
) -> list[np.ndarray]:
    """Form clusters of frames, and give every frame its nearest one.

    k-means (scipy's Lloyd iterations, from frames drawn at random) on at most `MOST_FRAMES` frames, whose features are
    standardised first.

    Parameters
    ----------
    clips : list of ndarray (n,), float32
        Samples.
    counts : ndarray (n,), int
        Frames of each.
    learnt_from : ndarray (m,), int
        The clips from whose frames clusters are formed.
    features
        Turns samples into (T, d), float32.
    clusters
        Their number K.
    rng
        Source of randomness.
    key
        The key of the config that holds the settings, for messages.

    Returns
    -------
    list of ndarray (T,), int64
        The cluster of each frame, 0 to K - 1.

    Raises
    ------
    UserError
        If there are fewer frames than clusters.
    """
    # features are computed twice, because those of all frames may not fit into memory
    share = MOST_FRAMES / counts[learnt_from].sum()
    kept = []
    for clip in learnt_from:
        found = features(clips[clip])
        kept.append(found[rng.random(len(found)) < share])
    sample = np.concatenate(kept).astype(np.float64)
    if len(sample) < clusters:
        raise UserError(
            f"config key `{key}.clusters`: {clusters}, but the recordings have only {len(sample)} frames; lower it"
        )
    mean, scale = sample.mean(axis=0), sample.std(axis=0) + 1e-8
    sample = (sample - mean) / scale
    start = sample[rng.choice(len(sample), clusters, replace=False)]
    with warnings.catch_warnings():
        # of clusters that nothing is nearest to: they stay empty
        warnings.simplefilter("ignore", UserWarning)
        centres, _ = kmeans2(sample, start, iter=PASSES, minit="matrix")
    return [vq((features(clip) - mean) / scale, centres)[0].astype(np.int64) for clip in clips]
