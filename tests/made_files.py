"""Embedding files in their places, with their attributes."""

from __future__ import annotations

from pathlib import Path

from speechsong.embeddings import store


def write_embeddings(
    folder: Path, embeddings: store.Embeddings, model: str, domain: str, emotion: str, layer=0, **said
):
    """Write one layer to its place below a folder; return the path.

    Parameters
    ----------
    folder
        Folder of all embeddings.
    embeddings
        Embeddings of all layers, or of one, which is then written as `layer`.
    model, domain, emotion, layer
        What the file holds, and its path.
    said
        Further attributes.
    """
    path = folder / f"{model}/{domain}/layer{layer:02d}/{emotion}.h5"
    if len(embeddings.pooled) == 1 and layer:
        parts = ("pooled", "mean", "scatter")
        many = {name: [getattr(embeddings, name)[0]] * (layer + 1) for name in parts}
        embeddings = store.Embeddings(**{**vars(embeddings), **many})
    store.write(path, embeddings, layer, {"model": model, "domain": domain, "emotion": emotion, **said})
    return str(path)
