"""The configuration: checked once, before anything runs, with a message of one line at the first mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from speechsong.errors import UserError, closest

# 500.0 counts as an integer in JSON Schema, but not in Python
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
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
    for key, catalogue, kind in (("domains", "corpora", "corpus"), ("models", "encoders", "encoder")):
        for name in config[key]:
            if name not in config[catalogue]:
                known = ", ".join(map(str, config[catalogue]))
                raise UserError(
                    f"config key `{key}`: there is no `{name}` under `{catalogue}`{closest(name, config[catalogue])}"
                    f" (known: {known})"
                )
            entry = config[catalogue][name]
            logmel = kind == "encoder" and isinstance(entry, dict) and is_logmel(entry)
            _validate(entry, schema["$defs"]["logmel" if logmel else kind], schema, f"{catalogue}.{name}")
    for name in config["models"]:
        encoder = config["encoders"][name]
        if is_logmel(encoder):
            continue
        if is_on_hub(encoder) and not encoder.get("revision"):
            raise UserError(
                f"config key `encoders.{name}.checkpoint`: there is no folder {encoder['checkpoint']}; correct it, or, "
                f"if that is a name on the hub, set `encoders.{name}.revision` to a commit of it"
            )
        beyond = [layer for layer in config["adapt"]["layers"] or [] if layer > encoder["layers"]]
        if beyond:
            raise UserError(
                f"config key `adapt.layers`: {beyond[0]}, but encoder `{name}` has {encoder['layers']} layers"
            )
    if "baseline" not in config["adapt"]["approaches"] and all(
        is_logmel(config["encoders"][m]) for m in config["models"]
    ):
        raise UserError("config key `adapt.approaches`: log-mel spectra have only the approach baseline; add it")
    names = [*config["domains"], *(f"{a}-{b}" for a in config["domains"] for b in config["domains"])]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"config key `domains`: {twice}.csv could be one domain or two; rename a domain in `corpora`")
    total = sum(config["split"]["fractions"])
    if abs(total - 1) > 1e-9:
        raise UserError(f"config key `split.fractions`: the three parts must add up to 1, not {total:g}")


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
        hint = error.schema.get("description", f"must match {error.validator_value}")
        return f"config key `{path}`: {error.instance!r}: {hint}"
    if error.validator == "not":
        return f"config key `{path}`: {error.instance!r} is a name that the workflow uses itself; choose another"
    return f"config key `{path}`: {error.message}"


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
    known = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    needed = ["config.json", "preprocessor_config.json"]
    if weights:
        present = [file for file in known if (folder / file).is_file()][:1]
        needed += present or known[:1]
        if present == ["model.safetensors.index.json"]:
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
    if is_logmel(encoder) or encoder.get("source") == "demo":
        return False
    return not Path(encoder["checkpoint"]).is_dir()


def is_logmel(encoder: dict) -> bool:
    """Tell whether an entry of the catalogue is the log-mel baseline, which has no files and no blocks."""
    return encoder.get("control") == "log-mel"
