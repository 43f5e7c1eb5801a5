"""Loading a frozen encoder from a folder in transformers' layout. No code in the folder is run.

Only `CONFIG`, one of `EXTRACTORS` and one of `WEIGHTS` are opened, and of their settings only those that describe the
encoder are used. What else transformers and peft would look for in a folder is not: adapters, other sources of weights,
kernels from the hub.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from speechsong.encoders import devices
from speechsong.encoders.families import CONFIG, EXTRACTORS, FAMILIES, INDEX, WEIGHTS, Family
from speechsong.errors import UserError
from speechsong.files import recognise

# oneDNN keeps a plan for every length of clip that it has seen: without a bound, memory grows with the corpus
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")

# seed of the weights of the random control
RANDOM_SEED = 0
# the embedding of masked frames, which only training uses
_MASK = "masked_spec_embed"
# the settings of feature extractors that are used, and the range of each
_EXTRACTION = {
    "feature_size": (1, 4096),
    "sampling_rate": (1000, 10**6),
    "hop_length": (1, 10**6),
    "chunk_length": (1, 3600),
    "n_fft": (2, 10**6),
    "padding_value": (-(10**6), 10**6),
    "dither": (0, 1),
    "do_normalize": (False, True),
    "return_attention_mask": (False, True),
}
# no size of an encoder is larger; larger ones only use up the memory
_LARGEST = 10**7
# integers among the weights, which nothing here uses
_COUNTERS = re.compile(r".*(num_batches_tracked|position_ids)$")
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
    precision : str
        What it computes in, "float32" or "bfloat16" (by autocast: the weights are float32 in any case).
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
    precision: str = "float32"

    @property
    def kind(self) -> Family:
        """What is particular to its family."""
        return FAMILIES[self.family]


def load_entry(folder: str | Path, name: str, entry: dict, device: str) -> Encoder:
    """Load an encoder as its entry in the catalogue says.

    Parameters
    ----------
    folder
        Holds its files, as for `load`.
    name
        Its name in the catalogue.
    entry
        It has the key window_seconds and, optionally, layers, control and precision.
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
        precision=entry.get("precision", "float32"),
    )


def load(
    folder: str | Path,
    *,
    name: str,
    layers: int | None,
    window_seconds: float,
    device: str = "cpu",
    random: bool = False,
    precision: str = "float32",
) -> Encoder:
    """Load an encoder from a local folder in transformers' layout. No code in the folder is run.

    Parameters
    ----------
    folder
        Holds config.json, preprocessor_config.json (or processor_config.json, as transformers 5 saves processors) and
        model.safetensors or pytorch_model.bin.
    name
        The encoder's name in the catalogue, for messages.
    layers
        The number of blocks that it must have; None if any number will do.
    window_seconds
        Longer clips are cut into windows of this length.
    device
        As for `devices.pick`.
    random
        Draw the weights from a fixed seed, as transformers does before training, instead of reading those in the
        folder. Such a control lacks only the pre-training.
    precision
        As for `devices.precision`.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        If a file is missing or damaged, the family is unknown, the number of layers differs, the checkpoint lacks a
        weight of the encoder, has one of an unknown part or one that is not finite, an adapter lies beside it, or the
        window or the device cannot be used.
    """
    folder, key = Path(folder), f"encoders.{name}"
    if (folder / "adapter_config.json").exists():
        raise UserError(
            f"{folder}: holds an adapter beside the encoder (adapter_config.json); move the adapter to a folder of its "
            "own"
        )
    settings = _read_json(folder, CONFIG, key)
    family = settings.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise UserError(
            f"{folder}: encoders of type {family!r} are not supported (known: {', '.join(FAMILIES)}); set "
            f"`{key}.checkpoint` to one of these"
        )
    kind = FAMILIES[family]
    config = _make_config(folder, kind, settings, key)
    blocks, width = config.num_hidden_layers, config.hidden_size
    if layers is not None and blocks != layers:
        raise UserError(f"{folder}: the encoder has {blocks} layers, `{key}.layers` says {layers}; correct the key")
    extractor = _make_extractor(folder, kind, config, key)
    model = _random_model(folder, kind, config, key) if random else _pretrained_model(folder, kind, config, key)
    if kind.has_decoder:
        model = model.get_encoder()
    model.eval().requires_grad_(False)
    _check_finite(folder, model, key)
    weights = _digest(model, random)
    _fold_norms(model)
    hop, least = _frame_sizes(kind, config, extractor)
    window = round(window_seconds * extractor.sampling_rate)
    if kind.reads_spectra:
        window = _cut_positions(model, extractor, window, hop, key)
    elif window < least:
        raise UserError(f"config key `{key}.window_seconds`: {window_seconds} is too short for one frame; raise it")
    target = devices.pick(device)
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
        precision=devices.precision(target, precision),
    )


