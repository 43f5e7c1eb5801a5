"""A frozen encoder with small trained parts: LoRA, bottleneck adapters, gates, layer weights and a linear head.

In every transformer block up to the last layer that is weighted:

1. LoRA (Hu et al. 2022, as in Hugging Face's `peft`): the weight W of a projection of the attention becomes
   W + B A alpha / rank.
2. A bottleneck adapter on the block's output h: h + W_up relu(W_down h + b_down) + b_up. Its layers and their
   initial values are those of Houlsby et al. (2019); its place is not. They put two adapters into each block, one after
   the attention and one after the feed-forward layers, both before the residual sum and the layer norm. Pfeiffer et al.
   (2021, "AdapterFusion") put one adapter into each block, after its feed-forward layers. Ours comes after the
   residual sum and the norm that end a block.
3. A gate, in one of four forms (`GATES`). The paper names a "weighting gate" and gives no formula. Its source, as far
   as we can tell, is Lashkarashvili et al. (2024, arXiv 2402.11747), which we could not read in full, so these forms
   are our readings.

Any of the three may be left out. The next block sees the gated output. Each layer is averaged over the clip's frames,
the layers are weighted by a learnt softmax, and a linear head gives the logits. What comes before the first block is
frozen and has no adapters, so that part (`encoders.forward.front`) is computed once for each clip and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from speechsong.adaptation.fronts import Clip, averages
from speechsong.encoders import forward
from speechsong.encoders.loading import Encoder


@dataclass(frozen=True)
class Gate:
    """A factor that is learnt in every block.

    Attributes
    ----------
    scale, start : float
        The factor is scale x sigmoid(w), and w starts at `start`.
    per_channel : bool
        Whether each channel has its own w. Otherwise the block has one.
    on_adapter : bool
        Whether it multiplies only what the bottleneck adapter adds. Otherwise it multiplies the block's whole output.
    """

    scale: float
    start: float
    per_channel: bool = True
    on_adapter: bool = False


GATES = {
    "identity": Gate(2.0, 0.0),
    "block": Gate(2.0, 0.0, per_channel=False),
    "bottleneck": Gate(2.0, 0.0, on_adapter=True),
    # it starts at 0.73 in every block, which compounds in encoders whose residual stream has no norm (Whisper, and
    # stable layer norm): their last layers then differ a lot from the frozen encoder's
    "sigmoid": Gate(1.0, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the trained parts. The names are those of the config key `adapt`. A part without them is left out.

    Attributes
    ----------
    rank : int or None
        Rank of LoRA; None without LoRA.
    alpha : float or None
        LoRA's updates are multiplied by alpha / rank.
    targets : tuple of str
        Projections of the attention with LoRA: q, k, v, out.
    width : int or None
        Width of the bottleneck; None without one.
    gate : str or None
        One of `GATES`. All but "sigmoid" change nothing before training. None without a gate.
    layers : tuple of int
        The hidden states that are weighted, ascending; 1 is the output of the first block.
    """

    rank: int | None = None
    alpha: float | None = None
    targets: tuple[str, ...] = ()
    width: int | None = None
    gate: str | None = None
    layers: tuple[int, ...]


