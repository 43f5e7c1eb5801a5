"""Encoders from the Hugging Face hub: configuration and weights, complete or not at all, and never code."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from pathlib import Path

from speechsong.corpora.download import DISK_ERRORS, WAITS, put, reason, unwritable, writing
from speechsong.encoders.families import CONFIG, EXTRACTORS, INDEX, WEIGHTS
from speechsong.errors import UserError
from speechsong.logs import log

HUB_TIMEOUT = 6.0  # seconds; a firewall that drops packets costs this once for each address of the hub

_HUB_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors")


class _Missing(Exception):
    """A file that the repository does not have."""


def hub_folder(base: str | Path, checkpoint: str, revision: str) -> Path:
    """Return the folder in which an encoder from the hub is kept.

    Parameters
    ----------
    base
        The folder of all encoders.
    checkpoint
        Its name on the hub, `org/name` or `name`.
    revision
        A commit, branch or tag.

    Returns
    -------
    Path
        `base/org--name/revision`.

    Raises
    ------
    UserError
        If `checkpoint` or `revision` is not a valid name.
    """
    _check_hub_name(checkpoint, revision)
    return Path(base) / checkpoint.replace("/", "--") / revision


def _check_hub_name(checkpoint: str, revision: str) -> None:
    parts = checkpoint.split("/")
    # no name on the hub has `--`, which stands for the slash here
    if (
        len(checkpoint) > 96
        or len(parts) > 2
        or not all(_HUB_PART.fullmatch(p) and ".." not in p and "--" not in p for p in parts)
    ):
        raise UserError(
            f"checkpoint {checkpoint!r}: neither a folder nor a name on the hub, such as facebook/hubert-base-ls960; "
            "correct `checkpoint` under `encoders`"
        )
    if not _HUB_PART.fullmatch(revision) or ".." in revision:
        raise UserError(
            f"revision {revision!r} of {checkpoint}: not a commit, branch or tag of letters, digits, `.`, `_` and `-`; "
            "correct `revision` under `encoders`"
        )


def look_up(checkpoint: str) -> tuple[str, dict]:
    """Ask the hub what an encoder is today.

    Parameters
    ----------
    checkpoint
        Its name on the hub, `org/name`.

    Returns
    -------
    tuple
        The commit of its branch `main`, and the contents of config.json there.

    Raises
    ------
    UserError
        If the hub does not answer, or has no such encoder. The message says why, and what to do.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    _check_hub_name(checkpoint, "main")
    try:
        silent = _hub_silence(checkpoint, "main")
        if silent:
            raise silent
        try:
            url = hf_hub_url(checkpoint, CONFIG, revision="main")
            commit = get_hf_file_metadata(url, timeout=HUB_TIMEOUT).commit_hash or "main"
        except LocalEntryNotFoundError:
            raise  # the hub stopped answering; this is an EntryNotFoundError too
        except EntryNotFoundError:
            raise _Missing(CONFIG) from None
        with tempfile.TemporaryDirectory() as folder:
            path = hf_hub_download(checkpoint, CONFIG, revision=commit, local_dir=folder)
            described = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise _Missing(f"readable {CONFIG}")
    except (_Missing, _http_error(), OSError, RuntimeError, ValueError) as error:
        page = f"https://huggingface.co/{checkpoint}"
        raise UserError(
            f"encoder {checkpoint} cannot be looked up: {_hub_cause(error, 'main', page, '--encoder')}; or get it from "
            f"{page} and give its folder"
        ) from error
    return commit, described


