"""RAVDESS itself through a pretrained encoder: eight actors, two emotions that nobody confuses."""

from __future__ import annotations

import pandas as pd
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(new_run, shared):
    here = new_run("real")
    for actor in (*range(1, 9), 18):
        for source in (shared / "data/ravdess-24k").glob(f"*/Actor_{actor:02d}"):
            link = here.folder / "ravdess" / source.parent.name / source.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
    config = {
        "corpora": {"speech": {"root": "ravdess"}, "music": {"root": "ravdess"}},
        "emotions": ["calm", "angry"],
        "models": ["whisper"],
        "encoders": {
            "whisper": {"checkpoint": str(shared / "models/whisper-tiny-en"), "layers": 4, "window_seconds": 8}
        },
        "probe": {"epochs": 200},
    }
    done = here.snakemake("probes", "kad", "results/tables/fad.csv", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    here.output = done.stdout + done.stderr
    return here


def test_who_sang_nothing_is_left_out_and_named(real):
    assert "Left out, because they are not in both domains: speaker speech 18" in real.output
    clips = pd.read_csv(real.folder / "results/clips/speech.csv", dtype=str)
    assert len(clips) == 8 * 16
    assert "18" not in set(clips["speaker"])


def test_calm_and_angry_are_told_apart(real):
    probes = pd.read_csv(real.folder / "results/probe/whisper.csv")
    probes = probes[probes["test_domain"] == probes["domain"]]
    by_layer = probes[probes["layer"] > 0].groupby(["domain", "protocol", "layer"])["accuracy"].mean()
    assert (by_layer > 0.85).all(), by_layer


def test_angry_speech_is_nearer_to_angry_song_than_calm_to_calm(real):
    # the order that the paper reports for all its encoders
    distances = pd.read_csv(real.folder / "results/fad/whisper.csv").pivot(
        index="layer", columns="emotion", values="fad"
    )
    assert (distances["angry"] < distances["calm"]).loc[1:].all(), distances


def test_the_kernel_distance_agrees_and_surely_tells_the_domains_apart(real):
    distances = pd.read_csv(real.folder / "results/kad/whisper.csv")
    wide = distances.pivot(index="layer", columns="emotion", values="kad")
    assert (wide["angry"] < wide["calm"]).loc[1:].all(), wide
    # eight people: of the 256 ways to swap them, two are the corpus as it is
    assert (distances["p"] < 0.02).all(), distances


def test_the_domains_are_further_apart_than_halves_of_the_people_in_either(real):
    ranks = pd.read_csv(real.folder / "results/tables/fad.csv")
    assert (ranks["fad_across"] > ranks[["fad_within_speech", "fad_within_music"]].max(axis=1)).all()
    deep = ranks[(ranks["over"] == "mean") & (ranks["emotion"] == "angry")]
    assert deep["rank"].item() == 1
    assert deep["rank_resampled"].item() > 0.9
