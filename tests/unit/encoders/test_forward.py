"""Hidden states of batches are those of transformers, clip by clip."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from checkpoints import FAMILIES, batched, build, noises
from speechsong.encoders import forward, loading

SECONDS = (0.03, 1.0, 0.31, 2.7, 0.5)


def reference(model: torch.nn.Module, folder: Path, family: str, waveform: np.ndarray, rate: int) -> list[np.ndarray]:
    """What transformers gives for one clip, all layers, no padding of ours."""
    with torch.inference_mode():
        if family == "whisper":
            extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
            mel = extractor(waveform, sampling_rate=rate, return_tensors="pt").input_features
            states = model.get_encoder()(mel, output_hidden_states=True).hidden_states
            return [s[0, : -(-len(waveform) // 320)].numpy() for s in states]
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
        values = extractor(waveform, sampling_rate=rate, return_tensors="pt").input_values
        return [s[0].numpy() for s in model(values, output_hidden_states=True).hidden_states]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_transformers_gives_clip_by_clip(folders, family):
    encoder = loading.load(folders[family], name=family, layers=3, window_seconds=30)
    assert encoder.rate == (24000 if family == "mert" else 16000)
    waveforms = noises(encoder.rate, SECONDS)
    found = batched(encoder, waveforms)
    model = build(family)
    for waveform, states in zip(waveforms, found, strict=True):
        wanted = reference(model, folders[family], family, waveform, encoder.rate)
        assert len(states) == len(wanted) == encoder.layers + 1
        for ours, theirs in zip(states, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_a_batch_changes_nothing(folders, family):
    encoder = loading.load(folders[family], name=family, layers=3, window_seconds=30)
    waveforms = noises(encoder.rate, SECONDS)
    forwards, backwards = batched(encoder, waveforms), batched(encoder, waveforms[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_layers_differ_so_that_the_comparison_means_something(folders):
    encoder = loading.load(folders["hubert"], name="hubert", layers=3, window_seconds=30)
    states = batched(encoder, noises(16000, SECONDS))[1]
    for a, b in itertools.pairwise(states):
        assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_that_need_no_padding_may_go_together(folders, family, monkeypatch):
    """As on a GPU: the same states, in the same order, from fewer calls."""
    encoder = loading.load(folders[family], name=family, layers=3, window_seconds=30)
    waveforms = noises(encoder.rate, (0.3, 0.7, 0.7, 0.7, 1.1))
    windows = [window for waveform in waveforms for window in forward.prepare(encoder, waveform)]
    calls = []
    for name in ("_of_samples", "_of_spectra"):
        plain = getattr(forward, name)
        monkeypatch.setattr(forward, name, lambda e, some, plain=plain: calls.append(len(some)) or plain(e, some))
    with torch.inference_mode():
        one_by_one = forward.fronts(encoder, windows)
        assert calls == 5 * [1]
        calls.clear()
        together = forward.fronts(encoder, windows, together=True)
        assert calls == ([5] if family == "whisper" else [1, 3, 1])
    for (a, frames_a), (b, frames_b) in zip(one_by_one, together, strict=True):
        assert frames_a == frames_b
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_long_clips_are_cut_into_windows(folders, family):
    encoder = loading.load(folders[family], name=family, layers=3, window_seconds=1.5)
    waveform = noises(16000, SECONDS)[3]
    windows = forward.prepare(encoder, waveform)
    assert [len(w) for w in windows] == [24000, len(waveform) - 24000]
    with torch.inference_mode():
        frames = [forward.front(encoder, w)[1] for w in windows]
    assert frames == ([75, 60] if family == "whisper" else [74, 59])


def test_a_rest_too_short_for_a_frame_is_left_out(folders):
    encoder = loading.load(folders["wav2vec2"], name="w", layers=3, window_seconds=1)
    assert encoder.least == 400
    assert [len(w) for w in forward.prepare(encoder, np.ones(16399, np.float32))] == [16000]
    assert [len(w) for w in forward.prepare(encoder, np.ones(16400, np.float32))] == [16000, 400]


def test_whisper_with_a_shorter_window_is_whisper_with_a_shorter_table(folders):
    encoder = loading.load(folders["whisper"], name="w", layers=3, window_seconds=8)
    waveform = noises(16000, SECONDS)[3]
    found = batched(encoder, [waveform])[0]
    full = build("whisper").get_encoder()
    config = full.config
    config.max_source_positions = 400
    short = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    weights = full.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][:400]
    short.load_state_dict(weights)
    extractor = transformers.WhisperFeatureExtractor(chunk_length=8)
    with torch.inference_mode():
        mel = extractor(waveform, sampling_rate=16000, return_tensors="pt").input_features
        wanted = short(mel, output_hidden_states=True).hidden_states
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs[0, : len(ours)].numpy(), atol=1e-5)
