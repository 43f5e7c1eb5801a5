"""Sources: where the files of encoders are or will be, and what has to be fetched first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechsong.corpora.recordings import files_below
from speechsong.encoders.hub import hub_folder
from speechsong.encoders.saving import FILES
from speechsong.planning.config import checkpoint_files, is_logmel, is_on_hub, made_by, pretrained_folder
from speechsong.planning.plan import Run


@dataclass(frozen=True)
class Source:
    """The files of one encoder.

    Attributes
    ----------
    kind : str
        "hub", "demo" or "pretrained" (both made by the workflow), or "local".
    folder : Path
        Holds its files now, or once they are fetched or made.
    files : list of str
        What extraction depends on.
    """

    kind: str
    folder: Path
    files: list[str]


def encoder_sources(config: dict) -> dict[str, Source]:
    """Locate the encoders of a run, except log-mel.

    Parameters
    ----------
    config
        After `config.check`.

    Returns
    -------
    dict
        The source of each encoder by its name in the catalogue.

    Raises
    ------
    UserError
        Where a local folder lacks a file, or a name cannot be one of the hub.
    """
    return {m: _source(config, m) for m in config["models"] if not is_logmel(config["encoders"][m])}


def _source(config: dict, model: str) -> Source:
    encoder = config["encoders"][model]
    maker = model if "pretrain" in encoder else made_by(config, encoder)
    if maker is not None:
        files = [f"<results>/encoders/{maker}/{name}" for name in FILES]
        return Source("pretrained", Path(pretrained_folder(config, maker)), files)
    if is_on_hub(encoder):
        folder = hub_folder("data/encoders", encoder["checkpoint"], encoder["revision"])
        # written last; the revision is pinned, so the weights beside it cannot change
        return Source("hub", folder, [str(folder / "config.json")])
    folder = Path(encoder["checkpoint"])
    if encoder.get("source") == "demo":
        return Source("demo", folder, [str(folder / name) for name in FILES])
    files = checkpoint_files(model, encoder["checkpoint"], encoder.get("control") != "random")
    return Source("local", folder, files)


def still_to_fetch(config: dict, run: Run, encoders: dict[str, Source]) -> list[str]:
    """Say, in one line each, what still has to be downloaded and where to put it, or which key names another folder."""
    lines = [
        f"RAVDESS {corpus['channel']} (zenodo.org/records/1188976) into {corpus['root']}, "
        f"or set `corpora.{domain}.root`"
        for domain, corpus in run.unfetched.get("zenodo", {}).items()
        if not files_below(corpus["root"])
    ]
    missing: dict[Path, list[str]] = {}
    for model, source in encoders.items():
        if source.kind == "hub" and not (source.folder / "config.json").exists():
            missing.setdefault(source.folder, []).append(model)
    for folder, models in missing.items():
        keys = " and ".join(f"`encoders.{model}.checkpoint`" for model in models)
        lines.append(f"{config['encoders'][models[0]]['checkpoint']} into {folder}, or set {keys}")
    return [f"Still to be fetched: {line}" for line in lines]
