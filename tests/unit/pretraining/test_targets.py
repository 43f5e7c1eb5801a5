"""Targets: log-mel frames against their definition, and clusters against an independent assignment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import get_window
from sklearn.metrics import adjusted_rand_score

from common import one_line
from speechsong.errors import UserError
from speechsong.pretraining import targets
from speechsong.pretraining.model import Predictor, frames_of


def hertz(mel: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear to 1 kHz, then logarithmic."""
    return np.where(mel < 15, 200 / 3 * mel, 1000 * 6.4 ** ((mel - 15) / 27))


def log_mel(samples: np.ndarray, rate: int) -> np.ndarray:
    """Log-mel frames from the definition: one window of 400 samples every 320."""
    pieces = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::320]
    power = np.abs(np.fft.rfft(pieces * get_window("hann", 400))) ** 2
    highest = 15 + 27 * np.log(rate / 2000) / np.log(6.4)
    edges = hertz(np.linspace(0, highest, targets.BANDS + 2))
    bins = np.linspace(0, rate / 2, 201)
    bands = [
        np.interp(bins, [low, middle, high], [0, 2 / (high - low), 0], left=0, right=0)
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    return np.log10(np.maximum(power @ np.array(bands).T, targets.FLOOR))


@pytest.mark.parametrize("layout", ["hubert", "mert"])
def test_spectra_and_their_differences(layout):
    frames = frames_of(layout)
    samples = np.random.default_rng(0).standard_normal(frames.samples(12)).astype(np.float32)
    found = targets.spectra(frames)(samples)
    assert found.shape == (12, 2 * targets.BANDS)
    levels = log_mel(samples, frames.rate)
    assert (levels > np.log10(targets.FLOOR)).all(), "a band without a bin of the spectrum"
    np.testing.assert_allclose(found[:, : targets.BANDS], levels, atol=2e-3)
    # slope of the regression line over five frames, the outermost repeated
    padded = np.pad(levels, ((2, 2), (0, 0)), mode="edge")
    slopes = sum(n * (padded[2 + n : 14 + n] - padded[2 - n : 14 - n]) for n in (1, 2)) / 10
    np.testing.assert_allclose(found[:, targets.BANDS :], slopes, atol=2e-3)


def blobs(scale: float = 1.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Clips of points around three centres, and the centre of each point."""
    rng = np.random.default_rng(2)
    kinds = [rng.integers(3, size=n) for n in (150, 200, 250)]
    middles = np.array([[0, 0], [9, 0], [0, 9]])
    return [(middles[k] + rng.standard_normal((len(k), 2))) * [1, scale] for k in kinds], kinds


def clustered(clips: list[np.ndarray], learnt_from: list[int], clusters: int) -> list[np.ndarray]:
    counts = np.array([len(clip) for clip in clips])
    rng = np.random.default_rng(5)
    return targets.cluster(clips, counts, np.array(learnt_from), lambda clip: clip, clusters, rng, "x.pretrain")


def test_clusters_are_those_that_are_there():
    clips, kinds = blobs()
    found = clustered(clips, [0, 1], 3)
    assert adjusted_rand_score(np.concatenate(kinds), np.concatenate(found)) > 0.95
    # also in a clip that no cluster was formed from
    assert adjusted_rand_score(kinds[2], found[2]) > 0.95


def test_every_frame_has_the_nearest_mean():
    clips, _ = blobs()
    everything, found = np.concatenate(clips), np.concatenate(clustered(clips, [0, 1, 2], 3))
    scaled = (everything - everything.mean(axis=0)) / everything.std(axis=0)
    means = np.stack([scaled[found == k].mean(axis=0) for k in range(3)])
    distances = np.linalg.norm(scaled[:, None] - means, axis=2)
    assert (distances.argmin(axis=1) == found).mean() > 0.995


def test_the_scale_of_a_feature_does_not_matter():
    one, other = (np.concatenate(clustered(blobs(scale)[0], [0, 1, 2], 3)) for scale in (1.0, 1000.0))
    assert (one == other).all()


def test_a_sample_of_many_frames_gives_much_the_same(monkeypatch):
    clips, kinds = blobs()
    monkeypatch.setattr(targets, "MOST_FRAMES", 120)
    found = clustered(clips, [0, 1, 2], 3)
    assert [len(target) for target in found] == [150, 200, 250]
    assert adjusted_rand_score(np.concatenate(kinds), np.concatenate(found)) > 0.95


def test_more_clusters_than_frames_is_one_line():
    clips, _ = blobs()
    with pytest.raises(UserError) as caught:
        clustered(clips, [0], 151)
    assert one_line(caught) == (
        "config key `x.pretrain.clusters`: 151, but the recordings have only 150 frames; lower it"
    )


@pytest.mark.filterwarnings("error")
def test_equal_frames_leave_clusters_empty_without_a_word():
    found = clustered([np.ones((50, 2)), np.zeros((50, 2))], [0, 1], 4)
    assert len({*found[0]}) == len({*found[1]}) == 1
    assert found[0][0] != found[1][0]


def test_states_have_one_row_a_frame_and_are_those_of_the_middle_block(small):
    settings = small(blocks=3)
    frames = frames_of("hubert")
    model = Predictor(settings, 0)
    features = targets.states(model, 3, frames, 0.5)
    samples = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    found = features(samples)
    assert found.shape == (frames.count(20_000), 32)
    import torch

    # the second window of 24 frames
    window = torch.from_numpy(samples[24 * 320 :][: frames.samples(24)])[None]
    with torch.no_grad():
        states = model.encoder(window, output_hidden_states=True).hidden_states
    np.testing.assert_allclose(found[24:48], states[2][0].numpy(), atol=1e-6)
