"""A user's mistake: one clear line that names the file or key and the remedy, no traceback, nothing half written.

One or two for each way that a mistake takes to the user; the tests of the modules have them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechsong.demo import voices
from tiny_encoders import write_encoder

EMOTIONS = ["calm", "happy"]


@pytest.fixture
def corpus(run):
    """Two emotions of five demo actors in both domains, and a config for them."""
    root = run.folder / "voices"
    for channel in ("speech", "song"):
        for name in voices.recordings(channel):
            emotion, actor = name.split("-")[-5], int(name.split("-")[-1][:2])
            if emotion in ("02", "03") and actor <= 5:
                voices.write_voice(root, name)
    run.config = {
        "corpora": {"speech": {"root": "voices"}, "music": {"root": "voices"}},
        "emotions": EMOTIONS,
        "models": ["tiny"],
        "encoders": {"tiny": {"checkpoint": "encoder", "revision": "abc", "layers": 2, "window_seconds": 30}},
        "split": {"protocols": ["random"], "seeds": [0]},
        "probe": {"epochs": 5},
    }
    return run


@pytest.fixture
def encoder(corpus):
    write_encoder(corpus.folder / "encoder", "hubert")
    return corpus.folder / "encoder"


def recording(run, emotion: str = "02", channel: str = "Speech") -> Path:
    return sorted((run.folder / "voices").glob(f"Audio_{channel}*/*/*-{emotion}-*-*-*-*.wav"))[0]


def refuse(run, target: str, *parts: str, config: dict | None = None, **environment: str) -> str:
    """Run, expect a failure whose message has all `parts` in one line and is no traceback; return that line."""
    done = run.snakemake(target, config=run.config if config is None else config, **environment)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if all(part in line for part in parts)]
    assert lines, text
    half = [
        p
        for p in (run.folder / "results").rglob("*")
        if p.name.startswith(".") and p.suffix != ".sha256" and p.is_file()
    ]
    assert half == []
    return lines[0]


# ---- found before anything runs ----


def test_unknown_key(corpus):
    refuse(corpus, "all", "`probe.epoch`", "`epochs`", config={"probe": {"epoch": 3}})


def test_misspelt_emotion(corpus):
    refuse(corpus, "all", "`emotions`", "`happpy`", "`happy`", config=corpus.config | {"emotions": ["calm", "happpy"]})


def test_a_root_that_is_missing(run):
    own = {"reader": "ravdess", "root": "nothing", "channel": "speech"}
    config = {"corpora": {"mine": own}, "domains": ["mine", "music"]}
    refuse(run, "all", "corpus `mine`", "nothing", "`corpora.mine.root`", config=config)


def test_a_name_that_is_not_ravdess(corpus):
    path = recording(corpus)
    path.rename(path.with_name("take-2.wav"))
    refuse(corpus, "all", "take-2.wav", "not the name of an audio-only RAVDESS recording", "`reader: table`")


def test_an_emotion_missing_in_one_domain(corpus):
    for path in (corpus.folder / "voices").glob("Audio_Song*/*/03-02-03-*.wav"):
        path.unlink()
    refuse(corpus, "all", "`emotions`", "`music`", "`happy`")


def test_no_common_speaker(corpus):
    for path in list((corpus.folder / "voices").glob("Audio_Song*/*/*.wav")):
        actor = int(path.stem[-2:]) + 10
        path.rename(path.with_name(f"{path.stem[:-2]}{actor}.wav"))
    refuse(corpus, "all", "`speakers`", "no speaker in common", "independent")


def test_nothing_can_be_fetched(run):
    nowhere = "http://127.0.0.1:9"
    offline = {name: nowhere for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY", "HF_ENDPOINT")}
    text = refuse(run, "all", "encoders.", ".checkpoint", "data/encoders", config={}, **offline)
    assert "huggingface.co/" in text
    done = run.snakemake("all", config={}, **offline)
    assert (done.stdout + done.stderr).count("error:") == 1
    missing = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Still to be fetched")]
    assert len(missing) == 5  # two parts of RAVDESS, three encoders
    assert not list((run.folder / "results").rglob("*.csv"))
    line = refuse(run, "results/clips/speech.csv", "RAVDESS", config={}, **offline)
    for part in ("zenodo.org", "data/ravdess", "corpora.speech.root"):
        assert part in line


# ---- found in a recording ----


def spoil_silent(path: Path) -> None:
    soundfile.write(path, np.zeros(48000), 48000)


def test_a_recording_that_cannot_be_used(corpus):
    path = recording(corpus)
    path.write_bytes(b"RIFF" + os.urandom(500))
    refuse(corpus, "results/clips/speech.csv", path.name, "cannot be read as audio")
    assert not (corpus.folder / "results/clips/speech.csv").exists()


def test_clips_that_cannot_be_used_are_listed_at_once_and_left_out(corpus):
    target, listing = "results/clips/speech.csv", corpus.folder / "results/logs/clips/speech.exclude"
    bad = [recording(corpus), recording(corpus, "03")]
    spoil_silent(bad[0])
    bad[1].write_bytes(bad[1].read_bytes()[:5000])
    refuse(corpus, target, "2 clips of `speech` cannot be used", "speech.exclude", "`corpora.speech.exclude`")
    assert all(path.name in listing.read_text() for path in bad)
    listing.rename(corpus.folder / "bad.txt")
    corpus.config["corpora"]["speech"]["exclude"] = "bad.txt"
    done = corpus.snakemake(target, config=corpus.config)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (corpus.folder / target).read_text()
    assert not any(path.stem in text for path in bad)


def test_a_table_takes_nothing_from_the_ravdess_that_it_replaces_and_its_confounding_is_said(corpus):
    paths = [recording(corpus, emotion, channel) for channel in ("Speech", "Song") for emotion in ("02", "03")]
    lines = [f"{path},{EMOTIONS[i % 2]},{i % 2}" for i, path in enumerate(paths)]
    (corpus.folder / "own.csv").write_text("\n".join(["path,emotion,speaker", *lines, ""]))
    own = {"reader": "table", "table": "own.csv"}
    config = corpus.config | {"corpora": {"speech": own, "music": own}}
    done = corpus.snakemake("results/clips/speech.csv", config=config)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "Domain `speech`: Emotion and speaker are confounded" in text


def test_a_bad_recording_stops_its_own_tuple_and_costs_no_other(corpus, encoder):
    spoil_silent(recording(corpus, "03"))
    target = "results/embeddings/tiny/speech/layer00/{}.h5"
    refuse(corpus, target.format("happy"), recording(corpus, "03").name, "silent")
    assert not list((corpus.folder / "results/embeddings").rglob("*.h5"))
    assert corpus.snakemake(target.format("calm"), config=corpus.config).returncode == 0


def test_a_recording_too_short_for_a_frame(corpus, encoder):
    path = recording(corpus)
    soundfile.write(path, 0.1 * np.sin(np.arange(600)), 48000)
    refuse(corpus, "results/embeddings/tiny/speech/layer00/calm.h5", path.name, "too short for one frame", "`tiny`")


def test_formats_that_simply_work(corpus):
    paths = sorted((corpus.folder / "voices").glob("Audio_Speech*/*/*.wav"))
    kinds = (("PCM_U8", 48000), ("PCM_24", 48000), ("FLOAT", 48000), ("PCM_16", 44100))
    for path, (subtype, rate) in zip(paths, kinds, strict=False):
        samples, _ = soundfile.read(path)
        soundfile.write(path, np.stack([samples, samples], axis=-1) if samples.ndim == 1 else samples, rate, subtype)
    done = corpus.snakemake("results/clips/speech.csv", config=corpus.config)
    assert done.returncode == 0, done.stderr


# ---- found in the corpus as a whole ----


def test_fewer_clips_in_a_class_than_the_split_needs(corpus):
    for path in sorted((corpus.folder / "voices").glob("Audio_Speech*/*/03-01-03-*.wav"))[2:]:
        path.unlink()
    refuse(corpus, "results/splits/random-0.csv", "domain `speech`", "`happy`", "2 in all")


def test_fewer_speakers_than_folds(corpus):
    for path in (corpus.folder / "voices").glob("*/Actor_05"):
        shutil.rmtree(path)
    config = corpus.config | {"split": {"protocols": ["speaker"]}}
    refuse(corpus, "results/splits/speaker-0.csv", "`split.protocols`", "at least 5 speakers", config=config)


# ---- found in a checkpoint ----

CALM = "results/embeddings/tiny/music/layer01/calm.h5"


def test_a_checkpoint_with_a_missing_weight(corpus, encoder):
    from safetensors.numpy import load_file, save_file

    weights = load_file(encoder / "model.safetensors")
    del weights["encoder.layers.1.attention.k_proj.weight"]
    save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})
    refuse(corpus, CALM, "lacks 1 weights", "encoder.layers.1.attention.k_proj.weight", "`encoders.tiny.checkpoint`")
    assert not (corpus.folder / CALM).exists()


def test_a_checkpoint_that_is_neither_here_nor_pinned_on_the_hub(corpus):
    config = corpus.config | {"encoders": {"tiny": {"checkpoint": "encodr", "layers": 2, "window_seconds": 30}}}
    refuse(corpus, CALM, "`encoders.tiny.checkpoint`", "no folder encodr", "`encoders.tiny.revision`", config=config)


def test_a_checkpoint_that_lacks_a_file(corpus, encoder):
    (encoder / "model.safetensors").unlink()
    refuse(corpus, CALM, "`encoders.tiny.checkpoint`", "encoder lacks model.safetensors")


# ---- a full disk ----


@pytest.fixture
def small_disk(corpus, absent):
    """A disk of 200 kB on results/."""
    place = corpus.folder / "results"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        absent("the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(corpus, encoder, small_disk):
    (small_disk / "filler").write_bytes(bytes(150_000))
    targets = "results/embeddings/tiny/speech/layer00/calm.h5"
    refuse(corpus, targets, "calm.h5", "disk is full", "free some space")
    assert not list(small_disk.rglob("*.h5"))
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=50M", str(small_disk)], check=True)
    assert corpus.snakemake(targets, config=corpus.config).returncode == 0