def _transformers():
    # imported here, because it takes seconds; silent, because missing and surplus weights are checked below
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _read_json(folder: Path, name: str, key: str) -> dict:
    """Read a file of settings, which must hold a JSON object of finite numbers."""
    path = folder / name
    if not path.is_file():
        raise UserError(f"{path}: missing; set `{key}.checkpoint` to a folder saved by transformers")
    again = "fetch the checkpoint again"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); correct its permissions") from error
    except (ValueError, RecursionError, MemoryError) as error:
        what = recognise(path) or f"not valid JSON ({error})"
        raise UserError(f"{path}: {what}; {again}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path}: is not a JSON object; {again}")
    return settings


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _make_config(folder: Path, kind: Family, settings: dict, key: str) -> Any:
    """Make the config of a model from those settings that its class itself defines."""
    for option, plain in kind.plain.items():
        if settings.get(option, plain) != plain:
            raise UserError(
                f"{folder}: an encoder with {option} = {settings[option]} is not supported; set `{key}.checkpoint` to "
                f"one with {option} = {plain}"
            )
    config_class, model_class = (getattr(_transformers(), kind.prefix + part) for part in ("Config", "Model"))
    # others could name files, hub repositories or kernels
    known = {*config_class.__annotations__, *config_class.attribute_map}
    used = {option: value for option, value in settings.items() if option in known}
    for option, value in used.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= _LARGEST:
                raise UserError(f"{folder / CONFIG}: {option} cannot be {str(number)[:20]}; fetch the checkpoint again")
    try:
        config = config_class.from_dict(used)
        config._attn_implementation = "sdpa" if model_class._supports_sdpa else "eager"
    except Exception as error:  # transformers checks types and values with errors of several kinds
        raise UserError(f"{folder / CONFIG}: cannot be used ({_line(error)}); fetch the checkpoint again") from error
    if not (isinstance(config.num_hidden_layers, int) and 0 < config.num_hidden_layers < 1000):
        raise UserError(
            f"{folder / CONFIG}: an encoder cannot have {config.num_hidden_layers} layers; fetch the checkpoint again"
        )
    return config


def _make_extractor(folder: Path, kind: Family, config: Any, key: str) -> Any:
    """Make the feature extractor from those settings that describe it."""
    name = next((name for name in EXTRACTORS if (folder / name).is_file()), EXTRACTORS[0])
    settings = _read_json(folder, name, key)
    if name != EXTRACTORS[0]:
        # a processor of transformers 5 keeps the extractor's settings in its own
        inner = settings.get("feature_extractor")
        if not isinstance(inner, dict):
            raise UserError(
                f"{folder / name}: has no `feature_extractor`; set `{key}.checkpoint` to a folder that transformers "
                "saved, with its feature extractor"
            )
        settings = inner
    used = {option: settings[option] for option in _EXTRACTION if option in settings}
    for option, value in used.items():
        low, high = _EXTRACTION[option]
        whole = option not in ("padding_value", "dither")
        fits = isinstance(value, bool if isinstance(low, bool) else (int if whole else (int, float)))
        if not fits or isinstance(value, bool) != isinstance(low, bool) or not low <= value <= high:
            raise UserError(f"{folder / name}: {option} cannot be {str(value)[:20]}; fetch the checkpoint again")
    if kind.reads_spectra and used.get("feature_size", config.num_mel_bins) != config.num_mel_bins:
        raise UserError(
            f"{folder / name}: feature_size is {used['feature_size']}, but the encoder reads {config.num_mel_bins} "
            "bands; fetch the checkpoint again"
        )
    extractor_class = getattr(_transformers(), kind.extractor)
    taken = inspect.signature(extractor_class.__init__).parameters
    try:
        return extractor_class(**{option: value for option, value in used.items() if option in taken})
    except Exception as error:  # of NumPy, mostly
        raise UserError(f"{folder / name}: cannot be used ({_line(error)}); fetch the checkpoint again") from error


def _random_model(folder: Path, kind: Family, config: Any, key: str) -> nn.Module:
    model_class = getattr(_transformers(), f"{kind.prefix}Model")
    try:
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed, which would also seed a GPU for good
            torch.default_generator.manual_seed(RANDOM_SEED)
            return model_class(config)
    except Exception as error:  # a config may ask for what cannot be made in many ways
        raise UserError(
            f"{folder / CONFIG}: no encoder can be made from it ({_line(error)}); fetch the checkpoint again or "
            f"correct `{key}.checkpoint`"
        ) from error


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a checkpoint; what is wrong with it is raised as whatever error it gives."""
    from safetensors.torch import load_file

    found = next((name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise ValueError(f"there is none of {', '.join(WEIGHTS)}")
    if found == "pytorch_model.bin":
        weights = torch.load(folder / found, map_location="cpu", weights_only=True)
    else:
        names = [found]
        if found == INDEX:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
            if not all(isinstance(name, str) and re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names):
                raise ValueError(f"{INDEX} names files outside the folder")
        weights = {name: value for file in names for name, value in load_file(folder / file).items()}
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError("they hold something other than tensors")
    for name, value in weights.items():
        if not value.is_floating_point() and not _COUNTERS.match(name):
            raise ValueError(f"{name} is of {str(value.dtype).removeprefix('torch.')}, not of floating point")
    return weights


def _pretrained_model(folder: Path, kind: Family, config: Any, key: str) -> nn.Module:
    model_class = getattr(_transformers(), f"{kind.prefix}Model")
    try:
        model, report = model_class.from_pretrained(
            None,
            config=config,
            state_dict=_read_weights(folder),
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, torch and safetensors each raise their own errors
        raise UserError(
            f"{folder}: the weights cannot be loaded ({_reason(folder, error)}); fetch the checkpoint again or correct "
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


def _check_finite(folder: Path, model: nn.Module, key: str) -> None:
    for name, value in model.named_parameters():
        if name != _MASK and not value.isfinite().all():
            raise UserError(
                f"{folder}: the weight {name} holds numbers that are not finite (NaN or infinite); fetch the "
                f"checkpoint again, or set `{key}.checkpoint` to another"
            )


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


def _reason(folder: Path, error: Exception) -> str:
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        kind = recognise(file)
        # torch's own files are zip archives
        if kind and not (file.suffix == ".bin" and "zip" in kind):
            return f"{file.name} is {kind}"
    text = _line(error)
    # torch's advice would run the code in the file
    return "they hold something other than tensors" if "weights_only" in text else text


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


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
