"""Families: what differs between the kinds of encoder that can be loaded."""

from __future__ import annotations

# model_type in config.json -> prefix of the classes in transformers
FAMILIES = {
    "wav2vec2": "Wav2Vec2",
    "hubert": "Hubert",
    "mert_model": "Hubert",
    "wavlm": "WavLM",
    "data2vec-audio": "Data2VecAudio",
    "whisper": "Whisper",
}
