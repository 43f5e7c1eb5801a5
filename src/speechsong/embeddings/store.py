"""Embedding files: clip means and speaker-block moments of one (model, domain, layer, emotion), as HDF5.

Frames are never stored. The moments are constant in size and the means take d numbers per clip, however long the
recordings are.

The attributes of a file say what it holds, and so does its path. Readers use `arrange`, which goes by the attributes
and refuses a file whose path says something else.

HDF5 checks what it reads against checksums: data by Fletcher's, and structure in files of the format of HDF5 1.10. Text
of any length has none, so clip names have a fixed length, and the attributes have a digest of their own.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from speechsong import files
from speechsong.embeddings import moments
from speechsong.errors import UserError

_RENEW = "delete the file and run again"
_RELIST = "correct the list of files"
# most bytes of one chunk; HDF5 allows 4 GiB
_CHUNK = 2**28
# the datasets: what kind of numbers (as in NumPy) or text they hold, and the sizes that they share: n clips, width w of
# the means, B blocks, width d of the frames, p = d(d+1)/2
_LAYOUT = {
    "clips": ("SO", "n"),
    "pooled": ("f", "nw"),
    "frames": ("i", "n"),
    "blocks/count": ("i", "B"),
    "blocks/mean": ("f", "Bd"),
    "blocks/scatter": ("f", "Bp"),
}


@dataclass
class Embeddings:
    """The result of one pass over the recordings of one emotion.

    Attributes
    ----------
    clips : list of n str
        Names of the clips.
    frames : ndarray (n,), int64
        Frames of each clip.
    pooled : ndarray (S, n, d), float32
        Mean over a clip's frames, for each of the S hidden states.
    count : ndarray (B,), int64
        Frames of each speaker block.
    mean : ndarray (S, B, d), float64
        Mean of each block's frames.
    scatter : ndarray (S, B, d(d+1)/2), float32
        Packed (`moments.pack`), centred on the block's own mean.
    """

    clips: list[str]
    frames: np.ndarray
    pooled: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray


@dataclass(frozen=True)
class Place:
    """What an embedding file holds. As a string, it is the end of the file's path."""

    model: str
    domain: str
    layer: int
    emotion: str

    def __str__(self) -> str:
        return f"{self.model}/{self.domain}/layer{self.layer:02d}/{self.emotion}.h5"


