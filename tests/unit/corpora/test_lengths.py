"""Lengths and bandwidths: what differs between two corpora is said, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from speechsong.corpora.index import bandwidth
from speechsong.corpora.lengths import describe, warnings

RATE = 48000


def clips(seconds: dict[str, list[float]], heard: float = 1.0, rate: int = 16000, wide: int = 7000) -> pd.DataFrame:
    rows = [
        {"emotion": emotion, "seconds": str(s), "heard": str(heard * s), "sample_rate": str(rate)}
        | {"bandwidth": str(wide)}
        for emotion, some in seconds.items()
        for s in some
    ]
    return pd.DataFrame(rows)


def test_quartiles_by_domain_and_emotion():
    table = describe({"a": clips({"sad": [1, 2, 3], "calm": [4]}, heard=0.5), "b": clips({"sad": [2], "calm": [2]})})
    assert list(zip(table["domain"], table["emotion"], strict=True)) == [
        *(("a", e) for e in ("sad", "calm", "all")),
        *(("b", e) for e in ("sad", "calm", "all")),
    ]
    sad = table.iloc[0]
    assert (sad["clips"], sad["seconds"], sad["seconds_q1"], sad["seconds_q3"]) == (3, 2, 1.5, 2.5)
    assert (sad["heard"], sad["heard_q1"], sad["heard_q3"]) == (1, 0.75, 1.25)


@pytest.mark.parametrize(("longer", "said"), [(1.09, ""), (1.25, "1.25 times as long")])
def test_more_than_a_tenth_is_said_once(longer, said):
    table = describe({"a": clips({"sad": [2.0]}), "b": clips({"sad": [2.0 * longer]})})
    assert list(table["differs"]) == ["", "", said, said]
    lines = warnings(table)
    assert len(lines) == bool(said)
    assert all(line.startswith("Recordings of b are 1.25 times as long as those of a") for line in lines)


def test_what_is_cut_to_the_same_length_does_not_differ():
    assert warnings(describe({"a": clips({"sad": [2.0]}), "b": clips({"sad": [4.0]}, heard=0.5)})) == []


def test_rates_and_bandwidths():
    table = describe(
        {"a": clips({"sad": [2.0]}, rate=8000, wide=3800), "b": clips({"sad": [2.0]}, rate=44100, wide=7600)}
    )
    assert list(table["sample_rate"]) == ["8000", "8000", "44100", "44100"]
    assert warnings(table)[0].startswith("Recordings of b are 2.00 times as wide as those of a")


@pytest.mark.parametrize("limit", [3400, 8000, 16000])
def test_a_bandwidth_that_the_sample_rate_hides(limit):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(2 * RATE))
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) > limit] = 0
    samples = np.fft.irfft(spectrum)
    samples = np.round(0.2 * samples / np.abs(samples).max() * 32768) / 32768  # as 16 bits keep it
    assert bandwidth(samples.astype(np.float32), RATE) == pytest.approx(limit, abs=150)


def test_a_recording_of_few_samples_has_a_bandwidth():
    assert 0 <= bandwidth(np.array([0.1, -0.1, 0.2], np.float32), RATE) <= RATE / 2
