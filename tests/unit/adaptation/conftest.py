"""A corpus of a few demo voices, and a checkpoint that was trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoints import build, save
from made_stages import CODE, EMOTIONS, entry, load, run, stage
from speechsong import files
from speechsong.adaptation import training
from speechsong.corpora.readers import read_ravdess
from speechsong.demo import voices
from speechsong.embeddings import extract, store


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    """Write the state after every epoch, however short."""
    monkeypatch.setattr(training, "STATE_SECONDS", 0.0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Recordings of two domains, a split of them, an encoder, and its embeddings."""
    base = tmp_path_factory.mktemp("corpus")
    recordings, rows = {}, []
    for name, channel in (("speech", "speech"), ("music", "song")):
        wanted = [
            n
            for n in voices.recordings(channel)
            if n.split("-")[-5] in CODE.values() and n.split("-")[-4] == "01" and int(n.split("-")[-1][:2]) <= 4
        ]
        for n in wanted:
            voices.write_voice(base / "voices", n)
        recordings[name] = sorted(read_ravdess([str(base / "voices" / n) for n in wanted], channel))
        for emotion in EMOTIONS:
            some = [r for r in recordings[name] if r.emotion == emotion]
            parts = ["train"] * (len(some) - 4) + ["validation"] * 2 + ["test"] * 2
            rows += [{"clip_id": r.clip_id, "domain": name, "part": p} for r, p in zip(some, parts, strict=True)]
    files.write_rows(base / "random-0.csv", rows)
    save(build("hubert"), base / "encoder", "hubert")
    encoder = load(base)
    for name, some in recordings.items():
        blocks = {speaker: 0 for speaker in {r.speaker for r in some}}
        for emotion in EMOTIONS:
            found = extract.extract(encoder, [r for r in some if r.emotion == emotion], blocks)
            for layer in range(4):
                said = extract.attributes(encoder, entry(base), name, emotion)
                store.write(base / f"tiny/{name}/layer{layer:02d}/{emotion}.h5", found, layer, said)
    return base, recordings


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """A peft checkpoint with every part away from its start."""
    folder = tmp_path_factory.mktemp("trained")
    return Path(run(corpus, stage(corpus, "peft", "speech"), folder, "speech")["checkpoint"])
