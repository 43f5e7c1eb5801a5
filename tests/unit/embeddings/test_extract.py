"""Means and moments of one pass are those of transformers' own hidden states, clip by clip, held in memory."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import soundfile
import torch
import transformers

from checkpoints import build, loaded
from made_files import write_embeddings
from speechsong.corpora import audio
from speechsong.corpora.readers import scan
from speechsong.corpora.recordings import Recording
from speechsong.distances import fad
from speechsong.embeddings import extract, moments, store
from speechsong.encoders import forward, loading
from speechsong.errors import UserError

FAMILIES = ("wav2vec2", "hubert-stable", "mert", "wavlm", "data2vec-audio", "whisper")
BLOCKS = {"01": 0, "02": 1, "03": 0, "04": 2, "05": 3}  # 04 has no recording


def reference(family: str, folder: Path, path: str, window: int | None = None) -> list[np.ndarray]:
    """Every hidden state (T, d) of one clip by transformers alone."""
    model = build(family)
    kind = transformers.WhisperFeatureExtractor if family == "whisper" else transformers.Wav2Vec2FeatureExtractor
    extractor = kind.from_pretrained(folder)
    rate = extractor.sampling_rate
    samples = audio.load(path, rate)
    with torch.inference_mode():
        if family == "whisper":
            mel = extractor(samples, sampling_rate=rate, return_tensors="pt").input_features
            states = model.get_encoder()(mel, output_hidden_states=True).hidden_states
            return [s[0, : -(-len(samples) // 320)].numpy() for s in states]
        values = extractor(samples, sampling_rate=rate, return_tensors="pt").input_values
        cuts = values.split(window or values.shape[1], dim=1)
        parts = [model(cut, output_hidden_states=True).hidden_states for cut in cuts if cut.shape[1] >= 400]
        return [torch.cat(same, dim=1)[0].numpy() for same in zip(*parts, strict=True)]


def assert_like(found: store.Embeddings, frames: list[list[np.ndarray]], recordings: list[Recording]) -> None:
    """Compare with the frames of each clip and state."""
    assert found.clips == [r.clip_id for r in recordings]
    assert found.frames.tolist() == [len(states[0]) for states in frames]
    width = frames[0][0].shape[1]
    for state in range(len(frames[0])):
        size = max(1, max(np.abs(f[state]).max() for f in frames))
        means = np.stack([f[state].astype(np.float64).mean(axis=0) for f in frames])
        np.testing.assert_allclose(found.pooled[state], means, rtol=0, atol=1e-5 * size)
        for block in range(max(BLOCKS.values()) + 1):
            parts = [f[state] for f, r in zip(frames, recordings, strict=True) if BLOCKS[r.speaker] == block]
            if not parts:
                assert found.count[block] == 0
                assert not found.mean[state, block].any()
                assert not found.scatter[state, block].any()
                continue
            whole = np.concatenate(parts).astype(np.float64)
            assert found.count[block] == len(whole)
            np.testing.assert_allclose(found.mean[state, block], whole.mean(axis=0), rtol=0, atol=1e-5 * size)
            scatter = np.cov(whole, rowvar=False, bias=True) * len(whole)
            packed = moments.unpack(found.scatter[state, block], width)
            np.testing.assert_allclose(packed, scatter, rtol=0, atol=1e-5 * np.trace(scatter))


@pytest.mark.parametrize("family", FAMILIES)
def test_means_and_moments_of_noises(folders, recordings, family):
    encoder = loaded(folders[family], family)
    found = extract.extract(encoder, recordings, BLOCKS)
    frames = [reference(family, folders[family], r.path) for r in recordings]
    assert len(frames[0]) == 4
    assert_like(found, frames, recordings)
    assert (found.pooled.dtype, found.mean.dtype, found.scatter.dtype) == (np.float32, np.float64, np.float32)


@pytest.mark.parametrize("family", ["wav2vec2", "mert"])
def test_means_and_moments_of_real_recordings(folders, shared, family):
    root = shared / "data" / "ravdess-24k" / "Audio_Speech_Actors_01-24"
    corpus = {"reader": "ravdess", "root": str(root), "channel": "speech"}
    chosen = [r for r in scan("speech", corpus) if r.emotion == "neutral" and r.speaker in BLOCKS][:6]
    found = extract.extract(loaded(folders[family], family), chosen, BLOCKS)
    assert_like(found, [reference(family, folders[family], r.path) for r in chosen], chosen)


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
@pytest.mark.parametrize(("ahead", "seconds"), [(0.01, 0.01), (2, 1.0), (5, 1e6), (1e6, 1e6)])
def test_batches_change_nothing(folders, recordings, monkeypatch, family, ahead, seconds):
    encoder = loaded(folders[family], family, window_seconds=2)
    usual = extract.extract(encoder, recordings, BLOCKS)
    monkeypatch.setattr(extract, "READ_AHEAD_SECONDS", ahead)
    monkeypatch.setattr(extract, "BATCH_SECONDS", seconds)
    assert_alike(extract.extract(encoder, recordings, BLOCKS), usual)


@pytest.fixture
def reading(monkeypatch):
    """Make up 300 clips, of which clip i says i in every sample; list those whose reading has begun."""
    begun = []

    def clips(lengths) -> list[Recording]:
        def read(encoder, path, edits):
            begun.append(int(path))
            return np.full(lengths[int(path)] * encoder.rate, int(path), np.float32)

        monkeypatch.setattr(forward, "read", read)
        monkeypatch.setattr(forward, "prepare", lambda encoder, samples: [samples])
        monkeypatch.setattr(audio, "seconds", lambda path, edits: lengths[int(path)])
        return [Recording(f"c{i}", str(i), "calm", "01") for i in range(300)]

    return clips, begun


@pytest.mark.parametrize("lengths", [[60], [30], [1], [200], [1, 1, 1, 1, 1, 600]], ids=str)
@pytest.mark.parametrize("size", [300, 7], ids=["one block", "many blocks"])
def test_clips_are_read_ahead_in_order_and_as_far_as_memory_allows(reading, lengths, size):
    clips, begun = reading
    of = (lengths * 300)[:300]
    got = []
    order = [(i // size, i) for i in range(300)]
    for block, windows in extract._read_ahead(SimpleNamespace(rate=10), clips(of), order):
        time.sleep(0.01)
        assert all(i // size == block and (samples == i).all() for i, samples in windows)
        some = [i for i, _ in windows]
        assert len(some) == 1 or sum(of[i] for i in some) <= 120
        got += some
        # one more has been read than fits the group, and at most one is longer than all that may be ahead
        waiting = [of[i] for i in begun if i not in got]
        assert len(waiting) <= 2 or sum(waiting) - max(waiting) <= 120
    assert got == list(range(300))


def test_the_next_block_is_read_while_one_is_computed(reading):
    clips, begun = reading
    order = [(i // 10, i) for i in range(300)]
    groups = extract._read_ahead(SimpleNamespace(rate=10), clips([4] * 300), order)
    block, windows = next(groups)
    assert (block, [i for i, _ in windows]) == (0, list(range(10)))
    deadline = time.monotonic() + 10
    while len(begun) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(begun)[:30] == list(range(30))
    groups.close()


@pytest.fixture
def small_gpu(monkeypatch):
    """Make the blocks of an encoder fail, in the middle of a batch, where it has more frames than fit."""
    plain = forward.blocks
    seen = []

    def limit(frames: int) -> list[int]:
        def blocks(encoder, fronts, after=None):
            size = len(fronts) * max(map(len, fronts))
            seen.append(size)
            for state, hidden in enumerate(plain(encoder, fronts, after)):
                if state == 2 and size > frames:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                yield hidden

        monkeypatch.setattr(forward, "blocks", blocks)
        return seen

    return limit


@pytest.mark.parametrize("family", ["wav2vec2", "mert", "whisper"])
def test_a_gpu_out_of_memory_halves_the_batch_and_changes_nothing(folders, recordings, small_gpu, caplog, family):
    encoder = loaded(folders[family], family, window_seconds=2)
    usual = extract.extract(encoder, recordings, BLOCKS)
    longest = 1 + int(max(usual.frames)) if family != "whisper" else 100
    seen = small_gpu(longest)
    with caplog.at_level("INFO", logger="speechsong"):
        found = extract.extract(encoder, recordings, BLOCKS)
    assert max(seen) > longest
    assert "out of memory" in caplog.text
    assert_alike(found, usual)


def test_a_window_that_memory_never_holds_is_named(folders, recordings, small_gpu):
    encoder = loaded(folders["hubert-stable"], "hubert")
    small_gpu(50)
    with pytest.raises(UserError) as caught:
        extract.extract(encoder, recordings[1:2], BLOCKS)
    text = str(caught.value)
    assert "\n" not in text
    for part in ("clip1", "1.3 s", "`encoders.hubert.window_seconds`", "`device: cpu`"):
        assert part in text


def test_sums_that_memory_does_not_hold_are_one_line(folders, recordings, monkeypatch):
    def full(sums, state, frames, owner):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(extract.Sums, "add", full)
    with pytest.raises(UserError) as caught:
        extract.extract(loaded(folders["mert"], "mert"), recordings, BLOCKS)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("encoder `mert`: the GPU's memory does not hold")
    assert "`device: cpu`" in text


@pytest.mark.parametrize("family", ["wav2vec2", "whisper"])
def test_the_table_of_owners_counts_for_the_batch(folders, recordings, monkeypatch, family):
    """It is the last that a batch allocates; nothing of the batch has counted by then."""
    encoder = loaded(folders[family], family, window_seconds=2)
    usual = extract.extract(encoder, recordings, BLOCKS)
    plain, refused = torch.zeros, []

    def zeros(*size, **rest):
        if len(size) == 2 and size[1] > 101 and size[1] != encoder.width:
            refused.append(size)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plain(*size, **rest)

    monkeypatch.setattr(torch, "zeros", zeros)
    assert_alike(extract.extract(encoder, recordings, BLOCKS), usual)
    assert refused


def assert_alike(found: store.Embeddings, usual: store.Embeddings) -> None:
    assert found.clips == usual.clips
    assert found.frames.tolist() == usual.frames.tolist()
    assert found.count.tolist() == usual.count.tolist()
    np.testing.assert_allclose(found.pooled, usual.pooled, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.mean, usual.mean, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.scatter, usual.scatter, rtol=0, atol=1e-6 * np.abs(usual.scatter).max())


def test_the_order_of_recordings_changes_nothing(folders, recordings):
    encoder = loaded(folders["hubert-stable"], "hubert")
    usual = extract.extract(encoder, recordings, BLOCKS)
    order = np.random.default_rng(3).permutation(len(recordings))
    found = extract.extract(encoder, [recordings[i] for i in order], BLOCKS)
    back = np.argsort(order)
    found.clips = [found.clips[i] for i in back]
    found.frames, found.pooled = found.frames[back], found.pooled[:, back]
    assert_alike(found, usual)


def test_a_run_repeats_bit_by_bit(folders, recordings):
    encoder = loaded(folders["wavlm"], "wavlm")
    one, other = (extract.extract(encoder, recordings, BLOCKS) for _ in range(2))
    for name in ("frames", "pooled", "count", "mean", "scatter"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_rounds_hidden_states_but_not_their_moments(folders, recordings, family):
    usual, found = (
        extract.extract(loaded(folders[family], family, precision=precision), recordings, BLOCKS)
        for precision in ("float32", "bfloat16")
    )
    assert found.frames.tolist() == usual.frames.tolist()
    # of eight bits
    apart = np.linalg.norm(found.pooled - usual.pooled) / np.linalg.norm(usual.pooled)
    assert 1e-5 < apart < 0.03
    for block, count in enumerate(found.count):
        weights = found.frames * [BLOCKS[r.speaker] == block for r in recordings]
        if count:
            means = np.average(found.pooled.astype(float), axis=1, weights=weights)
            np.testing.assert_allclose(found.mean[:, block], means, rtol=0, atol=1e-6 * np.abs(means).max())


def test_frames_of_windows_are_joined(folders, recordings):
    encoder = loaded(folders["wav2vec2"], "wav2vec2", window_seconds=0.5)
    found = extract.extract(encoder, recordings, BLOCKS)
    frames = [reference("wav2vec2", folders["wav2vec2"], r.path, window=8000) for r in recordings]
    # 0.7 s: 24 frames of the first half second, 9 of the rest
    assert found.frames[0] == 24 + 9
    assert_like(found, frames, recordings)


def test_windows_of_whisper_are_joined(folders, recordings):
    encoder = loaded(folders["whisper"], "whisper", window_seconds=0.5)
    found = extract.extract(encoder, recordings, BLOCKS)
    assert found.frames.tolist() == [-(-round(16000 * s) // 320) for s in (0.7, 1.3, 0.1, 0.4, 1.1, 0.05, 0.9, 0.4)]


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_of_any_width_far_from_zero(recordings, monkeypatch, width, offset):
    # as where a channel's mean is far greater than its spread; here the hidden states are made up
    rng = np.random.default_rng(width)
    states = {len(audio.load(r.path, 24000)): rng.standard_normal((3 + i, width)) for i, r in enumerate(recordings)}
    if offset:
        # what float32 holds exactly around 1e6
        states = {n: np.round(8 * s) / 8 + offset for n, s in states.items()}
    lengths = {r.clip_id: len(audio.load(r.path, 24000)) for r in recordings}
    assert len(states) == len(recordings) - 1  # two clips are of one length
    monkeypatch.setattr(forward, "prepare", lambda encoder, samples: [samples])

    def fronts(encoder, windows, **how):
        made = [torch.from_numpy(states[len(window)]).float() for window in windows]
        return [(state, len(state)) for state in made]

    def blocks(encoder, fronts):
        for state in range(2):
            yield torch.nn.utils.rnn.pad_sequence([f + state for f in fronts], batch_first=True, padding_value=99.0)

    monkeypatch.setattr(forward, "fronts", fronts)
    monkeypatch.setattr(forward, "blocks", blocks)
    encoder = SimpleNamespace(
        name="x", layers=1, width=width, rate=24000, least=1, device=torch.device("cpu"), precision="float32"
    )
    found = extract.extract(encoder, recordings, BLOCKS)
    for state in range(2):
        for block, count in enumerate(found.count):
            parts = [states[lengths[r.clip_id]] for r in recordings if BLOCKS[r.speaker] == block]
            assert count == sum(map(len, parts))
            if count:
                near = np.concatenate(parts) - offset
                # products and sums of a batch are in float32, but of frames without their offset
                found_near = found.mean[state, block] - offset - state
                np.testing.assert_allclose(found_near, near.mean(axis=0), rtol=0, atol=2e-7 * near.std(axis=0).max())
                scatter = np.atleast_2d(np.cov(near, rowvar=False, bias=True)) * count
                packed = moments.unpack(found.scatter[state, block], width)
                np.testing.assert_allclose(packed, scatter, rtol=0, atol=1e-6 * np.trace(scatter))


@pytest.mark.parametrize(("family", "samples"), [("wav2vec2", 399), ("mert", 399), ("wav2vec2", 20)])
def test_a_clip_too_short_for_a_frame_is_named(tmp_path, folders, recordings, family, samples):
    encoder = loaded(folders[family], family)
    path = tmp_path / "short.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(samples), encoder.rate)
    with pytest.raises(UserError) as caught:
        extract.extract(encoder, [*recordings, Recording("short", str(path), "sad", "01")], BLOCKS)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    assert f"`{family}`" in text
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(400), encoder.rate)
    assert extract.extract(encoder, [Recording("short", str(path), "sad", "01")], BLOCKS).frames.tolist() == [1]


@pytest.mark.parametrize(("family", "state"), [("hubert-stable", 2), ("wav2vec2", 1)])
def test_a_state_that_is_not_finite_stops_at_once(folders, recordings, family, state):
    encoder = loaded(folders[family], family)
    # one bad weight in the block before this state
    block = next(m for name, m in encoder.model.named_modules() if name.endswith(f"encoder.layers.{state - 1}"))
    with torch.no_grad():
        next(block.parameters())[0, 0] = float("nan")
    with pytest.raises(UserError) as caught:
        extract.extract(encoder, recordings, BLOCKS)
    text = str(caught.value)
    assert text.startswith(f"encoder `{encoder.name}`: hidden state {state} of clip ")
    assert any(f"clip {r.clip_id} is not finite" in text for r in recordings)
    assert "\n" not in text


def test_the_clip_of_a_state_that_is_not_finite_is_named_in_its_batch(folders, recordings, monkeypatch):
    encoder = loaded(folders["hubert"], "hubert")
    bad = len(forward.read(encoder, recordings[4].path))
    plain = forward.fronts

    def fronts(encoder, windows, **how):
        found = plain(encoder, windows, **how)
        for (state, _), window in zip(found, windows, strict=True):
            if len(window) == bad:
                state[7, 3] = float("inf")
        return found

    monkeypatch.setattr(forward, "fronts", fronts)
    with pytest.raises(UserError, match=rf"hidden state 0 of clip {recordings[4].clip_id} is not finite"):
        # all in one block, so in one batch
        extract.extract(encoder, recordings, dict.fromkeys(BLOCKS, 0))


def test_a_covariance_beyond_float32_is_refused(folders, recordings, monkeypatch):
    encoder = loaded(folders["hubert"], "hubert")
    plain = forward.blocks
    monkeypatch.setattr(forward, "blocks", lambda *a: (s * (1e22 if i == 2 else 1) for i, s in enumerate(plain(*a))))
    with pytest.raises(UserError, match="hidden state 2 is so large"):
        extract.extract(encoder, recordings, BLOCKS)


def test_a_recording_that_cannot_be_used_is_named(tmp_path, folders, recordings):
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000), 16000)
    with pytest.raises(UserError, match=r"silent\.wav: the recording is silent"):
        extract.extract(
            loaded(folders["wav2vec2"], "w"),
            [*recordings, Recording("x", str(tmp_path / "silent.wav"), "sad", "01")],
            BLOCKS,
        )


@pytest.mark.parametrize(
    ("family", "entry", "revision", "rates"),
    [
        ("mert", {"checkpoint": "org/mert", "revision": "abc"}, "abc", (24000, 75)),
        ("wav2vec2", {"checkpoint": "folder", "revision": None}, "local", (16000, 50)),
        ("whisper", {"checkpoint": "folder"}, "local", (16000, 50)),
    ],
)
def test_a_file_says_how_it_was_made(tmp_path, folders, extracted, family, entry, revision, rates):
    attributes = extract.attributes(loaded(folders[family], family), entry, "music", "sad")
    store.write(tmp_path / "a.h5", extracted, 3, attributes)
    with h5py.File(tmp_path / "a.h5") as h5:
        found = dict(h5.attrs)
    assert (found["encoder"], found["revision"], found["emotion"]) == (entry["checkpoint"], revision, "sad")
    assert (found["sample_rate"], found["frame_rate"]) == rates
    assert found["layer"] == 3
    assert (found["torch"], found["transformers"]) == (torch.__version__, transformers.__version__)
    assert found["speechsong"]
    maker = store.read_maker(tmp_path / "a.h5")
    encoder = loaded(folders[family], family)
    assert maker == {"family": encoder.family, "weights": encoder.weights, "precision": "float32"}


# --- all of it: real recordings through a real encoder to a distance


WINDOW = 4  # seconds: song is longer, so its windows are joined here as well


def whisper_frames(model, extractor, path: str) -> list[np.ndarray]:
    """Every hidden state (T, d) of one clip, window by window, by transformers alone."""
    samples = audio.load(path, 16000)
    parts = []
    for start in range(0, len(samples), WINDOW * 16000):
        window = samples[start : start + WINDOW * 16000]
        mel = extractor(window, sampling_rate=16000, return_tensors="pt").input_features
        with torch.inference_mode():
            states = model(mel, output_hidden_states=True).hidden_states
        parts.append([s[0, : -(-len(window) // 320)].numpy() for s in states])
    return [np.concatenate(same) for same in zip(*parts, strict=True)]


def short_whisper(folder: Path):
    """The encoder of transformers' own WhisperModel, with the first positions of its table only."""
    model = transformers.WhisperModel.from_pretrained(folder, dtype=torch.float32).get_encoder().eval()
    config = copy.deepcopy(model.config)
    config.max_source_positions = 50 * WINDOW
    short = type(model)(config).eval()
    weights = model.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: 50 * WINDOW]
    short.load_state_dict(weights)
    return short


