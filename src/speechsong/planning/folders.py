"""Two folders: the configuration that `speechsong compare` stands for, and the tables of recordings that it names."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from speechsong import files
from speechsong.corpora.readers import parse_ravdess, survey
from speechsong.corpora.recordings import SUFFIXES, Recording, search
from speechsong.corpora.splits import FOLDS
from speechsong.corpora.tables import read_table
from speechsong.errors import UserError
from speechsong.planning import config as configuration
from speechsong.planning import own_encoder
from speechsong.planning.own_encoder import plain_name
from speechsong.planning.plan import plan
from speechsong.planning.sources import encoder_sources

# the emotion of all recordings of a folder without subfolders
ONE_LABEL = "recordings"
# who speaks where nobody says it: one speaker, so that no interval pretends to be over several
NOBODY = "unknown"
# names that the workflow uses beside those of emotions
_RESERVED = ("all", "left_out")


@dataclass(frozen=True)
class Comparison:
    """A comparison that is ready to run.

    Attributes
    ----------
    config : Path
        The config file, to be merged over config.yaml.
    results : Path
        The folder of all results.
    domains : list of 2 str
    model : str
        The name of the encoder.
    notes : list of str
        Lines for the user: what is compared, what is left out, and what is lost where speakers are unknown.
    """

    config: Path
    results: Path
    domains: list[str]
    model: str
    notes: list[str]


@dataclass(frozen=True)
class _Side:
    """One of the two places: its recordings, whether their speakers are known, and where relative paths start.

    `channel` is that of RAVDESS if all names are of RAVDESS; such a folder needs no table.
    """

    place: str
    root: Path
    recordings: list[Recording]
    known: bool
    channel: str | None = None


def prepare(places: list[str], encoder: str, out: str | None, house: Path) -> Comparison:
    """Write the config file, and the tables that it names, into a folder of their own.

    Parameters
    ----------
    places
        Two folders of recordings, or tables. A folder has one subfolder for each label, which may have one for each
        speaker; or all recordings lie directly in it and have one label. RAVDESS is known by its file names.
    encoder
        A name in the catalogue of config.yaml, a folder saved by transformers, or a name on the hub. Of the latter, the
        commit of today is written into the config, and stays.
    out
        Where everything goes; None for a name made of those of the two places and the encoder.
    house
        The folder of the Snakefile.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        If a place cannot be read, the two have no label in common, the encoder is unknown, or `out` has another config.
    """
    _check_places(places)
    sides = [_read(place) for place in places]
    domains = _domains(places)
    defaults = yaml.safe_load((house / "config.yaml").read_text(encoding="utf-8"))
    emotions, notes = _labels(sides, domains)
    model = encoder if encoder in defaults["encoders"] else own_encoder.model_name(encoder, defaults)
    folder = Path(out or f"compare-{'-'.join(domains)}-{model}")
    before = _read_config(folder / "config.yaml")
    written = {
        "results": str(folder),
        "domains": domains,
        "speakers": "paired" if _paired(sides) else "independent",
        "corpora": {d: _corpus(side, folder / f"{d}.csv") for d, side in zip(domains, sides, strict=True)},
        "emotions": emotions,
        "models": [model],
    }
    if model not in defaults["encoders"]:
        written["encoders"] = {model: own_encoder.entry(encoder, defaults, before or {})}
    if any(len({r.speaker for r in side.recordings}) < FOLDS for side in sides):
        # the speaker split of the default would stop a later run of the probes
        written["split"] = {"protocols": ["random"]}
    _check_config(written, before, folder / "config.yaml")
    for domain, side in zip(domains, sides, strict=True):
        if side.channel is None:
            _write_table(side, folder / f"{domain}.csv")
    _check_run(written, defaults, house)
    if before is None:
        with files.atomic(folder / "config.yaml") as temporary:
            text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True)
            temporary.write_text(
                f"# written by `speechsong compare`; merged over config.yaml\n{text}", encoding="utf-8"
            )
    return Comparison(folder / "config.yaml", folder, domains, model, [*notes, *_speakers(sides, domains)])


# ---- the two places


def _check_places(places: list[str]) -> None:
    for place in places:
        if not Path(place).exists():
            raise UserError(f"{Path(place).absolute()}: there is no such folder or table; correct its name")
    a, b = (Path(place).resolve() for place in places)
    if a == b:
        raise UserError(f"{places[0]}: is given twice; give two folders to compare")
    inner, outer = (a, b) if a.is_relative_to(b) else (b, a)
    if inner.is_relative_to(outer) and inner.is_dir():
        raise UserError(f"{inner} lies in {outer}, so its recordings would be on both sides; give two separate folders")


def _read(place: str) -> _Side:
    path = Path(place).absolute()
    if path.is_dir():
        return _read_folder(place, path)
    if path.suffix.lower() in SUFFIXES:
        raise UserError(f"{path}: is a single recording; give a folder of recordings, or a table of them")
    try:
        recordings, known = read_table(str(path)), True
    except UserError as error:
        # any other column is needed, but who speaks may be unknown
        if "column speaker is missing" not in str(error):
            raise
        recordings = [replace(r, speaker=NOBODY) for r in read_table(str(path), columns={"speaker": "path"})]
        known = False
    if not recordings:
        raise UserError(f"{path}: lists no recording; add one row per recording")
    return _Side(place, path.parent, _plainly_labelled(place, recordings), known)


def _read_folder(place: str, root: Path) -> _Side:
    paths = search(root)
    if not paths:
        raise UserError(f"{root}: holds no recording ({', '.join(SUFFIXES)}); give a folder that has some")
    channel = _ravdess_channel(paths)
    if channel:
        entry = {"reader": "ravdess", "root": str(root), "channel": channel}
        return _Side(place, root, survey(place, entry)[0], True, channel)
    inside = {path: Path(path).relative_to(root).parts for path in paths}
    direct = [path for path, parts in inside.items() if len(parts) == 1]
    if len(direct) == len(paths):
        recordings = [Recording(path, path, ONE_LABEL, NOBODY) for path in paths]
        return _Side(place, root, recordings, False)
    if direct:
        raise UserError(
            f"{root}: some recordings are in subfolders, whose names are labels, and {len(direct)} are not, such as "
            f"{Path(direct[0]).name}; put all of them into subfolders, or none"
        )
    known = min(map(len, inside.values())) > 2
    recordings = [Recording(p, p, parts[0], parts[1] if known else NOBODY) for p, parts in inside.items()]
    return _Side(place, root, _plainly_labelled(place, recordings), known)


def _ravdess_channel(paths: list[str]) -> str | None:
    """Name the channel of RAVDESS that all recordings have; None if one has another name or the channels differ."""
    try:
        channels = {parse_ravdess(path)[0] for path in paths}
    except UserError:
        return None
    return channels.pop() if len(channels) == 1 else None


def _plainly_labelled(place: str, recordings: list[Recording]) -> list[Recording]:
    """Give recordings labels in lower case, of letters, digits and _, as the workflow needs."""
    plain: dict[str, str] = {}
    for label in sorted({r.emotion for r in recordings}):
        name = plain_name(label).lower()
        if not name or name in _RESERVED:
            raise UserError(f"{place}: the label {label!r} has no name that can be used; rename it, in plain letters")
        other = next((one for one, taken in plain.items() if taken == name), None)
        if other is not None:
            raise UserError(f"{place}: the labels {other!r} and {label!r} would both be called `{name}`; rename one")
        plain[label] = name
    return [replace(r, emotion=plain[r.emotion]) for r in recordings]


def _domains(places: list[str]) -> list[str]:
    """Name the two domains after the folders or tables; A and B where these are no two names."""
    paths = [Path(place).resolve() for place in places]
    names = [plain_name(path.name if path.is_dir() else path.stem) for path in paths]
    return names if all(names) and names[0].lower() != names[1].lower() else ["A", "B"]


def _labels(sides: list[_Side], domains: list[str]) -> tuple[list[str], list[str]]:
    """List the labels of both sides, and say what is compared and which labels are left out."""
    found = [{r.emotion for r in side.recordings} for side in sides]
    common = sorted(found[0] & found[1])
    if not common:
        each = " and ".join(
            f"{side.place} has {', '.join(sorted(labels)[:8])}" for side, labels in zip(sides, found, strict=True)
        )
        raise UserError(
            f"the two have no label in common: {each}; give subfolders the same names in both, or put all recordings "
            "directly into the two folders, for one label"
        )
    counts = [sum(r.emotion in common for r in side.recordings) for side in sides]
    named = "one label" if common == [ONE_LABEL] else f"labels {', '.join(common)}"
    notes = [
        f"{domains[0]} ({counts[0]} recordings in {sides[0].place}) and {domains[1]} ({counts[1]} in "
        f"{sides[1].place}); {named}"
    ]
    for domain, labels in zip(domains, found, strict=True):
        if labels - set(common):
            notes.append(f"Left out of {domain}, because the other has none: {', '.join(sorted(labels - set(common)))}")
    return common, notes


def _paired(sides: list[_Side]) -> bool:
    """Tell whether at least half of the speakers of each side are on the other, too."""
    a, b = ({r.speaker for r in side.recordings} for side in sides)
    return all(side.known for side in sides) and 2 * len(a & b) >= max(len(a), len(b))


def _speakers(sides: list[_Side], domains: list[str]) -> list[str]:
    unknown = [domain for domain, side in zip(domains, sides, strict=True) if not side.known]
    if unknown:
        return [
            f"Who speaks in {' and '.join(unknown)} is unknown, which costs: no intervals over people, no correction "
            "for the size of the sample, and no split by speaker for probes. The distances are those between these "
            "very recordings; other people might give others. If you know who speaks: put the recordings into "
            "FOLDER/label/speaker/, or give tables with the columns path, emotion and speaker."
        ]
    counts = [len({r.speaker for r in side.recordings}) for side in sides]
    if _paired(sides):
        return [f"Speakers: {counts[0]} and {counts[1]}; the same names in both are taken for the same people"]
    return [f"Speakers: {counts[0]} and {counts[1]}, taken for different people"]


def _corpus(side: _Side, table: Path) -> dict:
    if side.channel:
        # nothing is fetched into a folder of the user's own, even if it is emptied one day
        return {"reader": "ravdess", "root": str(side.root), "channel": side.channel, "source": None}
    return {"reader": "table", "table": str(table), "root": str(side.root)}


def _write_table(side: _Side, table: Path) -> None:
    fields = ["path", "emotion", "speaker"]
    fields += [f for f in ("gender", "statement", "take", "intensity", "session", "split") if _has(side, f)]
    rows = [{field: getattr(recording, field) for field in fields} for recording in side.recordings]
    for row in rows:
        if Path(row["path"]).is_relative_to(side.root):
            row["path"] = str(Path(row["path"]).relative_to(side.root))
    try:
        files.write_rows(table, rows, seal=False)
    except UnicodeEncodeError as error:
        raise UserError(f"{side.place}: a name is not UTF-8 ({error.object!r}); rename it") from None


def _has(side: _Side, field: str) -> bool:
    return any(getattr(recording, field) for recording in side.recordings)


# ---- the config


def _read_config(path: Path) -> dict | None:
    """Read what an earlier run wrote; None if there is none, {} if it is something else."""
    if not path.exists():
        return None
    try:
        found = yaml.safe_load(files.read_bytes(path))
    except (ValueError, yaml.YAMLError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _check_config(written: dict, before: dict | None, path: Path) -> None:
    if before is not None and before != written:
        differ = [key for key in {**written, **before} if written.get(key) != before.get(key)]
        raise UserError(
            f"{path}: is of another comparison (it differs in {', '.join(map(str, differ[:5]))}); choose another "
            "folder with --out, or delete this file to go on in the same one"
        )


def _check_run(written: dict, defaults: dict, house: Path) -> None:
    """Find mistakes now that would otherwise stop Snakemake."""
    merged = _merged(defaults, written)
    configuration.forget_other_readers(merged, [defaults, written])
    configuration.check(merged, house / "workflow/schemas/config.schema.yaml")
    plan(merged)
    encoder_sources(merged)


def _merged(under: dict, over: dict) -> dict:
    """Merge two configs key by key, as Snakemake does."""
    merged = copy.deepcopy(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else copy.deepcopy(value)
    return merged
