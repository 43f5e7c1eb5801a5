"""Clip means as a table: what `speechsong.load` gives to users."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import pandas as pd

from speechsong import files
from speechsong.embeddings import features, store
from speechsong.errors import UserError

LABELS = ["clip_id", "domain", "emotion", "speaker", "gender", "statement", "take", "intensity"]


def load(results: str | PathLike[str], *, model: str, layer: int, domain: str | None = None) -> pd.DataFrame:
    """Load the clip means of one layer: see `speechsong.load`."""
    place = Path(results, "embeddings")
    models = _folders(place)
    if not models:
        raise UserError(f"{Path(results)}: holds no embeddings; name the `results` of a run that has made them")
    _check("model", model, models, place)
    domains = _folders(place / model)
    if domain is not None:
        _check("domain", domain, domains, place / model)
    return pd.concat([_of_domain(Path(results), model, layer, one) for one in ([domain] if domain else domains)])


def _folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _check(what: str, value: object, known: list, place: Path) -> None:
    if value not in known:
        raise UserError(f"{what} cannot be {value!r}; {place} has {', '.join(map(str, known)) or 'none'}")


def _of_domain(results: Path, model: str, layer: int, domain: str) -> pd.DataFrame:
    place, index = results / "embeddings" / model / domain, results / "clips" / f"{domain}.csv"
    known = [int(name.removeprefix("layer")) for name in _folders(place) if name.removeprefix("layer").isdecimal()]
    _check("layer", layer, known, place)
    if not index.is_file():
        raise UserError(f"{index}: missing; make it with `snakemake {index}`")
    labels_of = {row["clip_id"]: row for row in files.read_rows(index)}
    # files of emotions that the run has no longer may still be there
    emotions = list(dict.fromkeys(row["emotion"] for row in labels_of.values()))
    paths = [str(place / f"layer{layer:02d}" / f"{emotion}.h5") for emotion in emotions]
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise UserError(f"{absent[0]}: missing; make it with `snakemake {absent[0]}`")
    store.read_common_maker({domain: paths})
    path_of = store.arrange(paths, model=model, domain=domain, emotions=emotions, layers=[layer])[layer]
    found = features.read(path_of)
    rows = []
    for clip, label in zip(found.clips, found.labels, strict=True):
        row = labels_of.get(clip)
        if row is None or row["emotion"] != emotions[label]:
            raise UserError(
                f"{path_of[emotions[label]]}: clip `{clip}` is not of this emotion in {index}; run `snakemake` again"
            )
        rows.append([row[key] for key in LABELS])
    return pd.DataFrame(found.means, index=pd.MultiIndex.from_tuples(map(tuple, rows), names=LABELS))
