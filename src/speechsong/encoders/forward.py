"""Hidden states for batches of clips.

A hidden state is what transformers calls `hidden_states[i]`: 0 is the input of the first block, i the output of
block i. The last is the one that transformers 5 returns: in Whisper after the final layer norm, in stable-layer-norm
models before it. The base models normalise over time in their first convolution, so padding a waveform changes every
frame. Everything before the first block (the front) is therefore computed clip by clip, unpadded; only the blocks see
padded batches, with a mask. Both together give what the model gives for each clip alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from speechsong.encoders.loading import Encoder


def prepare(encoder: Encoder, samples: np.ndarray) -> list[np.ndarray]:
    """Normalise a clip with the encoder's own feature extractor, then cut it into windows.

    Parameters
    ----------
    samples : ndarray (n,), float32
        A clip at the encoder's sample rate, at least `encoder.least` samples long.

    Returns
    -------
    list of ndarray
        Windows (m,) of samples, each at most `encoder.window` long. A rest too short for a frame is left out.
    """
    if encoder.family != "whisper":
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
    state : Tensor (T, d)
    frames : int
        How many of the T belong to the window; fewer than T only in Whisper, which pads its input itself.
    """
    model = encoder.model
    if encoder.family == "whisper":
        mel = encoder.extractor(window, sampling_rate=encoder.rate, return_tensors="pt").input_features
        hidden = nn.functional.gelu(model.conv1(mel.to(encoder.device)))
        hidden = nn.functional.gelu(model.conv2(hidden)).transpose(1, 2)
        return (hidden + model.embed_positions.weight)[0], math.ceil(len(window) / encoder.hop)
    samples = torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32)).to(encoder.device)
    hidden = model.feature_extractor(samples[None]).transpose(1, 2)
    hidden = model.feature_projection(hidden)
    if isinstance(hidden, tuple):  # all but HuBERT also return the unprojected features
        hidden = hidden[0]
    hidden = hidden + model.encoder.pos_conv_embed(hidden)
    if not getattr(model.config, "do_stable_layer_norm", False):
        hidden = model.encoder.layer_norm(hidden)
    return hidden[0], hidden.shape[1]


def stack(encoder: Encoder) -> nn.Module:
    """Return the part of the model that holds `layers`, its transformer blocks."""
    return encoder.model if encoder.family == "whisper" else encoder.model.encoder


def blocks(
    encoder: Encoder,
    fronts: list[torch.Tensor],
    after: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[torch.Tensor]:
    """Run the transformer blocks on a batch of fronts of different lengths.

    Parameters
    ----------
    fronts : list of Tensor (T_i, d)
        From `front`.
    after
        What is done to the output (B, T, d) of block 1 to N before the next block has it, given the block's number.

    Yields
    ------
    Tensor (B, T, d)
        The N + 1 hidden states, one after the other, padded to the longest; what lies beyond T_i has no meaning.
    """
    from transformers.masking_utils import create_bidirectional_mask

    hidden = nn.utils.rnn.pad_sequence(fronts, batch_first=True)
    lengths = torch.tensor([len(f) for f in fronts], device=hidden.device)
    mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    body = stack(encoder)
    wavlm = encoder.family == "wavlm"
    if not wavlm:
        mask = create_bidirectional_mask(config=encoder.model.config, inputs_embeds=hidden, attention_mask=mask)
    yield hidden
    position_bias = None
    for layer, block in enumerate(body.layers, start=1):
        if wavlm:
            hidden, position_bias = block(hidden, attention_mask=mask, position_bias=position_bias)
        else:
            hidden = block(hidden, attention_mask=mask)
        if after is not None:
            hidden = after(layer, hidden)
        last = encoder.family == "whisper" and layer == encoder.layers
        yield body.layer_norm(hidden) if last else hidden
