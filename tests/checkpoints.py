"""Encoders of every family with random weights, saved in the layouts that users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

from speechsong.encoders import forward, loading

FAMILIES = (
    "wav2vec2",
    "wav2vec2-stable",
    "hubert",
    "hubert-stable",
    "mert",
    "wavlm",
    "wavlm-stable",
    "data2vec-audio",
    "whisper",
)

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embedding_groups": 4,
}


def build(family: str, **changes) -> torch.nn.Module:
    """Build a model of a family with seeded random weights, in evaluation mode."""
    kind = family.removesuffix("-stable")
    stable = family.endswith("-stable")
    if kind == "whisper":
        config = transformers.WhisperConfig(
            d_model=48,
            encoder_layers=3,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=96,
            decoder_ffn_dim=96,
            vocab_size=16,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        )
        prefix = "Whisper"
    else:
        prefix = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "mert": "Hubert", "wavlm": "WavLM"}.get(
            kind, "Data2VecAudio"
        )
        options = dict(SMALL, **changes)
        if prefix == "Data2VecAudio":
            options |= {"conv_pos_kernel_size": 19, "num_conv_pos_embeddings": 5}
        else:
            options.setdefault("num_conv_pos_embeddings", 32)
        if stable:
            options |= {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
        config = getattr(transformers, f"{prefix}Config")(**options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{prefix}Model")(config)
        for name, weight in model.named_parameters():
            # transformers' own initialisation makes blocks nearly the identity, which would hide mistakes in them
            if weight.ndim == 2 and "embed_positions" not in name:
                torch.nn.init.normal_(weight, std=1.5 / weight.shape[1] ** 0.5)
    return model.eval()


def save(model: torch.nn.Module, folder: Path, family: str) -> Path:
    """Save a model with its feature extractor, MERT in the layout of m-a-p/MERT-v1-95M."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if family == "whisper":
        transformers.WhisperFeatureExtractor().save_pretrained(folder)
        return folder
    rate = 24000 if family == "mert" else 16000
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=rate, do_normalize=True).save_pretrained(folder)
    if family == "mert":
        _as_mert(folder)
    return folder


def _as_mert(folder: Path) -> None:
    import json

    from safetensors.torch import load_file

    settings = json.loads((folder / "config.json").read_text())
    settings |= {
        "model_type": "mert_model",
        "architectures": ["MERTModel"],
        "auto_map": {"AutoModel": "modeling_MERT.MERTModel", "AutoConfig": "configuration_MERT.MERTConfig"},
        "feature_extractor_cqt": False,
        "deepnorm": False,
        "attention_relax": -1.0,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    # stands for code from the hub, which must never run
    (folder / "modeling_MERT.py").write_text("raise SystemExit('code of a checkpoint was run')\n")
    weights = load_file(folder / "model.safetensors")
    old = {
        k.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): v
        for k, v in weights.items()
    }
    (folder / "model.safetensors").unlink()
    torch.save(old, folder / "pytorch_model.bin")


def loaded(folder: Path, family: str, window_seconds: float = 30, precision: str = "float32") -> loading.Encoder:
    """Load a saved model, on the CPU."""
    return loading.load(folder, name=family, layers=3, window_seconds=window_seconds, precision=precision)


def noises(rate: int, seconds: tuple[float, ...]) -> list[np.ndarray]:
    """Make noise of the given lengths, whose mean is not zero."""
    rng = np.random.default_rng(1)
    return [(0.1 * rng.standard_normal(int(s * rate)) + 0.05).astype(np.float32) for s in seconds]


def batched(encoder: loading.Encoder, waveforms: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Hidden states of each clip, computed in one padded batch."""
    with torch.inference_mode():
        parts = [forward.front(encoder, forward.prepare(encoder, w)[0]) for w in waveforms]
        states = list(forward.blocks(encoder, [p[0] for p in parts]))
    return [[s[i, : parts[i][1]].numpy() for s in states] for i in range(len(waveforms))]
