"""Loading a frozen encoder from a folder in transformers' layout. No code in the folder is run."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from speechsong.encoders.families import FAMILIES, Family
from speechsong.errors import UserError
from speechsong.logs import log

# oneDNN keeps a plan for every length of clip that it has seen: without a bound, memory grows with the corpus
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")

# seed of the weights of the random control
RANDOM_SEED = 0
# the embedding of masked frames, which only training uses
_MASK = "masked_spec_embed"
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
        The `model_type` of its config.json, a key of `FAMILIES`.
    model : nn.Module
        Without a head or a decoder, float32.
    extractor : object
        Its feature extractor, of transformers.
    rate : int
        Sample rate in Hz.
    hop : int
        Samples between frames.
    least : int
        Samples that the first frame needs.
    layers : int
        Number of blocks N; there are N + 1 hidden states.
    width : int
        Size d of every hidden state.
    window : int
        The most samples that go through the encoder at once.
    device : torch.device
        Where the model is.
    weights : str
        Digest of the weights, 16 hexadecimal digits.
    """

    name: str
    family: str
    model: nn.Module
    extractor: Any
    rate: int
    hop: int
    least: int
    layers: int
    width: int
    window: int
    device: torch.device
    weights: str

    @property
    def kind(self) -> Family:
        """What is particular to its family."""
        return FAMILIES[self.family]


def pick_device(device: str) -> torch.device:
    """Return the device of the config key `device` (auto, cpu, cuda, cuda:1, ...), if torch sees it; else UserError."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"config key `device`: {device}, but torch sees no GPU; set `device: auto` or `device: cpu`")
    return torch.device(device)


def report_device(encoder: Encoder, gpus: int) -> None:
    """Log what an encoder computes on; warn if the job asked for GPUs and got none."""
    log.info("computing on %s", encoder.device)
    if gpus and encoder.device.type == "cpu":
        log.warning(
            "warning: the job asked for a GPU, but torch sees none, so it computes on the CPU; install a torch with "
            "CUDA, or set `device: cpu` to ask for none"
        )


def load_entry(folder: str | Path, name: str, entry: dict, device: str) -> Encoder:
    """Load an encoder as its entry in the catalogue says.

    Parameters
    ----------
    folder
        Holds its files, as for `load`.
    name
        Its name in the catalogue.
    entry
        It has the key window_seconds and, optionally, layers and control.
    device
        As for `load`.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        As `load`.
    """
    return load(
        folder,
        name=name,
        layers=entry.get("layers"),
        window_seconds=entry["window_seconds"],
        device=device,
        random=entry.get("control") == "random",
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
        The number of blocks that it must have; None if any number will do.
    window_seconds
        Longer clips are cut into windows of this length.
    device
        "auto", "cpu", "cuda", "cuda:1" and so on.
    random
        Draw the weights from a fixed seed, as transformers does before training, instead of reading those in the
        folder. Such a control lacks only the pre-training.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        If a file is missing, the family is unknown, the number of layers differs, the checkpoint lacks a weight of
        the encoder or has one of an unknown part, or the window or the device cannot be used.
    """
    folder, key = Path(folder), f"encoders.{name}"
    settings = _read_settings(folder, key)
    family = settings.get("model_type")
    if family not in FAMILIES:
        raise UserError(
            f"{folder}: encoders of type {family!r} are not supported (known: {', '.join(FAMILIES)}); set "
            f"`{key}.checkpoint` to one of these"
        )
    kind = FAMILIES[family]
    config = _make_config(folder, kind, settings, key)
    blocks, width = config.num_hidden_layers, config.hidden_size
    if layers is not None and blocks != layers:
        raise UserError(f"{folder}: the encoder has {blocks} layers, `{key}.layers` says {layers}; correct the key")
    model = _random_model(kind, config) if random else _pretrained_model(folder, kind, config, key)
    if kind.has_decoder:
        model = model.get_encoder()
    model.eval().requires_grad_(False)
    weights = _digest(model, random)
    _fold_norms(model)
    extractor = getattr(_transformers(), kind.extractor).from_pretrained(folder)
    hop, least = _frame_sizes(kind, config, extractor)
    window = round(window_seconds * extractor.sampling_rate)
    if kind.reads_spectra:
        window = _cut_positions(model, extractor, window, hop, key)
    elif window < least:
        raise UserError(f"config key `{key}.window_seconds`: {window_seconds} is too short for one frame; raise it")
    target = pick_device(device)
    # no TF32 in place of float32: it is off by 1e-3
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return Encoder(
        name=name,
        family=family,
        model=model.to(target),
        extractor=extractor,
        rate=extractor.sampling_rate,
        hop=hop,
        least=least,
        layers=blocks,
        width=width,
        window=window,
        device=target,
        weights=weights,
    )


