"""The configuration: checked once, before anything runs, with a message of one line at the first mistake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from speechsong.demo.encoders import names as embedded
from speechsong.encoders.families import CONFIG, EXTRACTORS, INDEX, WEIGHTS
from speechsong.errors import UserError, closest

# beyond this, whole numbers are not exact in float64
_LARGEST = 2**53


def _is_number(value: object, types: type | tuple[type, ...]) -> bool:
    """Tell whether a value is a number that one can compute with: no truth value, NaN or infinity."""
    return isinstance(value, types) and not isinstance(value, bool) and abs(value) <= _LARGEST  # type: ignore[arg-type]


# 500.0 counts as an integer in JSON Schema, but not in Python
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: _is_number(value, int),
            "number": lambda _, value: _is_number(value, (int, float)),
        }
    ),
)


def check(config: dict, schema_file: str | Path) -> None:
    """Check a merged configuration.

    Entries of the two catalogues (`corpora`, `encoders`) are checked only if the run uses them: an unfinished entry
    does not stop a run that does not need it.

    Parameters
    ----------
    config
        The configuration as Snakemake merged it.
    schema_file
        JSON Schema (as YAML) of the top level; `$defs` holds `corpus` and `encoder` for the catalogues.

    Raises
    ------
    UserError
        At the first mistake. The message names the key, what is wrong with it and what is allowed.
    """
    schema = yaml.safe_load(Path(schema_file).read_text(encoding="utf-8"))
    _validate(config, schema, schema, "")
    for name in config["domains"]:
        _validate_entry(config, "domains", "corpora", name, schema)
    for name in config["models"]:
        _validate_entry(config, "models", "encoders", name, schema)
    for name in config["models"]:
        encoder = config["encoders"][name]
        if is_logmel(encoder):
            continue
        if "pretrain" in encoder:
            _check_pretrain(config, name, encoder, schema)
        elif encoder.get("source") == "demo" and Path(encoder["checkpoint"]).name not in embedded():
            raise UserError(
                f"config key `encoders.{name}.checkpoint`: with `source: demo`, the folder is called "
                f"{', '.join(embedded()[:-1])} or {embedded()[-1]}; correct it, or leave out `source`"
            )
        elif is_on_hub(encoder) and not made_by(config, encoder) and not encoder.get("revision"):
            raise UserError(
                f"config key `encoders.{name}.checkpoint`: there is no folder {encoder['checkpoint']}; correct it, or, "
                f"if that is a name on the hub, set `encoders.{name}.revision` to a commit of it"
            )
        beyond = [layer for layer in config["adapt"]["layers"] or [] if layer > encoder["layers"]]
        if beyond:
            raise UserError(
                f"config key `adapt.layers`: {beyond[0]}, but encoder `{name}` has {encoder['layers']} layers"
            )
    for name in config["adapt"]["models"] or []:
        _validate_entry(config, "adapt.models", "encoders", name, schema)
    adapted = [name for name in config["models"] if is_adapted(config, name)]
    if not adapted:
        raise UserError(
            "config key `adapt.models`: none of them is in `models`; name one that is, or write null for all"
        )
    if "baseline" not in config["adapt"]["approaches"] and all(is_logmel(config["encoders"][m]) for m in adapted):
        raise UserError("config key `adapt.approaches`: log-mel spectra have only the approach baseline; add it")
    adapt = config["adapt"]
    if "peft" in adapt["approaches"] and "gate" in adapt["parts"] and adapt["gate"] == "bottleneck":
        raise UserError(
            "config key `adapt.parts`: the gate `bottleneck` multiplies what the bottleneck adapter adds, so it does "
            "nothing alone; leave `gate` out of `adapt.parts` or choose another `adapt.gate`"
        )
    names = [*config["domains"], *(f"{a}-{b}" for a in config["domains"] for b in config["domains"])]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"config key `domains`: {twice}.csv could be one domain or two; rename a domain in `corpora`")
    total = sum(config["split"]["fractions"])
    if abs(total - 1) > 1e-9:
        raise UserError(f"config key `split.fractions`: the three parts must add up to 1, not {total:g}")


def _validate_entry(config: dict, key: str, catalogue: str, name: str, schema: dict) -> None:
    """Check one entry of a catalogue, which a key of the config names."""
    if name not in config[catalogue]:
        known = ", ".join(map(str, config[catalogue]))
        raise UserError(
            f"config key `{key}`: there is no `{name}` under `{catalogue}`{closest(name, config[catalogue])}"
            f" (known: {known})"
        )
    entry = config[catalogue][name]
    kind = "corpus" if catalogue == "corpora" else "encoder"
    if kind == "encoder" and isinstance(entry, dict) and is_logmel(entry):
        kind = "logmel"
    _validate(entry, schema["$defs"][kind], schema, f"{catalogue}.{name}")


def _check_pretrain(config: dict, name: str, encoder: dict, schema: dict) -> None:
    where, pretrain = f"encoders.{name}", encoder["pretrain"]
    for key in ("checkpoint", "revision", "source"):
        if encoder.get(key):
            raise UserError(
                f"config key `{where}.{key}`: `pretrain` makes this encoder, so it has no `{key}`; leave out one "
                "of the two, or give the entry a name that config.yaml does not have"
            )
    if encoder.get("control"):
        raise UserError(
            f"config key `{where}.control`: `pretrain` makes this encoder; for its random control, add an entry with "
            f"`checkpoint: {pretrained_folder(config, name)}` and `control: random`"
        )
    if pretrain["blocks"] != encoder["layers"]:
        raise UserError(
            f"config key `{where}.pretrain.blocks`: {pretrain['blocks']}, but `{where}.layers` says "
            f"{encoder['layers']}; correct one of them"
        )
    for domain in pretrain["domains"]:
        _validate_entry(config, f"{where}.pretrain.domains", "corpora", domain, schema)


def forget_other_readers(config: dict, layers: Sequence[dict]) -> None:
    """Take out of `corpora` what an entry inherited from one of another reader, such as the `root` of RAVDESS.

    Parameters
    ----------
    config
        The configuration as Snakemake merged it, which is changed.
    layers
        What it was merged from, in this order: the contents of config.yaml and of each `--configfile`, and `--config`.
    """
    seen: dict[str, dict] = {}
    foreign: dict[str, set] = {}
    for layer in layers:
        corpora = layer.get("corpora")
        for name, entry in corpora.items() if isinstance(corpora, dict) else ():
            if isinstance(entry, dict):
                before = seen.get(name, {})
                if entry.get("reader", before.get("reader")) != before.get("reader"):
                    foreign[name], before = foreign.get(name, set()) | set(before), {}
                foreign[name] = foreign.get(name, set()) - set(entry)
                seen[name] = before | entry
    corpora = config.get("corpora")
    for name, entry in corpora.items() if isinstance(corpora, dict) else ():
        if isinstance(entry, dict):
            for key in foreign.get(name, set()) & set(entry):
                del entry[key]


def _validate(value: object, part: dict, schema: dict, where: str) -> None:
    part = {"$defs": schema["$defs"], **part}
    error = best_match(_Validator(part).iter_errors(value))
    if error is not None:
        raise UserError(_line(error, where))


def _line(error: Any, where: str) -> str:
    path = ".".join(p for p in [where, *map(str, error.absolute_path)] if p)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(k for k in error.instance if k not in known)
        full = f"{path}.{unknown}" if path else str(unknown)
        return f"config: unknown key `{full}`{closest(unknown, known)} (known here: {', '.join(known)})"
    if error.validator == "required":
        missing = next(k for k in error.validator_value if k not in error.instance)
        return f"config: key `{path + '.' if path else ''}{missing}` is missing"
    if error.validator == "pattern":
        hint = error.schema.get("remedy", f"must match {error.validator_value}")
        return f"config key `{path}`: {error.instance!r}: {hint}"
    if error.validator == "not":
        return f"config key `{path}`: {error.instance!r} is a name that the workflow uses itself; choose another"
    if error.validator == "type":
        return f"config key `{path}`: {_shortened(error.message)}{_as_yaml_reads(error)}"
    return f"config key `{path}`: {_shortened(error.message)}"


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:200]} ... {message[-60:]}"


def _as_yaml_reads(error: Any) -> str:
    """Say how to write what YAML, or the command line, reads as something else; "" where that is not the reason."""
    wanted = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    value = error.instance
    if "string" in wanted and isinstance(value, bool | int | float | date):
        given = "; it reads no, off and yes, on as False and True" if isinstance(value, bool) else ""
        return f": YAML does not read a text here{given}; put it into quotes"
    if {"number", "integer"} & set(wanted) and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        plain = f"{number:g}"
        written = plain if "e" not in plain or "." in plain else plain.replace("e", ".0e")
        return f": YAML reads a text here; write {written}, without quotes and in a file instead of `--config`"
    return ""


def checkpoint_files(name: str, checkpoint: str, weights: bool = True) -> list[str]:
    """List the files that an encoder is loaded from, in a local folder.

    Parameters
    ----------
    name
        The encoder's name in the catalogue, for messages.
    checkpoint
        A folder in transformers' layout.
    weights
        Whether its weights are read.

    Raises
    ------
    UserError
        If one is missing.
    """
    folder = Path(checkpoint)
    needed = [CONFIG, next((file for file in EXTRACTORS if (folder / file).is_file()), EXTRACTORS[0])]
    if weights:
        present = [file for file in WEIGHTS if (folder / file).is_file()][:1]
        needed += present or WEIGHTS[:1]
        if present == [INDEX]:
            needed += _shards(name, folder / present[0])
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise UserError(
            f"config key `encoders.{name}.checkpoint`: {folder} lacks {', '.join(missing[:3])}; set it to a folder "
            "that transformers saved, with its feature extractor"
        )
    return [str(folder / file) for file in needed]


def _shards(name: str, index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        # braces would be wildcards of the workflow
        trusted = bool(shards) and not any({"{", "}", "/"} & set(shard) for shard in shards)
    except (ValueError, KeyError, TypeError, AttributeError):
        trusted = False
    if not trusted:
        raise UserError(
            f"config key `encoders.{name}.checkpoint`: {index} does not list shards beside it (a `weight_map` from "
            "weights to plain file names); save the encoder again with transformers"
        )
    return shards


def is_on_hub(encoder: dict) -> bool:
    """Tell whether `checkpoint` is a name on the hub: not a local folder, nor one that the workflow makes."""
    if is_logmel(encoder) or "pretrain" in encoder or encoder.get("source") == "demo":
        return False
    return not Path(encoder["checkpoint"]).is_dir()


def is_logmel(encoder: dict) -> bool:
    """Tell whether an entry of the catalogue is the log-mel baseline, which has no files and no blocks."""
    return encoder.get("control") == "log-mel"


def is_adapted(config: dict, model: str) -> bool:
    """Tell whether `adapt.models` names an encoder of the run; null names all."""
    return model in (config["adapt"]["models"] or [model])


def pretrained(config: dict) -> dict[str, dict]:
    """Give `pretrain` of each encoder that the run pre-trains, by its name in the catalogue."""
    entries = {name: config["encoders"][name] for name in config.get("models", ())}
    return {name: entry["pretrain"] for name, entry in entries.items() if "pretrain" in entry}


def pretrained_folder(config: dict, model: str) -> str:
    """Return the folder in which a pre-trained encoder is kept."""
    return str(Path(config["results"]) / "encoders" / model)


def made_by(config: dict, encoder: dict) -> str | None:
    """Name the encoder of the run that `pretrain` makes in the folder that an entry's `checkpoint` names, if any."""
    folders = {Path(pretrained_folder(config, model)): model for model in pretrained(config)}
    return folders.get(Path(encoder.get("checkpoint", "")))