def fetch_encoder(checkpoint: str, revision: str, folder: str | Path, key: str) -> None:
    """Download an encoder from the Hugging Face hub: its two configuration files and its weights, no code.

    `config.json` is moved to its place last, so a folder that has it is complete, and is left alone. `HF_ENDPOINT`,
    `HF_TOKEN`, `HF_HUB_OFFLINE` and the hub's own cache are respected.

    Parameters
    ----------
    checkpoint
        Its name on the hub, `org/name` or `name`.
    revision
        A commit, branch or tag.
    folder
        Where its files are put.
    key
        The configuration key that could name a local folder instead, for messages.

    Raises
    ------
    UserError
        If it cannot be downloaded. The message says why, and what to do.
    """
    folder = Path(folder)
    if (folder / CONFIG).is_file() and any((folder / name).is_file() for name in WEIGHTS):
        return
    _check_hub_name(checkpoint, revision)
    page = f"https://huggingface.co/{checkpoint}/tree/{revision}"
    # hidden, in the final folder: complete files are not downloaded again, and moving them costs nothing
    staging = folder / ".download"
    try:
        names = _fetch_files(checkpoint, revision, staging)
    except (_Missing, _http_error(), OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise unwritable(folder, error) from error
        raise UserError(
            f"encoder {checkpoint} cannot be downloaded: {_hub_cause(error, revision, page, key)}; or get {CONFIG}, "
            f"{EXTRACTORS[0]} and model.safetensors or pytorch_model.bin from {page} and put them into {folder}, "
            f"or set `{key}` to a local folder that has them"
        ) from error
    with writing(folder):
        for name in names:
            put(staging / name, folder / name)
        shutil.rmtree(staging)


def _fetch_files(checkpoint: str, revision: str, staging: Path) -> list[str]:
    """Download the files of an encoder to `staging`; return their names in the order in which to move them."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    silent = _hub_silence(checkpoint, revision)

    def fetch(name: str) -> bool:
        if silent:
            cached = try_to_load_from_cache(checkpoint, name, revision=revision)
            if isinstance(cached, str):
                staging.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(cached, staging / name)
            return isinstance(cached, str)
        log.info("downloading %s of %s at revision %s", name, checkpoint, revision)
        try:
            hf_hub_download(checkpoint, name, revision=revision, local_dir=staging)
        except LocalEntryNotFoundError:
            raise  # the hub stopped answering; this is an EntryNotFoundError too
        except EntryNotFoundError:
            return False
        return True

    def fetch_one_of(*names: str) -> str:
        for name in names:
            if fetch(name):
                return name
        raise silent or _Missing(" or ".join(names))

    names = [fetch_one_of(CONFIG), fetch_one_of(*EXTRACTORS), fetch_one_of(*WEIGHTS)]
    if names[-1] == INDEX:
        names += [fetch_one_of(shard) for shard in _shards(staging / INDEX)]
    return names[::-1]


def _hub_silence(checkpoint: str, revision: str) -> Exception | None:
    """Check whether the hub answers, because huggingface_hub itself would retry for minutes.

    Returns
    -------
    Exception or None
        Why the hub cannot be reached. None if it answers, even if it has no such file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, OfflineModeIsEnabled

    url = hf_hub_url(checkpoint, CONFIG, revision=revision)
    start = time.monotonic()
    while True:
        try:
            get_hf_file_metadata(url, timeout=HUB_TIMEOUT)
            return None
        except EntryNotFoundError:
            return None
        except OfflineModeIsEnabled as error:
            return error
        except _http_error() as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            # a failed DNS lookup is tried again after a moment; a timeout has taken long enough
            if time.monotonic() - start > WAITS[0]:
                return error
        time.sleep(WAITS[0])


def _shards(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Missing(f"readable {INDEX}") from error
    strange = [name for name in names if not isinstance(name, str) or not _SHARD.fullmatch(name)]
    if strange:
        raise _Missing(f"trustworthy {INDEX} (it names {strange[0]!r})")
    return names


def _http_error() -> type[Exception]:
    from huggingface_hub.errors import HfHubHTTPError

    # the class is from httpx in huggingface_hub 1, and from httpx2 in huggingface_hub 2
    return HfHubHTTPError.__bases__[0]


def _hub_cause(error: Exception, revision: str, page: str, key: str) -> str:
    from huggingface_hub import errors
    from huggingface_hub.constants import ENDPOINT

    if isinstance(error, _Missing):
        return f"{ENDPOINT} has no {error} at revision {revision}: correct `{key}` or the `revision` beside it"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set and the hub's cache does not have it: unset HF_HUB_OFFLINE"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner must admit you first: ask at {page} and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{ENDPOINT} has no such repository, or it is private: correct `{key}` or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{ENDPOINT} has no revision {revision} of it: correct `revision` beside `{key}`"
    if isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401:
        return f"{ENDPOINT} does not accept the token: correct or unset HF_TOKEN"
    if isinstance(error, errors.HfHubHTTPError):
        return f"{ENDPOINT} answered {error.response.status_code}: run again later"
    return f"{ENDPOINT} cannot be reached ({reason(error.__cause__ or error)}): run again when it can"