def _transformers():
    # imported here, because it takes seconds; silent, because missing and surplus weights are checked below
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _read_settings(folder: Path, key: str) -> dict:
    for name in ("config.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: missing; set `{key}.checkpoint` to a folder saved by transformers")
    path = folder / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch the checkpoint again") from error


def _make_config(folder: Path, kind: Family, settings: dict, key: str) -> Any:
    config_class = getattr(_transformers(), f"{kind.prefix}Config")
    if not kind.plain:
        return config_class.from_pretrained(folder)
    for option, plain in kind.plain.items():
        if settings.get(option, plain) != plain:
            raise UserError(
                f"{folder}: an encoder with {option} = {settings[option]} is not supported; set `{key}.checkpoint` to "
                f"one with {option} = {plain}"
            )
    foreign = ("model_type", "auto_map", "architectures")
    return config_class.from_dict({option: value for option, value in settings.items() if option not in foreign})


def _random_model(kind: Family, config: Any) -> nn.Module:
    model_class = getattr(_transformers(), f"{kind.prefix}Model")
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would also seed a GPU for good
        torch.default_generator.manual_seed(RANDOM_SEED)
        return model_class(config)


def _pretrained_model(folder: Path, kind: Family, config: Any, key: str) -> nn.Module:
    model_class = getattr(_transformers(), f"{kind.prefix}Model")
    try:
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, torch and safetensors each raise their own errors
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{folder}: the weights cannot be loaded ({reason}); fetch the checkpoint again or correct "
            f"`{key}.checkpoint`"
        ) from error
    missing = [
        name
        for name in report["missing_keys"]
        if name != _MASK and not (kind.has_decoder and name.startswith("decoder."))
    ]
    if missing:
        raise UserError(
            f"{folder}: the checkpoint lacks {len(missing)} weights that the encoder uses ({_first_three(missing)}); "
            f"set `{key}.checkpoint` to a complete one"
        )
    extra = [name for name in report["unexpected_keys"] if not _HEADS.match(name)]
    if extra:
        raise UserError(
            f"{folder}: {len(extra)} weights belong to no part of the encoder and no known head "
            f"({_first_three(extra)}); set `{key}.checkpoint` to a checkpoint of a supported family"
        )
    return model


def _first_three(names: list[str]) -> str:
    return ", ".join([*sorted(names)[:3], *["..."] * (len(names) > 3)])


def _digest(model: nn.Module, random: bool) -> str:
    """Digest the names, shapes and values of all weights as they were loaded, before any is folded or cut."""
    digest = hashlib.sha256()
    for name, value in sorted(itertools.chain(model.named_parameters(), model.named_buffers())):
        # not used, and drawn anew if the checkpoint lacks it
        if name == _MASK:
            continue
        digest.update(f"{name} {tuple(value.shape)}".encode())
        # names and shapes determine random weights, except for last bits that depend on the CPU that drew them
        if not random:
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _fold_norms(model: nn.Module) -> None:
    """Compute weight-normalised weights once instead of for every clip: they are frozen."""
    for module in list(model.modules()):
        if is_parametrized(module, "weight"):
            remove_parametrizations(module, "weight")


def _frame_sizes(kind: Family, config: Any, extractor: Any) -> tuple[int, int]:
    """Return how many samples lie between two frames, and how many the first frame needs."""
    if kind.reads_spectra:
        # the second convolution skips every other column of the spectrum
        return 2 * extractor.hop_length, 1
    least = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        least = (least - 1) * stride + kernel
    return math.prod(config.conv_stride), least


def _cut_positions(model: nn.Module, extractor: Any, window: int, hop: int, key: str) -> int:
    """Cut the position embeddings, and the extractor's padding, to one window; return its whole frames in samples."""
    frames, longest, rate = window // hop, model.config.max_source_positions, extractor.sampling_rate
    if not 0 < frames <= longest:
        raise UserError(
            f"config key `{key}.window_seconds`: must be from {hop / rate:g} to {longest * hop / rate:g}, not "
            f"{window / rate:g}"
        )
    extractor.n_samples = frames * hop
    extractor.nb_max_frames = 2 * frames
    # transformers insists on inputs as long as the table of position embeddings
    model.config.max_source_positions = model.max_source_positions = frames
    model.embed_positions = nn.Embedding.from_pretrained(model.embed_positions.weight[:frames].clone())
    return frames * hop
