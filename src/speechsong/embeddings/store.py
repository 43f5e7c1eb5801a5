"""Embedding files: clip means and speaker-block moments of one (model, domain, layer, emotion), as HDF5.

Frames are never stored. The moments are constant in size and the means take d numbers per clip, however long the
recordings are.

The attributes of a file say what it holds, and so does its path. Readers use `arrange`, which goes by the attributes
and refuses a file whose path says something else.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from speechsong import files
from speechsong.embeddings import moments
from speechsong.errors import UserError

_RENEW = "delete the file and run again"
_RELIST = "correct the list of files"


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
    with h5py.File(buffer, "w") as h5:
        h5.attrs.update(attributes)
        h5.attrs["layer"] = layer
        h5.create_dataset("clips", data=embeddings.clips, dtype=h5py.string_dtype())
        h5.create_dataset("pooled", data=embeddings.pooled[layer])
        h5.create_dataset("frames", data=embeddings.frames)
        h5.create_dataset("blocks/count", data=embeddings.count)
        h5.create_dataset("blocks/mean", data=embeddings.mean[layer])
        h5.create_dataset("blocks/scatter", data=embeddings.scatter[layer])
    with files.atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _open(path: str | Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); {_RENEW}") from error


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
        attributes = h5.attrs
        place = Place(
            str(attributes["model"]), str(attributes["domain"]), int(attributes["layer"]), str(attributes["emotion"])
        )
    end = "/".join(Path(path).parts[-4:])
    if end != str(place):
        raise UserError(f"{path}: says that it is {place}, not {end}; {_RENEW}")
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
        If the file cannot be read.
    """
    with _open(path) as h5:
        # all at once, because h5py takes a second to read ten thousand names one by one
        return h5["clips"].asstr()[()].tolist(), h5["pooled"][()]


def read_maker(path: str | Path) -> dict[str, str | None]:
    """Read the encoder's family and the digest of its weights; both are None for log-mel spectra.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    with _open(path) as h5:
        return {key: h5.attrs.get(key) for key in ("family", "weights")}


def read_blocks(path: str | Path) -> tuple[moments.Blocks, int]:
    """Read speaker-block moments, and the number of clips that they come from.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    with _open(path) as h5:
        mean = h5["blocks/mean"][()]
        scatter = moments.unpack(h5["blocks/scatter"][()], mean.shape[1])
        return moments.Blocks(h5["blocks/count"][()], mean, scatter), len(h5["clips"])
