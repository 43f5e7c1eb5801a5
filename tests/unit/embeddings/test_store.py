"""Embedding files: what is written is read, and a file that breaks off or is not what its path says is named."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from made_files import write_embeddings
from mutations import flipped, outcomes
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


def test_no_flipped_bit_gives_other_numbers(tmp_path, extracted):
    path = tmp_path / "tiny/speech/layer01/sad.h5"
    attributes = {"model": "tiny", "domain": "speech", "emotion": "sad", "family": "hubert", "weights": "0123"}
    store.write(path, extracted, 1, attributes)

    def read() -> list:
        place, maker = store.read_place(path), store.read_maker(path)
        (clips, pooled), (blocks, n) = store.read_pooled(path), store.read_blocks(path)
        arrays = (pooled, blocks.count, blocks.mean, blocks.scatter)
        return [place, maker, clips, n, *(a.tobytes() for a in arrays)]

    found = outcomes(path, flipped(path.read_bytes(), 300), read)
    assert (found["silent"], found["traceback"]) == (0, 0), found
    assert found["one line"] > 200


def test_a_file_without_permission_is_not_to_be_deleted(tmp_path, extracted, monkeypatch):
    path = tmp_path / "a.h5"
    store.write(path, extracted, 0, {})

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(UserError) as caught:
        store.read_pooled(path)
    assert str(caught.value) == f"{path}: cannot be read (Permission denied); restore it, or run again"


def _shorter(h5):
    values = h5["pooled"][1:]
    del h5["pooled"]
    h5["pooled"] = values


def _of_another_width(h5):
    values = h5["blocks/scatter"][:, 1:]
    del h5["blocks/scatter"]
    h5["blocks/scatter"] = values


def _twice(h5):
    names = h5["clips"][()]
    names[0] = names[1]
    h5["clips"][()] = names


def _linked(h5):
    del h5["pooled"]
    h5["pooled"] = h5py.ExternalLink("elsewhere.h5", "/pooled")


def _group_linked(h5):
    del h5["blocks"]
    h5["blocks"] = h5py.ExternalLink("elsewhere.h5", "/blocks")


def _outside(h5):
    values = h5["pooled"]
    shape = values.shape
    del h5["pooled"]
    h5.create_dataset("pooled", shape, "f4", external=[("/etc/hostname", 0, 4 * shape[0] * shape[1])])


def _virtual(h5):
    shape = h5["pooled"].shape
    del h5["pooled"]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "pooled", shape)
    h5.create_virtual_dataset("pooled", layout)


def _endless(h5):
    for name in ("clips", "frames", "pooled"):
        kind = h5[name].dtype
        del h5[name]
        h5.create_dataset(name, (10**12, 48)[: 2 if name == "pooled" else 1], kind, chunks=True)


def _text(h5):
    del h5["frames"]
    h5["frames"] = ["a"] * 8


@pytest.mark.parametrize(
    "spoil", [_shorter, _of_another_width, _twice, _linked, _group_linked, _outside, _virtual, _endless, _text]
)
def test_a_file_of_another_layout_is_refused(tmp_path, extracted, spoil):
    store.write(tmp_path / "elsewhere.h5", extracted, 0, {})
    path = tmp_path / "tiny/speech/layer01/sad.h5"
    store.write(path, extracted, 1, {"model": "tiny", "domain": "speech", "emotion": "sad"})
    with h5py.File(path, "a") as h5:
        spoil(h5)
    with pytest.raises(UserError) as caught:
        store.read_place(path)
        store.read_pooled(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    assert text.endswith("; delete the file and run again")


def test_a_file_of_an_earlier_version_is_read(tmp_path, extracted):
    path = tmp_path / "tiny/speech/layer01/sad.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as h5:
        h5.attrs.update({"model": "tiny", "domain": "speech", "layer": 1, "emotion": "sad", "family": "hubert"})
        h5.create_dataset("clips", data=extracted.clips, dtype=h5py.string_dtype())
        h5["pooled"], h5["frames"] = extracted.pooled[1], extracted.frames
        h5["blocks/count"], h5["blocks/mean"] = extracted.count, extracted.mean[1]
        h5["blocks/scatter"] = extracted.scatter[1]
    assert store.read_place(path).layer == 1
    assert store.read_maker(path) == {"family": "hubert", "weights": None, "precision": None}
    clips, pooled = store.read_pooled(path)
    assert clips == extracted.clips
    np.testing.assert_array_equal(pooled, extracted.pooled[1])
    assert store.read_blocks(path)[1] == len(clips)


def test_chunks_stay_below_the_limit_of_hdf5(tmp_path, extracted, monkeypatch):
    monkeypatch.setattr(store, "_CHUNK", 500)
    store.write(tmp_path / "a.h5", extracted, 0, {})
    with h5py.File(tmp_path / "a.h5") as h5:
        assert h5["pooled"].chunks == (2, 48)
        assert h5["blocks/mean"].chunks == (1, 48)
    np.testing.assert_array_equal(store.read_pooled(tmp_path / "a.h5")[1], extracted.pooled[0])


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
