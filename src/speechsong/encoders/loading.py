"""Loading: a frozen encoder from a folder in transformers' layout. No code in the folder is run."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from speechsong.encoders.families import FAMILIES
from speechsong.errors import UserError
from speechsong.logs import log

# oneDNN keeps a plan for every length of clip that it has seen: without a bound, memory grows with the corpus
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
# of the weights of the control
RANDOM_SEED = 0
# what a checkpoint may hold beyond the encoder: heads of pre-training, recognition and classification
_HEADS = re.compile(
    r"(lm_head|ctc_proj|quantizer|project_q|project_hid|final_proj|label_embs_concat|proj_out|projector|classifier"
    r"|layer_weights|tdnn|feature_extractor\.mask_emb|(model\.)?decoder)(\.|$)"
)


@dataclass
class Encoder:
    """A frozen encoder in evaluation mode.

    Attributes
    ----------
    name : str
        Its name in the catalogue.
    family : str
        `model_type` of its config.
    model : nn.Module
        The bare model (for Whisper the encoder half), float32.
    extractor
        The feature extractor that belongs to it.
    rate : int
        Sample rate in Hz.
    hop : int
        Samples between frames.
    least : int
        Samples that the first frame needs.
    layers : int
        Blocks N; there are N + 1 hidden states.
    width : int
        d, of every hidden state.
    window : int
        Samples that go through the encoder at once, at most.
    device : torch.device
    weights : str
        Digest of the weights, 16 hexadecimal digits.
    """

    name: str
    family: str
    model: nn.Module
    extractor: object
    rate: int
    hop: int
    least: int
    layers: int
    width: int
    window: int
    device: torch.device
    weights: str


def pick_device(device: str) -> torch.device:
    """Turn the config's `device` (auto, cpu, cuda, cuda:1, ...) into a device that is there."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"config key `device`: {device}, but torch sees no GPU; set `device: auto` or `device: cpu`")
    return torch.device(device)


def report_device(encoder: Encoder, gpus: int) -> None:
    """Log what an encoder computes on, and warn where the job asked for GPUs and got none."""
    log.info("computing on %s", encoder.device)
    if gpus and encoder.device.type == "cpu":
        log.warning(
            "warning: the job asked for a GPU, but torch sees none, so it computes on the CPU; install a torch with "
            "CUDA, or set `device: cpu` to ask for none"
        )


