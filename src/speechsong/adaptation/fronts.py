"""Fronts: the output of the frozen part of an encoder before its first block, computed once for each clip."""

from __future__ import annotations

import numpy as np
import torch

from speechsong.corpora import audio
from speechsong.corpora.edits import NONE, Edits
from speechsong.encoders import forward
from speechsong.encoders.loading import Encoder

# the windows of one clip: hidden state 0 (T, d) of each, and how many of its frames are not padding
Clip = list[tuple[torch.Tensor, int]]


def averages(clips: list[Clip], longest: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Make weights that average the frames of each clip.

    Parameters
    ----------
    clips
        B clips, with W windows in all.
    longest
        T, the number of frames of the longest window.
    device
        Where to put the weights.

    Returns
    -------
    average : Tensor (W, 1, T), float32
        Weights of the frames of each window, which add up to 1 over a clip.
    owner : Tensor (B, W), float32
        1 where a window belongs to a clip, otherwise 0.
    """
    average = torch.zeros(sum(map(len, clips)), 1, longest)
    owner = torch.zeros(len(clips), len(average))
    row = 0
    for i, clip in enumerate(clips):
        total = sum(frames for _, frames in clip)
        for _, frames in clip:
            average[row, 0, :frames] = 1 / total
            owner[i, row] = 1
            row += 1
    return average.to(device), owner.to(device)


class Fronts:
    """The fronts of recordings, kept in memory up to a limit.

    Parameters
    ----------
    encoder
        It computes them.
    paths
        Paths of the recordings.
    limit
        How many bytes to keep. Fronts that do not fit are computed anew at every use.
    edits
        What of each recording to keep; None for all of all.
    """

    def __init__(self, encoder: Encoder, paths: list[str], limit: float, edits: list[Edits] | None = None) -> None:
        self.encoder, self.paths, self.room = encoder, paths, limit
        self.edits = edits or [NONE] * len(paths)
        self.kept: dict[int, Clip] = {}
        self.lengths: dict[int, float] = {}

    def seconds(self, i: int) -> float:
        """Return the length of recording i in seconds, as `audio.seconds`."""
        if i not in self.lengths:
            self.lengths[i] = audio.seconds(self.paths[i], self.edits[i])
        return self.lengths[i]

    def __getitem__(self, i: int) -> Clip:
        """Return the front of each window of recording i."""
        if i in self.kept:
            return self.kept[i]
        clip = front(self.encoder, self.paths[i], self.edits[i])
        size = sum(state.nbytes for state, _ in clip)
        if size <= self.room:
            self.room -= size
            self.kept[i] = clip
        return clip


@torch.no_grad()
def front(encoder: Encoder, path: str, edited: Edits = NONE) -> Clip:
    """Read a recording, of which `edited` says what to keep, and compute the front of each of its windows.

    Raises
    ------
    UserError
        If the recording cannot be used, or is too short for a frame.
    """
    samples = forward.read(encoder, path, edited)
    return [forward.front(encoder, window) for window in forward.prepare(encoder, samples)]


@torch.no_grad()
def clip_means(encoder: Encoder, clip: Clip, layers: list[int]) -> np.ndarray:
    """Compute the means (N, d), float32, of N hidden states over a clip's frames, as extraction does."""
    states = list(forward.blocks(encoder, [state for state, _ in clip]))
    average, owner = averages([clip], max(len(state) for state, _ in clip), encoder.device)
    return torch.cat([owner @ torch.bmm(average, states[layer])[:, 0] for layer in layers]).cpu().numpy()