def lora_config(settings: Settings) -> LoraConfig:
    """Describe the LoRA to `peft`: the same projections in every block up to the last layer that is weighted."""
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
    """h + W_up relu(W_down h + b_down) + b_up; W_up and b_up start at 0, so it changes nothing before training."""

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
    """An encoder with its adapters and its head.

    Parameters
    ----------
    encoder : speechsong.encoders.loading.Encoder
        Freshly loaded: LoRA changes its model in place.
    settings
        Settings of the trained parts.
    classes
        C, the number of emotions.
    seed
        Seed of the initial weights.
    """

    def __init__(self, encoder: Encoder, settings: Settings, classes: int, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = settings.layers
        # later blocks are never run
        blocks = self.layers[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.transformer = encoder.model
            if settings.rank is not None:
                self.transformer = inject_adapter_in_model(lora_config(settings), encoder.model)
            self.bottleneck = nn.ModuleList()
            if settings.width is not None:
                self.bottleneck.extend(Bottleneck(encoder.width, settings.width) for _ in range(blocks))
            self.gate = nn.ParameterList()
            if settings.gate is not None:
                self.gate_form = GATES[settings.gate]
                size = encoder.width if self.gate_form.per_channel else 1
                start = torch.full((size,), self.gate_form.start)
                self.gate.extend(nn.Parameter(start.clone()) for _ in range(blocks))
            self.layer_weights = nn.Parameter(torch.zeros(len(self.layers)))
            self.head = nn.Linear(encoder.width, classes)
        for module in self.transformer.modules():
            if isinstance(module, LoraLayer):
                # autocast chooses the precision; peft's cast before it would only cost time
                module.cast_input_dtype_enabled = False
        if encoder.kind.reads_bare_weights:
            for block in forward.stack(encoder).layers:
                block.attention.torch_multi_head_self_attention = MethodType(_wavlm_attention, block.attention)
        self.to(encoder.device)
        self.train()

    def train(self, mode: bool = True) -> Adapted:
        """Set the mode of the trained parts; the frozen encoder stays in evaluation mode, without dropout or masks."""
        super().train(mode)
        self.transformer.eval()
        return self

    def trained(self) -> dict[str, nn.Parameter]:
        """Name the trained parameters, sorted; the first component of each name is one of `checkpoints.PARTS`."""
        named = {}
        for name, parameter in self.named_parameters():
            if not name.startswith("transformer."):
                named[name] = parameter
            elif ".lora_" in name:
                named["lora." + name.removeprefix("transformer.").replace(".default", "")] = parameter
        return {name: named[name] for name in sorted(named)}

    def forward(self, clips: list[Clip]) -> torch.Tensor:
        """Compute logits (B, C), float32, of B clips given as hidden state 0 of their windows (`fronts.Clip`)."""
        windows = [window for clip in clips for window in clip]
        fronts = [state for state, _ in windows]
        average, owner = averages(clips, max(map(len, fronts)), fronts[0].device)
        means = []
        for layer, hidden in enumerate(forward.blocks(self.encoder, fronts, self.adapt_output)):
            if layer in self.layers:
                # in float32, which sums over many frames need; averaging before weighting gives the same for less
                with torch.autocast(hidden.device.type, enabled=False):
                    means.append(owner @ torch.bmm(average, hidden.float())[:, 0])
            if layer == self.layers[-1]:
                break
        with torch.autocast(fronts[0].device.type, enabled=False):
            weighted = torch.einsum("l,lbd->bd", self.layer_weights.softmax(0), torch.stack(means))
            return self.head(weighted)

    def adapt_output(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """Apply bottleneck and gate to the output (B, T, d) of a block, counted from 1."""
        adapted = self.bottleneck[block - 1](hidden) if self.bottleneck else hidden
        if not self.gate:
            return adapted
        factor = self.gate_form.scale * torch.sigmoid(self.gate[block - 1])
        return hidden + (adapted - hidden) * factor if self.gate_form.on_adapter else adapted * factor


def _wavlm_attention(
    self: nn.Module, hidden: torch.Tensor, mask: torch.Tensor | None, position_bias: torch.Tensor
) -> tuple[torch.Tensor, None]:
    """Attend through the projection modules. WavLM's own code reads their bare weights, which bypasses LoRA."""
    size = (*hidden.shape[:2], self.num_heads, self.head_dim)
    query, key, value = (
        project(hidden).view(size).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    bias = position_bias.view(len(hidden), self.num_heads, *position_bias.shape[1:])
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
    out = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    return self.out_proj(out.transpose(1, 2).flatten(2)), None
