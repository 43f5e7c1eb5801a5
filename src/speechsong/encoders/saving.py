"""Saving an encoder that is made here, in the file layout of a published one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechsong import files

if TYPE_CHECKING:
    import torch

# sample rate in Hz of each layout
RATES = {"wav2vec2": 16_000, "hubert": 16_000, "mert": 24_000}
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


def save(folder: str | Path, layout: str, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Write the three files of an encoder; config.json comes last.

    Parameters
    ----------
    folder
        The folder of the checkpoint.
    layout
        "wav2vec2" or "hubert", as transformers writes them, or "mert", the layout of m-a-p/MERT-v1-95M with its own
        config and older names of weights.
    config
        Of the model, as transformers' `to_dict` gives it.
    weights
        By the names of transformers' `Wav2Vec2Model` or `HubertModel`; a model with a head on top has them too.
    """
    from safetensors.torch import save as to_bytes
    from transformers import Wav2Vec2FeatureExtractor

    weights = dict(weights)
    if layout == "mert":
        conv = "encoder.pos_conv_embed.conv."
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            weights[conv + old] = weights.pop(conv + "parametrizations.weight." + new)
        config = config | {
            "architectures": ["MERTModel"],
            "model_type": "mert_model",
            "sample_rate": RATES[layout],
            "feature_extractor_cqt": False,
            "deepnorm": False,
            "attention_relax": -1.0,
        }
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=RATES[layout], do_normalize=True, return_attention_mask=layout == "mert"
    )
    contents = {
        "model.safetensors": to_bytes(weights, metadata={"format": "pt"}),
        "preprocessor_config.json": extractor.to_json_string().encode(),
        "config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
    }
    # not by save_pretrained, which is not atomic and draws a progress bar
    write(folder, contents)


def write(folder: str | Path, contents: dict[str, bytes]) -> None:
    """Write the files of an encoder, by name and one by one, in the order given: config.json comes last."""
    for name, content in contents.items():
        with files.atomic(Path(folder) / name) as path:
            path.write_bytes(content)
