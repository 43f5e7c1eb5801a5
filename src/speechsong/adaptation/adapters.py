"""A frozen encoder with small trained parts: LoRA, bottleneck adapters, weighting gates, layer weights, a linear head.

In every block: low-rank updates of the attention's projections (LoRA; Hu et al. 2022, by Hugging Face's `peft`), then,
on the block's output, a bottleneck adapter (Houlsby et al. 2019) and a gate, one factor for each channel. The next block
sees what they give. Layers are weighted by a softmax and averaged over a clip's frames; a linear classifier follows.
Nothing before the first adapter depends on what is trained, so that part (`forward.front`) is computed once for each
clip and kept."""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from speechsong.adaptation.fronts import Clip, averages
from speechsong.encoders import forward
from speechsong.encoders.loading import Encoder


@dataclass(frozen=True)
class Settings:
    """What is trained beside the encoder; names as in the config's `adapt`.

    Attributes
    ----------
    rank : int
    alpha : float
        Of LoRA: its updates are B A alpha / rank.
    targets : tuple of str
        Projections with LoRA: q, k, v, out.
    width : int
        Of the bottleneck.
    gate : str
        "sigmoid": sigmoid(w) with w = 1 at the start; "identity": 2 sigmoid(w) with w = 0 at the start.
    layers : tuple of int
        Hidden states that are weighted, from 1, in order.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    width: int
    gate: str
    layers: tuple[int, ...]


def lora_config(settings: Settings) -> LoraConfig:
    """Describe the LoRA to `peft`: every block up to the last state that is weighted."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=[f"{target}_proj" for target in settings.targets],
        layers_to_transform=list(range(settings.layers[-1])),
        layers_pattern="layers",
    )


class Bottleneck(nn.Module):
    """Down to `width`, ReLU, up again, added to the input; at the start it changes nothing."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(size, width)
        self.up = nn.Linear(width, size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Adapt hidden states (..., size)."""
        return hidden + self.up(torch.relu(self.down(hidden)))


class Adapted(nn.Module):
    """An encoder with its adapters and its head. LoRA is put into the given encoder's own model.

    Parameters
    ----------
    encoder : speechsong.Encoder
        Freshly loaded.
    settings
        Of the adapters.
    classes
        C.
    seed
        Of the weights' start.
    """

    def __init__(self, encoder: Encoder, settings: Settings, classes: int, seed: int) -> None:
        super().__init__()
        self.source = encoder
        self.layers = settings.layers
        # no block is run beyond the last state that counts
        blocks = self.layers[-1]
        self.identity = settings.gate == "identity"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = inject_adapter_in_model(lora_config(settings), encoder.model)
            self.bottleneck = nn.ModuleList(Bottleneck(encoder.width, settings.width) for _ in range(blocks))
            first = 0.0 if self.identity else 1.0
            self.gate = nn.ParameterList(nn.Parameter(torch.full((encoder.width,), first)) for _ in range(blocks))
            self.layer_weights = nn.Parameter(torch.zeros(len(self.layers)))
            self.head = nn.Linear(encoder.width, classes)
        for module in self.encoder.modules():
            if isinstance(module, LoraLayer):
                # autocast chooses the precision; a cast before it would only cost
                module.cast_input_dtype_enabled = False
        if encoder.family == "wavlm":
            for block in forward.stack(encoder).layers:
                block.attention.torch_multi_head_self_attention = MethodType(_wavlm_attention, block.attention)
        self.to(encoder.device)
        self.train()

    def train(self, mode: bool = True) -> Adapted:
        """Set the mode of the trained parts; the frozen encoder never drops or masks anything."""
        super().train(mode)
        self.encoder.eval()
        return self

    def trained(self) -> dict[str, nn.Parameter]:
        """Name the parameters that are trained; the names start with one of `checkpoints.PARTS`."""
        named = {}
        for name, parameter in self.named_parameters():
            if not name.startswith("encoder."):
                named[name] = parameter
            elif ".lora_" in name:
                named["lora." + name.removeprefix("encoder.").replace(".default", "")] = parameter
        return {name: named[name] for name in sorted(named)}

    def forward(self, clips: list[Clip]) -> torch.Tensor:
        """Compute the logits (B, C) of B clips given as their windows' fronts."""
        windows = [window for clip in clips for window in clip]
        fronts = [state for state, _ in windows]
        average, owner = averages(clips, max(map(len, fronts)), fronts[0].device)
        states = []
        for layer, hidden in enumerate(forward.blocks(self.source, fronts, self._after)):
            if layer in self.layers:
                # averaging commutes with weighting layers; sums over frames stay in float32
                with torch.autocast(hidden.device.type, enabled=False):
                    states.append(owner @ torch.bmm(average, hidden.float())[:, 0])
            if layer == self.layers[-1]:
                break
        with torch.autocast(fronts[0].device.type, enabled=False):
            weighted = torch.einsum("l,lbd->bd", self.layer_weights.softmax(0), torch.stack(states))
            return self.head(weighted)

    def _after(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        factor = torch.sigmoid(self.gate[layer - 1])
        return self.bottleneck[layer - 1](hidden) * (2 * factor if self.identity else factor)


def _wavlm_attention(
    self: nn.Module, hidden: torch.Tensor, mask: torch.Tensor | None, position_bias: torch.Tensor
) -> tuple[torch.Tensor, None]:
    """Attend through the projection modules; WavLM's own code takes their bare weights, so LoRA would do nothing."""
    size = (*hidden.shape[:2], self.num_heads, self.head_dim)
    query, key, value = (
        project(hidden).view(size).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    bias = position_bias.view(len(hidden), self.num_heads, *position_bias.shape[1:])
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
    out = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    return self.out_proj(out.transpose(1, 2).flatten(2)), None


def load(model: Adapted, parameters: dict[str, np.ndarray]) -> None:
    """Set the trained parameters of a model from a checkpoint's, which have the same names."""
    with torch.no_grad():
        for name, parameter in model.trained().items():
            parameter.copy_(torch.from_numpy(np.array(parameters[name])))
