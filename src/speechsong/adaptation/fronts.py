"""Fronts: what the frozen part of an encoder before its first block gives, computed once for each clip."""

from __future__ import annotations

import numpy as np
import soundfile
import torch

from speechsong.corpora import audio
from speechsong.encoders import forward
from speechsong.encoders.loading import Encoder
from speechsong.errors import UserError

# windows of one clip: hidden state 0 (T, d) of each, and how many of its frames count
Clip = list[tuple[torch.Tensor, int]]


def averages(clips: list[Clip], longest: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (W, 1, T) of the frames of W windows and (B, W) of the windows of B clips: their mean over frames."""
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
    """The part of the encoder before its first block, clip by clip, kept in memory up to a limit.

    Parameters
    ----------
    encoder : speechsong.Encoder
    paths : list of str
        Recordings.
    limit : float
        Bytes to keep; what is beyond is computed whenever it is asked for.
    """

    def __init__(self, encoder: Encoder, paths: list[str], limit: float) -> None:
        self.encoder, self.paths, self.room = encoder, paths, limit
        self.kept: dict[int, Clip] = {}
        self.lengths: dict[int, float] = {}

    def seconds(self, i: int) -> float:
        """Return how long recording i is, as its header says."""
        if i not in self.lengths:
            try:
                self.lengths[i] = soundfile.info(self.paths[i]).duration
            except (soundfile.LibsndfileError, RuntimeError):
                # raises what a user understands
                self.lengths[i] = len(audio.load(self.paths[i], self.encoder.rate)) / self.encoder.rate
        return self.lengths[i]

    def __getitem__(self, i: int) -> Clip:
        """Return the windows of recording i."""
        if i in self.kept:
            return self.kept[i]
        clip = front(self.encoder, self.paths[i])
        size = sum(state.nbytes for state, _ in clip)
        if size <= self.room:
            self.room -= size
            self.kept[i] = clip
        return clip


@torch.no_grad()
def front(encoder: Encoder, path: str) -> Clip:
    """Read a recording and compute hidden state 0 of its windows.

    Raises
    ------
    UserError
        Where the recording cannot be used.
    """
    samples = audio.load(path, encoder.rate)
    if len(samples) < encoder.least:
        raise UserError(
            f"{path}: {len(samples) / encoder.rate:.4f} s is too short for one frame of `{encoder.name}` "
            f"({encoder.least / encoder.rate:.4f} s); take it out of the corpus"
        )
    return [forward.front(encoder, window) for window in forward.prepare(encoder, samples)]


@torch.no_grad()
def clip_means(encoder: Encoder, clip: Clip, layers: list[int]) -> np.ndarray:
    """Compute the mean (N, d) over a clip's frames of those hidden states of the encoder, as extraction does."""
    states = list(forward.blocks(encoder, [state for state, _ in clip]))
    average, owner = averages([clip], max(len(state) for state, _ in clip), encoder.device)
    return torch.cat([owner @ torch.bmm(average, states[layer])[:, 0] for layer in layers]).cpu().numpy()
