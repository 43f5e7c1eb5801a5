"""Families: what differs between the kinds of encoder that can be loaded.

In every family a front turns a clip into frames, and transformer blocks follow. Most fronts convolve samples; Whisper's
convolves log-mel spectra. The files of a checkpoint have the same names in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# the settings of the encoder; the feature extractor's are in the first of two files that is there
CONFIG = "config.json"
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
# the first that is there holds the weights, or names the files that hold them
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", INDEX, "pytorch_model.bin")


@dataclass(frozen=True)
class Family:
    """What is particular to a family.

    Attributes
    ----------
    prefix : str
        Prefix of the names of its classes in transformers.
    extractor : str
        The class of its feature extractor in transformers.
    reads_spectra : bool
        Its feature extractor turns each window into a log-mel spectrum, padded to one length. Otherwise it normalises
        the samples of the whole clip.
    has_decoder : bool
        Its models have a decoder too, which is not used.
    ends_in_norm : bool
        The last hidden state that transformers returns has passed through the layer norm after the last block.
    shares_bias : bool
        Its first block computes a relative position bias, which each block passes to the next; masks stay boolean.
    reads_bare_weights : bool
        Its attention reads the weights of its projections without calling them, so adapters in them do nothing.
    plain : dict
        Options of config.json, and the values with which its weights fit the classes in transformers. Set only if
        transformers does not know the family by its own name.
    """

    prefix: str
    extractor: str = "Wav2Vec2FeatureExtractor"
    reads_spectra: bool = False
    has_decoder: bool = False
    ends_in_norm: bool = False
    shares_bias: bool = False
    reads_bare_weights: bool = False
    plain: dict[str, Any] = field(default_factory=dict)


# by the `model_type` of config.json
FAMILIES = {
    "wav2vec2": Family("Wav2Vec2"),
    "hubert": Family("Hubert"),
    "mert_model": Family("Hubert", plain={"feature_extractor_cqt": False, "deepnorm": False, "attention_relax": -1.0}),
    "wavlm": Family("WavLM", shares_bias=True, reads_bare_weights=True),
    "data2vec-audio": Family("Data2VecAudio"),
    "whisper": Family("Whisper", "WhisperFeatureExtractor", reads_spectra=True, has_decoder=True, ends_in_norm=True),
}