def load(
    folder: str | Path,
    *,
    name: str,
    layers: int | None,
    window_seconds: float,
    device: str = "cpu",
    random: bool = False,
) -> Encoder:
    """Load an encoder from a local folder in transformers' layout. No code in the folder is run.

    Parameters
    ----------
    folder
        Holds config.json, preprocessor_config.json and model.safetensors or pytorch_model.bin.
    name
        The encoder's name in the catalogue, for messages.
    layers
        The number of blocks that the catalogue says it has; None to take it as it is.
    window_seconds
        Longer clips are cut into windows of this length.
    device
        "auto", "cpu", "cuda" or "cuda:1" and so on.
    random
        Draw the weights as transformers starts training with, always the same ones; those in the folder, if any, are
        not read. What such a control lacks is pre-training.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        Where a file or a weight that the forward pass uses is missing, a weight is left over that is no known
        head, the family is unknown, or the number of layers is another.
    """
    folder = Path(folder)
    key = f"encoders.{name}"
    for needed in ("config.json", "preprocessor_config.json"):
        if not (folder / needed).is_file():
            raise UserError(f"{folder / needed}: missing; set `{key}.checkpoint` to a folder saved by transformers")
    settings = _read_json(folder / "config.json")
    family = settings.get("model_type")
    if family not in FAMILIES:
        raise UserError(f"{folder}: encoders of type {family!r} are not supported (known: {', '.join(FAMILIES)})")

    import transformers

    # what is missing or left over is checked below
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config_class = getattr(transformers, f"{FAMILIES[family]}Config")
    model_class = getattr(transformers, f"{FAMILIES[family]}Model")
    if family == "mert_model":
        _check_mert(folder, settings)
        settings = {k: v for k, v in settings.items() if k not in ("model_type", "auto_map", "architectures")}
        config = config_class.from_dict(settings)
    else:
        config = config_class.from_pretrained(folder)
    blocks = config.encoder_layers if family == "whisper" else config.num_hidden_layers
    if layers is not None and blocks != layers:
        raise UserError(f"{folder}: the encoder has {blocks} layers, `{key}.layers` says {layers}; correct the key")
    model = _random_weights(model_class, config) if random else _load_weights(model_class, folder, config, key)
    if family == "whisper":
        model = model.get_encoder()
    model.eval().requires_grad_(False)
    weights = _digest(model, random)
    if family not in ("whisper", "data2vec-audio") and is_parametrized(model.encoder.pos_conv_embed.conv):
        # the weights are frozen: norm them once instead of at every clip
        remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")

    extractor_class = (
        transformers.WhisperFeatureExtractor if family == "whisper" else transformers.Wav2Vec2FeatureExtractor
    )
    extractor = extractor_class.from_pretrained(folder)
    rate = extractor.sampling_rate
    window = round(window_seconds * rate)
    if family == "whisper":
        hop, least, width = 2 * extractor.hop_length, 1, config.d_model
        frames = window // hop
        if not 0 < frames <= config.max_source_positions:
            longest = config.max_source_positions * hop / rate
            raise UserError(f"config key `{key}.window_seconds`: {window_seconds} is not within 0 and {longest:g}")
        window = frames * hop
        extractor.n_samples = window
        extractor.nb_max_frames = 2 * frames
        # transformers insists on inputs as long as the positional table
        model.config.max_source_positions = model.max_source_positions = frames
        model.embed_positions = nn.Embedding.from_pretrained(model.embed_positions.weight[:frames].clone())
    else:
        hop, width = math.prod(config.conv_stride), config.hidden_size
        least = 1
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            least = (least - 1) * stride + kernel
        if window < least:
            raise UserError(f"config key `{key}.window_seconds`: {window_seconds} s is too short for one frame")
    place = pick_device(device)
    # float32 means float32: TF32 is off by 1e-3
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return Encoder(name, family, model.to(place), extractor, rate, hop, least, blocks, width, window, place, weights)


def _digest(model: nn.Module, random: bool) -> str:
    """Digest the names, shapes and values of all weights as they were loaded, before any is folded or cut."""
    found = hashlib.sha256()
    for name, value in sorted(itertools.chain(model.named_parameters(), model.named_buffers())):
        # not used, and drawn anew where the checkpoint lacks it
        if name == "masked_spec_embed":
            continue
        found.update(f"{name} {tuple(value.shape)}".encode())
        # random weights follow from these; their last bits depend on the CPU that drew them
        if not random:
            found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch the checkpoint again") from error


def _check_mert(folder: Path, settings: dict) -> None:
    # with these three the weights of MERT are those of a plain HuBERT
    for option, plain in (("feature_extractor_cqt", False), ("deepnorm", False), ("attention_relax", -1.0)):
        if settings.get(option, plain) != plain:
            raise UserError(
                f"{folder}: a MERT with {option} = {settings[option]} is not supported; use m-a-p/MERT-v1-95M"
            )


def _load_weights(model_class: type, folder: Path, config: object, key: str) -> nn.Module:
    try:
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, torch and safetensors each raise their own
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{folder}: the weights cannot be loaded ({reason}); fetch the checkpoint again or correct "
            f"`{key}.checkpoint`"
        ) from error
    unused = ("decoder.",) if config.model_type == "whisper" else ()
    missing = sorted(k for k in info["missing_keys"] if k != "masked_spec_embed" and not k.startswith(unused))
    if missing:
        raise UserError(
            f"{folder}: the checkpoint lacks {len(missing)} weights that the encoder uses ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}); set `{key}.checkpoint` to a complete one"
        )
    extra = sorted(k for k in info["unexpected_keys"] if not _HEADS.match(k))
    if extra:
        raise UserError(
            f"{folder}: {len(extra)} weights belong to no part of the encoder or a known head ({', '.join(extra[:3])}"
            f"{', ...' if len(extra) > 3 else ''}); set `{key}.checkpoint` to a checkpoint of a supported family"
        )
    return model


def _random_weights(model_class: type, config: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would also seed a GPU and leave it so
        torch.default_generator.manual_seed(RANDOM_SEED)
        return model_class(config)