def write(path: str | Path, embeddings: Embeddings, layer: int, attributes: dict) -> None:
    """Write one hidden state as HDF5, in the layout that the readers below expect.

    Parameters
    ----------
    path
        The file to be written.
    embeddings
        Embeddings of all hidden states.
    layer
        The hidden state to be written; also becomes the attribute `layer`.
    attributes
        The other attributes: model, domain, emotion and how the file was made.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    # in memory first: HDF5 does not fail cleanly on a full disk
    buffer = io.BytesIO()
    clips = np.array([clip.encode() for clip in embeddings.clips])
    parts = {
        "clips": clips.astype(h5py.string_dtype("utf-8", clips.itemsize)),
        "pooled": embeddings.pooled[layer],
        "frames": embeddings.frames,
        "blocks/count": embeddings.count,
        "blocks/mean": embeddings.mean[layer],
        "blocks/scatter": embeddings.scatter[layer],
    }
    with h5py.File(buffer, "w", libver=("v110", "v110")) as h5:
        h5.attrs.update(attributes | {"layer": layer})
        h5.attrs["digest"] = np.bytes_(_digest(h5))
        for name, data in parts.items():
            rows = max(1, _CHUNK * len(data) // data.nbytes)
            h5.create_dataset(name, data=data, chunks=(min(rows, len(data)), *data.shape[1:]), fletcher32=True)
    with files.atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    """Open a file and check its layout; whatever is wrong with it becomes one line."""
    try:
        # without a lock, which some file systems lack: files are written whole and renamed
        with h5py.File(path, "r", locking=False) as h5:
            _check_layout(path, h5)
            yield h5
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore it, or run again") from error
    # what h5py raises for damage depends on where it is
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({cause}); {_RENEW}") from error


def _check_layout(path: str | Path, h5: h5py.File) -> None:
    """Check that a file has its datasets, that their sizes agree, and that it needs nothing outside it."""
    size: dict[str, int] = {}
    most = Path(path).stat().st_size
    for name, (kinds, axes) in _LAYOUT.items():
        for part in {name, name.split("/")[0]}:
            # a link could lead to another file
            if not isinstance(h5.get(part, getlink=True), h5py.HardLink):
                raise UserError(f"{path}: has no `{part}` of its own; {_RENEW}")
        data = h5[name]
        stored = data.id.get_create_plist()
        filters = {stored.get_filter(i)[0] for i in range(stored.get_nfilters())}
        if data.is_virtual or data.external or filters - {h5py.h5z.FILTER_FLETCHER32} or data.nbytes > most:
            raise UserError(f"{path}: `{name}` is stored in another way than the workflow stores it; {_RENEW}")
        if data.dtype.kind not in kinds or data.ndim != len(axes):
            raise UserError(f"{path}: `{name}` is {data.dtype} of {data.ndim} dimensions; {_RENEW}")
        for axis, length in zip(axes, data.shape, strict=True):
            if size.setdefault(axis, length) != length:
                raise UserError(f"{path}: `{name}` has {length} rows or columns, not {size[axis]}; {_RENEW}")
    if size["p"] != size["d"] * (size["d"] + 1) // 2:
        raise UserError(f"{path}: `blocks/scatter` does not fit `blocks/mean`; {_RENEW}")


def _digest(h5: h5py.File) -> str:
    """Digest all attributes but the digest itself."""
    texts = sorted(f"{key}={value}" for key, value in h5.attrs.items() if key != "digest")
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _check_attributes(path: str | Path, h5: h5py.File) -> None:
    # earlier versions wrote no digest
    if h5.attrs.get("digest", _digest(h5).encode()) != _digest(h5).encode():
        raise UserError(f"{path}: its attributes were changed or damaged; {_RENEW}")


def _numbers(path: str | Path, h5: h5py.File, name: str) -> np.ndarray:
    """Read a dataset of numbers, all of which must be finite."""
    values = h5[name][()]
    if not np.isfinite(values).all():
        raise UserError(f"{path}: `{name}` holds values that are not finite; {_RENEW}")
    return values


def read_place(path: str | Path) -> Place:
    """Read what a file holds, and check that its path says the same.

    Raises
    ------
    UserError
        If the file cannot be read, lacks an attribute, or has a path that says something else.
    """
    with _open(path) as h5:
        missing = [key for key in ("model", "domain", "layer", "emotion") if key not in h5.attrs]
        if missing:
            raise UserError(f"{path}: does not say its {' and '.join(missing)}; {_RENEW}")
        model, domain, emotion = (str(h5.attrs[key]) for key in ("model", "domain", "emotion"))
        place = Place(model, domain, int(h5.attrs["layer"]), emotion)
        end = "/".join(Path(path).parts[-4:])
        if end != str(place):
            raise UserError(f"{path}: says that it is {place}, not {end}; {_RENEW}")
        _check_attributes(path, h5)
    return place


def arrange(
    paths: list[str], *, model: str, domain: str, emotions: list[str], layers: list[int] | None = None
) -> dict[int, dict[str, str]]:
    """Arrange the embedding files of one model and domain by their attributes.

    Parameters
    ----------
    paths
        One file for each layer and emotion, in any order.
    model, domain
        What they must hold.
    emotions
        The emotions that they must have, in the order of the result.
    layers
        The layers that they must have, in the order of the result; None for all layers that there are, ascending.

    Returns
    -------
    dict of dict of str
        The path of each layer and emotion.

    Raises
    ------
    UserError
        As `read_place`, or if a file holds something else, occurs twice or is missing.
    """
    path_of: dict[Place, str] = {}
    for path in paths:
        place = read_place(path)
        if (place.model, place.domain) != (model, domain):
            raise UserError(f"{path}: is of {place.model}/{place.domain}, not of {model}/{domain}; {_RELIST}")
        if place.emotion not in emotions or (layers is not None and place.layer not in layers):
            of_layers = "" if layers is None else f"layers {', '.join(map(str, layers))} and "
            raise UserError(f"{path}: is {place}, not one of {of_layers}emotions {', '.join(emotions)}; {_RELIST}")
        if place in path_of:
            raise UserError(f"{path}: is {place}, as {path_of[place]} is; {_RELIST}")
        path_of[place] = path
    if layers is None:
        layers = sorted({place.layer for place in path_of})
    arranged: dict[int, dict[str, str]] = {layer: {} for layer in layers}
    for layer in layers:
        for emotion in emotions:
            place = Place(model, domain, layer, emotion)
            if place not in path_of:
                raise UserError(f"no embedding file is {place}; {_RELIST}")
            arranged[layer][emotion] = path_of[place]
    return arranged


def read_pooled(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Read clip names and clip means (n, d), float32.

    Raises
    ------
    UserError
        If the file cannot be read, or is not sound.
    """
    with _open(path) as h5:
        # all at once, because h5py takes a second to read ten thousand names one by one
        clips, pooled = h5["clips"].asstr()[()].tolist(), _numbers(path, h5, "pooled")
    if len(set(clips)) < len(clips):
        raise UserError(f"{path}: holds a clip twice; {_RENEW}")
    return clips, pooled


def read_maker(path: str | Path) -> dict[str, str | None]:
    """Read the encoder's family, the digest of its weights, and its precision; all are None for log-mel spectra.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    with _open(path) as h5:
        _check_attributes(path, h5)
        return {key: h5.attrs.get(key) for key in ("family", "weights", "precision")}


def read_common_maker(files: dict[str, list[str]]) -> dict[str, str | None]:
    """Read what all files of several domains were made with, as `read_maker`.

    Raises
    ------
    UserError
        If a file cannot be read, or was made with something else than the others.
    """
    first, *others = (path for paths in files.values() for path in paths)
    maker = read_maker(first)
    for path in others:
        found = read_maker(path)
        if found["weights"] != maker["weights"]:
            raise UserError(f"{path}: was made with other weights than {first}; delete both and run again")
        if found != maker:
            raise UserError(
                f"{path}: was computed in {found['precision']}, {first} in {maker['precision']}; set `precision` to "
                "one of them and run again"
            )
    return maker


def read_blocks(path: str | Path) -> tuple[moments.Blocks, int]:
    """Read speaker-block moments, and the number of clips that they come from.

    Raises
    ------
    UserError
        If the file cannot be read, or is not sound.
    """
    with _open(path) as h5:
        count, mean = h5["blocks/count"][()], _numbers(path, h5, "blocks/mean")
        scatter = moments.unpack(_numbers(path, h5, "blocks/scatter"), mean.shape[1])
        return moments.Blocks(count, mean, scatter), len(h5["clips"])