@pytest.mark.slow
def test_distances_of_real_recordings(tmp_path, shared):
    folder = shared / "models" / "whisper-tiny-en"
    root = str(shared / "data" / "ravdess-24k")
    actors = {f"{i:02d}": (i - 1) % 3 for i in range(1, 7)}
    encoder = loading.load(folder, name="whisper", layers=4, window_seconds=WINDOW)
    model, extractor = short_whisper(folder), transformers.WhisperFeatureExtractor(chunk_length=WINDOW)
    paths: dict[tuple[str, int], list[str]] = {(d, state): [] for d in ("speech", "music") for state in range(5)}
    frames: dict[tuple[str, str], list[list[np.ndarray]]] = {}
    for domain, channel in (("speech", "speech"), ("music", "song")):
        found = scan(domain, {"reader": "ravdess", "root": root, "channel": channel})
        for emotion in ("calm", "angry"):
            some = [r for r in found if r.emotion == emotion and r.speaker in actors]
            chosen = [r for r in some if r.take == r.statement == "01"]
            assert len(chosen) == 12
            extracted = extract.extract(encoder, chosen, actors)
            for state in range(5):
                paths[domain, state].append(write_embeddings(tmp_path, extracted, "whisper", domain, emotion, state))
            frames[domain, emotion] = [whisper_frames(model, extractor, r.path) for r in chosen]
    for state in range(5):
        of_state = {d: paths[d, state] for d in ("speech", "music")}
        rows, _ = fad.run(of_state, model="whisper", layer=state, emotions=["calm", "angry"], paired=True)
        assert [r["emotion"] for r in rows] == ["calm", "angry", "all"]
        for row in rows:
            some = ["calm", "angry"] if row["emotion"] == "all" else [row["emotion"]]
            x, y = (
                np.concatenate([clip[state] for e in some for clip in frames[d, e]]).astype(np.float64)
                for d in ("speech", "music")
            )
            assert (row["frames_speech"], row["frames_music"]) == (len(x), len(y))
            s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
            root_of_product = np.sqrt(np.linalg.eigvals(s @ t).real.clip(0)).sum()
            wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * root_of_product
            assert abs(row["fad"] - wanted) < 1e-6 * (np.trace(s) + np.trace(t)), (state, row["emotion"])
            assert row["std_error"] > 0
            assert row["fad_corrected"] < row["fad"]
