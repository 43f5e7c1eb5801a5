"""Training of a stage: the first of the best epochs is kept, a killed one resumes to the same bits."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from made_files import write_embeddings
from made_stages import EMOTIONS, LAYERS, MAKER, PEFT, D, domain, load, outputs, prepare, run, settings, stage
from mutations import flipped
from speechsong import files
from speechsong.adaptation import checkpoints, learners, training
from speechsong.adaptation.domains import Domain, pooled_domains
from speechsong.adaptation.export import predict
from speechsong.corpora.splits import split
from speechsong.embeddings import store
from speechsong.errors import UserError


def test_batches_hold_every_row_once_in_random_order():
    rows = np.arange(1000, 1500)
    drawn = training.batches(rows, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(drawn)) == list(rows)
    assert sorted(map(len, drawn)) == [4] + [16] * 31
    # a batch is a sample of all rows, so it has about as many of each class as they have
    shares = [np.mean(batch % 2) for batch in drawn if len(batch) == 16]
    assert np.std(shares) == pytest.approx(0.5 / 4, rel=0.4)
    again = training.batches(rows, 16, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    other = training.batches(rows, 16, np.random.default_rng(2))
    assert not all(np.array_equal(a, b) for a, b in itertools.zip_longest(drawn, other))


def test_the_first_of_the_best_epochs_is_kept_and_patience_stops():
    data = domain()
    learner = learners.Learner(learners.LinearClassifier(D, 3, LAYERS, seed=1), settings())
    progress = training.fit(learner, data, settings(epochs=40), (0, 1))
    assert len(progress.validation) == 40
    assert progress.best_epoch == int(np.argmax(progress.validation)) + 1
    for name, value in learner.parameters().items():
        np.testing.assert_array_equal(value, progress.best[name])
    learner = learners.Learner(learners.LinearClassifier(D, 3, LAYERS, seed=1), settings())
    stopped = training.fit(learner, data, settings(epochs=40, patience=3), (0, 1))
    assert len(stopped.validation) == stopped.best_epoch + 3 < 40
    assert stopped.validation == progress.validation[: len(stopped.validation)]


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
def test_two_stages(corpus, tmp_path, approach):
    first = run(corpus, stage(corpus, approach, "speech"), tmp_path, "speech")
    start = first["checkpoint"]
    second = run(corpus, stage(corpus, approach, "speech", "music", start), tmp_path, "speech-music")
    control = run(corpus, stage(corpus, approach, "speech", "speech", start), tmp_path, "speech-speech")
    table = pd.concat([pd.read_csv(made["table"]) for made in (first, second, control)])
    assert list(table["stage"]) == [1, 2, 2, 2]
    assert list(table["test_domain"]) == ["speech", "music", "speech", "speech"]
    assert list(table["target"].fillna("")) == ["", "music", "music", "speech"]
    assert table["accuracy"].between(0, 1).all()
    parts = [f"parameters_{part}" for part in checkpoints.PARTS]
    assert (table[parts].sum(axis=1) == table["trainable_parameters"]).all()
    wanted = {"baseline": 3 * 49, "ws": 3 * 49 + 3, "peft": 3 * 49 + 3 + 3 * (4 * 2 * 2 * 48 + 2 * 4 * 48 + 52 + 48)}
    assert set(table["trainable_parameters"]) == {wanted[approach]}
    for made, rows in ((first, 1), (second, 2)):
        guesses = pd.read_csv(made["predictions"])
        assert len(guesses) == rows * 6
        right = (guesses["true"] == guesses["predicted"]).groupby(guesses["test_domain"]).mean()
        for row in pd.read_csv(made["table"]).itertuples():
            assert row.accuracy == right[row.test_domain]
    parameters, description = checkpoints.read(second["checkpoint"])
    assert checkpoints.count(parameters) == description["trainable_parameters"]
    assert len(description["validation"]) == 3
    assert description["best_epoch"] == int(np.argmax(description["validation"])) + 1
    encoder = load(corpus[0])
    adapters_of = {k: list(v) if isinstance(v, tuple) else v for k, v in PEFT.items()} if approach == "peft" else {}
    assert (
        description.items()
        >= {
            **{"model": "tiny", "approach": approach, "protocol": "random", "seed": 0, "stage": 2, "code": "code"},
            **{"source": "speech", "target": "music", "emotions": EMOTIONS, "layers": [1, 2, 3], "window_seconds": 30},
            "encoder": {"checkpoint": str(corpus[0] / "encoder"), "revision": None, "control": None},
            **{"family": "hubert", "weights": encoder.weights},
        }.items()
    )
    training = {"epochs": 3, "weight_decay": 0.01, "batch_size": 8, "patience": None, "freeze_gate": False}
    rate = {"learning_rate": 3e-3 if approach == "peft" else 1e-2}
    assert description["settings"] == training | rate | adapters_of
    assert not list((tmp_path / "state").glob("*.safetensors"))


@pytest.mark.parametrize("approach", ["baseline", "ws", "peft"])
def test_joint_training_learns_from_both_domains_and_is_tested_on_each(corpus, tmp_path, monkeypatch, approach):
    base, recordings = corpus
    parts = pd.read_csv(base / "random-0.csv")
    plain, seen = learners.Learner.train_epoch, []

    def watched(self, domain, batches):
        seen.append([[(domain.clips[row], EMOTIONS[domain.answers[row]]) for row in rows] for rows in batches])
        return plain(self, domain, batches)

    monkeypatch.setattr(learners.Learner, "train_epoch", watched)
    made = run(corpus, stage(corpus, approach, "speech+music"), tmp_path, "speech+music")
    emotion_of = {r.clip_id: r.emotion for listed in recordings.values() for r in listed}
    train = sorted((clip, emotion_of[clip]) for clip in parts[parts["part"] == "train"]["clip_id"])
    assert len(seen) == 3
    assert all(sorted(itertools.chain(*epoch)) == train for epoch in seen)
    domain_of = dict(zip(parts["clip_id"], parts["domain"], strict=True))
    # clips of both domains share their batches
    assert any(len({domain_of[clip] for clip, _ in batch}) == 2 for batch in seen[0])

    table = pd.read_csv(made["table"], keep_default_na=False)
    labels = table[["source", "target", "stage", "test_domain"]]
    assert labels.to_numpy().tolist() == [["speech+music", "", 1, tested] for tested in ("speech", "music")]
    guesses = pd.read_csv(made["predictions"])
    for tested, row in table.set_index("test_domain").iterrows():
        some = guesses[guesses["test_domain"] == tested]
        assert set(some["clip_id"]) == set(parts[(parts["part"] == "test") & (parts["domain"] == tested)]["clip_id"])
        assert row["accuracy"] == pytest.approx((some["true"] == some["predicted"]).mean())

    # the epoch is selected by the accuracy on the validation clips of both domains, as whoever uses it finds
    _, description = checkpoints.read(made["checkpoint"])
    path_of = {r.clip_id: r.path for listed in recordings.values() for r in listed}
    validation = list(parts[parts["part"] == "validation"]["clip_id"])
    emotions, shares = predict(made["checkpoint"], [path_of[clip] for clip in validation])
    right = [emotions[k] == emotion_of[clip] for k, clip in zip(shares.argmax(axis=1), validation, strict=True)]
    assert description["validation"][description["best_epoch"] - 1] == pytest.approx(np.mean(right))


def test_stage_two_starts_where_stage_one_was_best(corpus, tmp_path):
    first = run(corpus, stage(corpus, "peft", "speech"), tmp_path, "speech")
    # a stage that learns nothing gives stage one's answers again
    still = stage(
        corpus, "peft", "speech", "music", first["checkpoint"], training={"learning_rate": 1e-30, "epochs": 1}
    )
    second = run(corpus, still, tmp_path, "speech-music")
    once = pd.read_csv(first["predictions"])
    again = pd.read_csv(second["predictions"])
    again = again[again["test_domain"] == "speech"]
    for emotion in EMOTIONS:
        np.testing.assert_allclose(again[f"logit_{emotion}"], once[f"logit_{emotion}"], atol=1e-6)


def test_a_frozen_gate_stays_and_is_not_counted(corpus, tmp_path):
    first = run(corpus, stage(corpus, "peft", "speech"), tmp_path, "speech")
    frozen = stage(corpus, "peft", "speech", "music", first["checkpoint"], training={"freeze_gate": True})
    second = run(corpus, frozen, tmp_path, "speech-music")
    before, after = load_file(first["checkpoint"]), load_file(second["checkpoint"])
    for name in before:
        assert np.array_equal(before[name], after[name]) == name.startswith("gate."), name
    assert set(pd.read_csv(second["table"])["parameters_gate"]) == {0}


@pytest.mark.parametrize(
    ("approach", "source", "after"),
    [*itertools.product(["baseline", "ws", "peft"], ["music"], [1, 2]), ("ws", "speech+music", 1)],
)
def test_a_killed_stage_resumes_to_the_same_bits(corpus, tmp_path, monkeypatch, approach, source, after):
    what = stage(corpus, approach, source, training={"epochs": 4})
    whole = run(corpus, what, tmp_path / "whole", "music")
    plain, calls = learners.Learner.train_epoch, []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) > after:
            # in the middle of an epoch: parameters have moved
            plain(self, *arguments)
            raise KeyboardInterrupt
        return plain(self, *arguments)

    monkeypatch.setattr(learners.Learner, "train_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, what, tmp_path / "killed", "music")
    assert not (tmp_path / "killed" / "music.csv").exists()
    calls.clear()

    def counts(self, *arguments):
        calls.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(learners.Learner, "train_epoch", counts)
    resumed = run(corpus, what, tmp_path / "killed", "music")
    assert len(calls) == 4 - after
    for key in ("checkpoint", "predictions"):
        assert Path(resumed[key]).read_bytes() == Path(whole[key]).read_bytes()
    assert Path(resumed["checkpoint"]).with_suffix(".json").read_bytes() == (tmp_path / "whole/music.json").read_bytes()


@pytest.mark.parametrize("spoil", ["settings", "bytes"])
def test_a_state_of_another_training_is_not_resumed(corpus, tmp_path, monkeypatch, spoil):
    what = stage(corpus, "ws", "music")
    whole = run(corpus, what, tmp_path / "whole", "music")
    state = tmp_path / "other" / "state" / "music.safetensors"
    learner, domains = prepare(corpus, what)
    training.fit(learner, domains["music"], settings(epochs=1), (9, 9), state, "something else")
    if spoil == "bytes":
        state.write_bytes(state.read_bytes()[:100])
    again = run(corpus, what, tmp_path / "other", "music")
    assert Path(again["checkpoint"]).read_bytes() == Path(whole["checkpoint"]).read_bytes()


def test_a_state_of_another_precision_is_not_resumed(corpus, tmp_path, monkeypatch):
    what = stage(corpus, "ws", "music")
    learner, domains = prepare(corpus, what)
    rounded = {d: dataclasses.replace(one, maker=one.maker | {"precision": "bfloat16"}) for d, one in domains.items()}
    plain, calls = learners.Learner.train_epoch, []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, *arguments)

    monkeypatch.setattr(learners.Learner, "train_epoch", dies)
    state = tmp_path / "state/music.safetensors"
    with pytest.raises(KeyboardInterrupt):
        training.run(what, learner, rounded, state, [what.split], outputs(tmp_path, "music"))
    assert state.exists()
    run(corpus, what, tmp_path, "music")
    assert len(calls) == 2 + 3


def test_a_damaged_state_is_discarded_and_said(tmp_path, caplog):
    state = tmp_path / "s.safetensors"
    what = settings(epochs=2)

    def train(epochs: int):
        learner = learners.Learner(learners.LinearClassifier(D, 3, LAYERS), what)
        progress = training.fit(learner, domain(), settings(epochs=epochs), (0, 1), state, "this")
        return progress.validation, sorted((name, value.tobytes()) for name, value in progress.best.items())

    whole = train(2)
    state.unlink()
    train(1)
    sound = state.read_bytes()
    for damaged in [*flipped(sound, 40), sound[:100], b"", b"x" * 5000]:
        state.write_bytes(damaged)
        caplog.clear()
        assert train(2) == whole
        assert "is damaged or of an earlier version; started from scratch" in caplog.text
    state.write_bytes(sound)
    caplog.set_level("INFO", logger="speechsong")
    assert train(2) == whole
    assert "resumed after epoch 1" in caplog.text


@pytest.mark.parametrize("approach", ["ws", "peft"])
def test_a_loss_that_is_no_number_stops_and_keeps_the_best(corpus, tmp_path, monkeypatch, approach):
    what = stage(corpus, approach, "music", training={"epochs": 9})
    plain, calls = learners.Learner.train_epoch, []

    def diverges(self, *arguments):
        calls.append(1)
        return plain(self, *arguments) if len(calls) < 3 else float("nan")

    monkeypatch.setattr(learners.Learner, "train_epoch", diverges)
    with pytest.raises(UserError, match=rf"epoch 3.*`adapt\.learning_rate\.{approach}`.*music-best") as caught:
        run(corpus, what, tmp_path, "music")
    assert "\n" not in str(caught.value)
    _, description = checkpoints.read(tmp_path / "state/music-best.safetensors")
    assert len(description["validation"]) == 2
    assert not (tmp_path / "music.csv").exists()


def test_a_real_overflow_is_found(corpus, tmp_path):
    what = stage(corpus, "ws", "music", training={"learning_rate": 1e38})
    with pytest.raises(UserError, match="not a finite number in epoch 1"):
        run(corpus, what, tmp_path, "music")


@pytest.mark.parametrize("where", ["epoch", "logits"])
def test_a_gpu_out_of_memory_names_the_size_of_the_batch(corpus, tmp_path, monkeypatch, where):
    what = stage(corpus, "peft", "music")
    learner, domains = prepare(corpus, what)
    plain = learner.model.forward

    def forward(clips):
        import torch

        if torch.is_grad_enabled() == (where == "epoch"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(clips)

    monkeypatch.setattr(learner.model, "forward", forward)
    with pytest.raises(UserError, match=r"8 clips.*`adapt\.batch_size`") as caught:
        training.run(what, learner, domains, tmp_path / "state", [what.split], outputs(tmp_path, "music"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "music.csv").exists()


@pytest.mark.parametrize("paired", [True, False])
def test_the_speaker_split_trains_and_tests_on_different_people(corpus, tmp_path, paired):
    rng = np.random.default_rng(0)
    clips, domains = {}, {}
    for name in ("speech", "music"):
        clips[name] = [
            {"clip_id": f"{name}-{s}-{e}-{i}", "speaker": f"{s}", "gender": "fm"[s % 2], "emotion": e}
            for e in EMOTIONS
            for s in range(10)
            for i in range(2)
        ]
        domains[name] = []
        for k, e in enumerate(EMOTIONS):
            ids = [c["clip_id"] for c in clips[name] if c["emotion"] == e]
            pooled = (rng.standard_normal((1, 20, D)) + 4 * np.eye(D)[k]).astype(np.float32)
            none = np.zeros((1, 1, 1))
            found = store.Embeddings(ids, np.ones(20, int), pooled, np.ones(1, int), none, none)
            domains[name].append(write_embeddings(tmp_path, found, "tiny", name, e, **MAKER))
    rows = split(clips, "speaker", 3, fractions=[0.6, 0.2, 0.2], paired=paired)
    files.write_rows(tmp_path / "speaker-3.csv", rows)
    changes = {"protocol": "speaker", "seed": 3, "layers": [0]}
    start = None
    for target in (None, "music"):
        what = stage(
            corpus, "baseline", "speech", target, start, training={"epochs": 20, "learning_rate": 0.1}, **changes
        )
        what = dataclasses.replace(what, split=str(tmp_path / "speaker-3.csv"))
        read = pooled_domains(what, {d: domains[d] for d in what.tested})
        made = outputs(tmp_path, "-".join(filter(None, ("speech", target))))
        training.run(what, learners.linear_learner(what, read), read, tmp_path / "state", [], made)
        start = made["checkpoint"]
        people = {d: [{read[d].clips[i].split("-")[1] for i in part} for part in parts_of(read[d])] for d in read}
        for train, validation, test in people.values():
            assert (len(train), len(validation), len(test)) == (6, 2, 2)
            assert len(train | validation | test) == 10
        assert not paired or len({frozenset(test) for *_, test in people.values()}) == 1
    guesses = pd.read_csv(made["predictions"], dtype=str)
    for name in ("music", "speech"):
        some = guesses[guesses["test_domain"] == name]
        assert set(some["clip_id"].str.split("-").str[1]) == people[name][2]
        assert len(some) == 12
    table = pd.read_csv(made["table"])
    assert set(table["protocol"]) == {"speaker"}
    assert (table["accuracy"] == 1).all()


def parts_of(domain: Domain):
    return domain.split.train, domain.split.validation, domain.split.test
