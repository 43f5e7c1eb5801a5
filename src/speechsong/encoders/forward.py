"""Hidden states of batches of clips.

Hidden state i is what transformers calls `hidden_states[i]`: 0 is the input of the first block, i is the output of
block i. The last one is as transformers 5 returns it: in Whisper after the final layer norm, in models with stable
layer norm before it.

Base models normalise over time in their first convolution, so padding a waveform would change every frame. What comes
before the first block (the front) is therefore computed without padding: clip by clip, or of equally long clips at
once. Only the blocks see padded batches, with a mask. The result is what the model gives for each clip alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from torch import nn

from speechsong.corpora import audio
from speechsong.corpora.edits import NONE, Edits
from speechsong.encoders.loading import Encoder
from speechsong.errors import UserError


def read(encoder: Encoder, path: str, edited: Edits = NONE) -> np.ndarray:
    """Read a recording at an encoder's sample rate; `edited` says what of it to keep.

    Returns
    -------
    ndarray (n,), float32
        At least the samples of one frame.

    Raises
    ------
    UserError
        If the recording cannot be used, or is too short for a frame.
    """
    samples = audio.load(path, encoder.rate, edited)
    if len(samples) < encoder.least:
        raise UserError(
            f"{path}: {len(samples) / encoder.rate:.4f} s is too short for one frame of `{encoder.name}` "
            f"({encoder.least / encoder.rate:.4f} s); take it out of the corpus"
        )
    return samples


def prepare(encoder: Encoder, samples: np.ndarray) -> list[np.ndarray]:
    """Normalise a clip with the encoder's own feature extractor, if that works on samples, and cut it into windows.

    Parameters
    ----------
    samples : ndarray (n,), float32
        From `read`.

    Returns
    -------
    list of ndarray (m,), float32
        At most `encoder.window` samples each. A remainder that is too short for a frame is left out.
    """
    if not encoder.kind.reads_spectra:
        samples = encoder.extractor(samples, sampling_rate=encoder.rate, return_tensors="np").input_values[0]
    cuts = range(0, len(samples), encoder.window)
    windows = [samples[start : start + encoder.window] for start in cuts]
    return [w for w in windows if len(w) >= encoder.least]


def front(encoder: Encoder, window: np.ndarray) -> tuple[torch.Tensor, int]:
    """Compute hidden state 0, the input of the first block, for one window.

    Parameters
    ----------
    window : ndarray (m,), float32
        From `prepare`.

    Returns
    -------
    state : Tensor (T, d), float32
    frames : int
        How many of the T frames are not padding. Fewer than T only in families that pad their input themselves.
    """
    return fronts(encoder, [window])[0]


def fronts(encoder: Encoder, windows: list[np.ndarray], *, together: bool = False) -> list[tuple[torch.Tensor, int]]:
    """Compute hidden state 0 of several windows, each as `front` does.

    Parameters
    ----------
    windows : list of ndarray (m,), float32
        From `prepare`, by length.
    together
        Whether to compute neighbours at once that need no padding: those of equal length, and spectra, all of which the
        family pads itself. A GPU idles over one short window; a CPU is no faster with several.
    """
    spectra = encoder.kind.reads_spectra
    found = []
    keys = [0 if spectra else len(window) for window in windows] if together else range(len(windows))
    for _, group in groupby(zip(keys, windows, strict=True), key=itemgetter(0)):
        some = [window for _, window in group]
        states = _of_spectra(encoder, some) if spectra else _of_samples(encoder, some)
        for state, window in zip(states, some, strict=True):
            found.append((state, math.ceil(len(window) / encoder.hop) if spectra else len(state)))
    return found


def _of_spectra(encoder: Encoder, windows: list[np.ndarray]) -> torch.Tensor:
    model = encoder.model
    # the extractor uses torch on the CPU, and would lose digits, too, where the encoder is to
    with torch.autocast("cpu", enabled=False):
        spectra = encoder.extractor(windows, sampling_rate=encoder.rate, return_tensors="pt").input_features
    hidden = nn.functional.gelu(model.conv1(spectra.to(encoder.device)))
    hidden = nn.functional.gelu(model.conv2(hidden)).transpose(1, 2)
    return hidden + model.embed_positions.weight


def _of_samples(encoder: Encoder, windows: list[np.ndarray]) -> torch.Tensor:
    model = encoder.model
    samples = torch.from_numpy(np.stack(windows).astype(np.float32, copy=False)).to(encoder.device)
    hidden = model.feature_extractor(samples).transpose(1, 2)
    hidden = model.feature_projection(hidden)
    if isinstance(hidden, tuple):  # all but HuBERT also return the unprojected features
        hidden = hidden[0]
    # as in the blocks, nothing is added in bfloat16
    hidden = hidden.float()
    hidden = hidden + model.encoder.pos_conv_embed(hidden)
    if not getattr(model.config, "do_stable_layer_norm", False):
        hidden = model.encoder.layer_norm(hidden)
    return hidden


def stack(encoder: Encoder) -> nn.Module:
    """Return the part of the model whose `layers` are the transformer blocks."""
    return encoder.model if encoder.kind.has_decoder else encoder.model.encoder


def blocks(
    encoder: Encoder,
    fronts: list[torch.Tensor],
    after: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[torch.Tensor]:
    """Run the transformer blocks on a batch of fronts of different lengths.

    Parameters
    ----------
    fronts : list of B Tensor (T_i, d)
        From `front`.
    after
        Called with the number (1 to N) and the output (B, T, d) of each block; what it returns is the input of the
        next block.

    Yields
    ------
    Tensor (B, T, d)
        The N + 1 hidden states, one after the other. T is the largest T_i; frames beyond T_i are padding.
    """
    from transformers.masking_utils import create_bidirectional_mask

    hidden = nn.utils.rnn.pad_sequence(fronts, batch_first=True)
    lengths = torch.tensor([len(f) for f in fronts], device=hidden.device)
    mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    body, kind = stack(encoder), encoder.kind
    if not kind.shares_bias:
        mask = create_bidirectional_mask(config=encoder.model.config, inputs_embeds=hidden, attention_mask=mask)
    yield hidden
    position_bias = None
    for layer, block in enumerate(body.layers, start=1):
        if kind.shares_bias:
            hidden, position_bias = block(hidden, attention_mask=mask, position_bias=position_bias)
        else:
            hidden = block(hidden, attention_mask=mask)
        if after is not None:
            hidden = after(layer, hidden)
        yield body.layer_norm(hidden) if kind.ends_in_norm and layer == encoder.layers else hidden
