"""Embedding files: what is written is read, and a file that breaks off or is not what its path says is named."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from made_files import write_embeddings
from speechsong.embeddings import moments, store
from speechsong.errors import UserError


def test_what_is_written_is_read(tmp_path, extracted):
    for state in range(4):
        path = tmp_path / "new folder" / f"{state}.h5"
        store.write(path, extracted, state, {})
        clips, pooled = store.read_pooled(path)
        assert clips == extracted.clips
        np.testing.assert_array_equal(pooled, extracted.pooled[state])
        assert pooled.dtype == np.float32
        blocks, count = store.read_blocks(path)
        assert count == len(extracted.clips)
        np.testing.assert_array_equal(blocks.count, extracted.count)
        np.testing.assert_array_equal(blocks.mean, extracted.mean[state])
        np.testing.assert_array_equal(blocks.scatter, moments.unpack(extracted.scatter[state], 48))


def test_clip_names_of_any_kind(tmp_path, extracted):
    named = copy.copy(extracted)
    named.clips = [f"Jürgen/лето, {i} 夏" for i in range(len(extracted.clips))]
    store.write(tmp_path / "a.h5", named, 0, {})
    assert store.read_pooled(tmp_path / "a.h5")[0] == named.clips


def test_the_layout_of_a_file(tmp_path, extracted):
    # other programs read these names
    store.write(tmp_path / "a.h5", extracted, 2, {})
    with h5py.File(tmp_path / "a.h5") as h5:
        shapes = {k: (h5[k].shape, h5[k].dtype) for k in ("pooled", "frames", "blocks/mean", "blocks/scatter")}
        assert shapes == {
            "pooled": ((8, 48), np.float32),
            "frames": ((8,), np.int64),
            "blocks/mean": ((4, 48), np.float64),
            "blocks/scatter": ((4, 48 * 49 // 2), np.float32),
        }
        assert h5["frames"][()].sum() == h5["blocks/count"][()].sum()
        assert h5.attrs["layer"] == 2


def test_the_same_bytes_twice(tmp_path, extracted):
    for name in ("a.h5", "b.h5"):
        store.write(tmp_path / name, extracted, 1, {"encoder": "x", "sample_rate": 24000})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("reader", [store.read_pooled, store.read_blocks, store.read_maker, store.read_place])
@pytest.mark.parametrize("keep", [0, 7, 2000, -1])
def test_a_file_that_breaks_off_is_named(tmp_path, extracted, reader, keep):
    path = tmp_path / "a.h5"
    store.write(path, extracted, 0, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError) as caught:
        reader(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: cannot be read")
    assert "delete the file and run again" in text


# --- what a file is of


EMOTIONS = ["sad", "calm"]


@pytest.fixture
def paths(tmp_path, extracted) -> list[str]:
    """Files of two layers and two emotions."""
    return [
        write_embeddings(tmp_path, extracted, "tiny", "speech", emotion, layer)
        for emotion in ("calm", "sad")
        for layer in (1, 3)
    ]


def refused(paths: list[str], **changes) -> str:
    asked = {"model": "tiny", "domain": "speech", "emotions": EMOTIONS, "layers": [3, 1]} | changes
    with pytest.raises(UserError) as caught:
        store.arrange(paths, **asked)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_file_says_what_it_is_of(tmp_path, extracted):
    place = store.Place("tiny", "speech", 2, "sad")
    path = write_embeddings(tmp_path, extracted, "tiny", "speech", "sad", 2)
    assert store.read_place(path) == place
    assert path == str(tmp_path / str(place))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 2, 1]])
def test_files_are_arranged_as_was_asked(paths, order):
    found = store.arrange([paths[i] for i in order], model="tiny", domain="speech", emotions=EMOTIONS, layers=[3, 1])
    assert [(layer, list(of)) for layer, of in found.items()] == [(3, EMOTIONS), (1, EMOTIONS)]
    assert found == {3: {"sad": paths[3], "calm": paths[1]}, 1: {"sad": paths[2], "calm": paths[0]}}


def test_layers_that_nobody_asked_for_ascend(paths):
    found = store.arrange(paths[::-1], model="tiny", domain="speech", emotions=EMOTIONS)
    assert list(found) == [1, 3]


@pytest.mark.parametrize("attribute", ["model", "domain", "layer", "emotion"])
def test_a_file_that_does_not_say_what_it_is_of_is_named(paths, attribute):
    with h5py.File(paths[1], "a") as h5:
        del h5.attrs[attribute]
    assert refused(paths) == f"{paths[1]}: does not say its {attribute}; delete the file and run again"


@pytest.mark.parametrize(
    ("attribute", "value", "place"),
    [
        ("model", "other", "other/speech/layer03/calm.h5"),
        ("domain", "music", "tiny/music/layer03/calm.h5"),
        ("layer", 1, "tiny/speech/layer01/calm.h5"),
        ("emotion", "sad", "tiny/speech/layer03/sad.h5"),
    ],
)
def test_a_file_elsewhere_than_it_says_is_named(paths, attribute, value, place):
    with h5py.File(paths[1], "a") as h5:
        h5.attrs[attribute] = value
    wanted = f"{paths[1]}: says that it is {place}, not tiny/speech/layer03/calm.h5; delete the file and run again"
    assert refused(paths) == wanted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, "is of tiny/speech, not of other/speech"),
        ({"domain": "music"}, "is of tiny/speech, not of tiny/music"),
        ({"layers": [3]}, "is tiny/speech/layer01/calm.h5, not one of layers 3 and emotions sad, calm"),
        ({"emotions": ["sad"], "layers": None}, "is tiny/speech/layer01/calm.h5, not one of emotions sad"),
    ],
)
def test_a_file_that_was_not_asked_for_is_named(paths, changes, message):
    assert refused(paths, **changes) == f"{paths[0]}: {message}; correct the list of files"


@pytest.mark.parametrize("layers", [[3, 1], None])
def test_a_file_that_is_missing_is_named(paths, layers):
    wanted = "no embedding file is tiny/speech/layer03/sad.h5; correct the list of files"
    assert refused(paths[:3], layers=layers) == wanted


def test_a_file_given_twice_is_named(paths):
    assert refused([*paths, paths[2]]).startswith(f"{paths[2]}: is tiny/speech/layer01/sad.h5, as {paths[2]} is")
