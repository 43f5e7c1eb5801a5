"""The model: an encoder, and a linear layer that predicts the cluster of each masked frame."""

from __future__ import annotations

import math

import torch
from torch import nn

from speechsong.encoders.saving import RATES
from speechsong.pretraining.clips import Frames
from speechsong.pretraining.settings import Settings

# the convolutions of the published base models: kernels and strides
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
HEAD_WIDTH = 32


def frames_of(layout: str) -> Frames:
    """Say how samples become frames in a layout: every 320 samples, each from 400."""
    least = 1
    for kernel, stride in zip(reversed(_KERNELS), reversed(_STRIDES), strict=True):
        least = (least - 1) * stride + kernel
    return Frames(RATES[layout], math.prod(_STRIDES), least)


class Predictor(nn.Module):
    """An encoder with a linear head.

    Nothing is dropped out: the models and the corpora are small, and a resumed run needs no more random numbers than
    its steps.

    Parameters
    ----------
    settings
        Layout, size and number of clusters.
    seed
        Of the initial weights, which transformers draws.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        super().__init__()
        # imported here, because it takes seconds
        from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

        kinds = (Wav2Vec2Config, Wav2Vec2Model) if settings.layout == "wav2vec2" else (HubertConfig, HubertModel)
        config = kinds[0](
            hidden_size=settings.width,
            num_hidden_layers=settings.blocks,
            num_attention_heads=settings.width // HEAD_WIDTH,
            intermediate_size=4 * settings.width,
            conv_dim=(settings.width // 2,) * len(_KERNELS),
            conv_kernel=_KERNELS,
            conv_stride=_STRIDES,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            feat_proj_dropout=0.0,
            layerdrop=0.0,
        )
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed, which would also seed a GPU for good
            torch.default_generator.manual_seed(seed)
            self.encoder = kinds[1](config)
            self.head = nn.Linear(settings.width, settings.clusters)
        # blocks add to their input: in float32, so that no sum is rounded to bfloat16
        self.encoder.encoder.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))

    def forward(self, samples: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Compute logits (M, K) of the masked frames, in their order, of crops (B, n); `masked` is (B, T), bool."""
        return self.head(self.encoder(samples, mask_time_indices=masked).last_hidden_state[masked])

    def states(self, samples: torch.Tensor, layer: int) -> torch.Tensor:
        """Compute a hidden state, (B, T, d), of crops (B, n), without a mask. Only in evaluation mode."""
        assert not self.training
        return self.encoder(samples, output_hidden_states=True).hidden_states[layer]
