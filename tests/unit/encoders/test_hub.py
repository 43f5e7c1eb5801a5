"""Encoders from a hub on this machine: which files are taken, and what is said where one cannot be had."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import ROOT, one_line
from http_server import page, serve
from speechsong.encoders import hub as hubs
from speechsong.encoders.hub import fetch_encoder, hub_folder
from speechsong.errors import UserError


@pytest.fixture(autouse=True)
def _quick(monkeypatch, no_proxy):
    monkeypatch.setattr(hubs, "WAITS", (0.01,) * 4)


REPOSITORY, REVISION = "org/encoder", "a" * 40
CONFIGS = {"config.json": b'{"model_type": "hubert"}', "preprocessor_config.json": b"{}", "modeling_x.py": b"boom"}
INDEX = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}).encode()
SHARDS = {"model-1-of-2.safetensors": b"one", "model-2-of-2.safetensors": b"two"}


@pytest.fixture
def hub(server):
    """Let the server answer as the hub does: headers on HEAD, weights from another host."""
    server.files = dict(CONFIGS)

    def answer(handler):
        match = re.fullmatch(r"/(.+)/resolve/([^/]+)/([^/]+)", handler.path)
        if handler.path.startswith("/cdn/"):
            return serve(server.files[handler.path.removeprefix("/cdn/")])(handler)
        if match is None:
            return handler.reply(404)
        repository, revision, name = match.groups()
        if repository == "org/gated":
            return handler.reply(403, headers={"X-Error-Code": "GatedRepo"})
        if repository != REPOSITORY:
            return handler.reply(401, headers={"X-Error-Code": "RepoNotFound"})
        if revision not in (REVISION, "main"):
            return handler.reply(404, headers={"X-Error-Code": "RevisionNotFound"})
        if name not in server.files:
            return handler.reply(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": REVISION})
        content = server.files[name]
        headers = {"X-Repo-Commit": REVISION, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if name.endswith(".json"):
            return handler.reply(200, content, headers)
        headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        headers["X-Linked-Size"] = str(len(content))
        headers["Location"] = f"{server.url.replace('127.0.0.1', 'localhost')}/cdn/{name}"
        return handler.reply(302, headers=headers)

    server.otherwise = answer
    return server


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Point huggingface_hub to an address, as HF_ENDPOINT does where it is set before the import."""
    from huggingface_hub import constants

    def point(url, offline=False):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "cache" / "harnesses.json"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setenv("HF_TOKEN", "hf_test")

    return point


def fetched(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ({"model.safetensors": b"safe", "pytorch_model.bin": b"bin"}, {"model.safetensors": b"safe"}),
        ({"pytorch_model.bin": b"bin"}, {"pytorch_model.bin": b"bin"}),
        (
            {"model.safetensors.index.json": INDEX, **SHARDS, "pytorch_model.bin": b"bin"},
            {"model.safetensors.index.json": INDEX, **SHARDS},
        ),
    ],
    ids=["safetensors", "bin", "sharded"],
)
def test_encoder(hub, use, tmp_path, monkeypatch, capfd, offered, taken):
    use(hub.url)
    hub.files.update(offered)
    folder = hub_folder(tmp_path / "encoders", REPOSITORY, REVISION)
    moved, replace = [], Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda p, q: (moved.append(q.name) if q.parent == folder else None, replace(p, q))[1]
    )
    fetch_encoder(REPOSITORY, REVISION, folder, "encoders.x.checkpoint")
    configs = {name: content for name, content in CONFIGS.items() if name.endswith(".json")}
    assert fetched(folder) == {**configs, **taken}
    assert [p.name for p in folder.iterdir() if p.is_dir()] == []
    assert moved[-1] == "config.json"
    assert "%|" not in capfd.readouterr().err
    # the token is for the hub alone, and no code is asked for
    for (_, path, _), headers in zip(hub.asked, hub.headers, strict=True):
        assert "/api/" in path or ("authorization" in map(str.lower, headers)) == path.startswith("/org/")
        assert not path.endswith(".py")
    hub.asked.clear()
    fetch_encoder(REPOSITORY, REVISION, folder, "encoders.x.checkpoint")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("repository", "revision", "missing", "part"),
    [
        ("org/none", REVISION, None, "has no such repository"),
        ("org/gated", REVISION, None, "its owner must admit you first"),
        (REPOSITORY, "b" * 40, None, f"has no revision {'b' * 40} of it"),
        (REPOSITORY, REVISION, "config.json", "has no config.json at revision"),
        (
            REPOSITORY,
            REVISION,
            "preprocessor_config.json",
            "has no preprocessor_config.json or processor_config.json at revision",
        ),
        (REPOSITORY, REVISION, "model-2-of-2.safetensors", "has no model-2-of-2.safetensors at revision"),
        (
            REPOSITORY,
            REVISION,
            "model.safetensors.index.json",
            "has no model.safetensors or model.safetensors.index.json or pytorch_model.bin at",
        ),
    ],
)
def test_encoder_that_is_not_there(hub, use, tmp_path, repository, revision, missing, part):
    use(hub.url)
    hub.files.update({"model.safetensors.index.json": INDEX, **SHARDS})
    hub.files.pop(missing, None)
    folder = tmp_path / "encoder"
    with pytest.raises(UserError) as caught:
        fetch_encoder(repository, revision, folder, "encoders.x.checkpoint")
    message = one_line(caught)
    assert message.startswith(f"encoder {repository} cannot be downloaded: ")
    assert part in message
    for part in (f"https://huggingface.co/{repository}/tree/{revision}", str(folder), "`encoders.x.checkpoint`"):
        assert part in message
    assert not (folder / "config.json").exists()


def test_an_encoder_with_a_processor_in_the_place_of_its_extractor(hub, use, tmp_path):
    use(hub.url)
    hub.files["processor_config.json"] = hub.files.pop("preprocessor_config.json")
    hub.files["model.safetensors"] = b"weights"
    fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "encoders.x.checkpoint")
    names = sorted(path.name for path in (tmp_path / "encoder").iterdir())
    assert names == ["config.json", "model.safetensors", "processor_config.json"]


def test_encoder_takes_up_what_broke_off(hub, use, tmp_path):
    use(hub.url)
    hub.files.update({"model.safetensors.index.json": INDEX, "model-1-of-2.safetensors": b"one"})
    with pytest.raises(UserError):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    assert [p.name for p in (tmp_path / "encoder").iterdir()] == [".download"]
    hub.files.update(SHARDS)
    hub.asked.clear()
    fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    assert [path for _, path, _ in hub.asked if "cdn" in path] == ["/cdn/model-2-of-2.safetensors"]


@pytest.mark.parametrize("name", ["../evil.safetensors", "/evil.safetensors", "evil.py", 3, ".safetensors"])
def test_encoder_with_an_index_that_leads_elsewhere(hub, use, tmp_path, name):
    use(hub.url)
    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": name}}).encode()
    with pytest.raises(UserError, match="it names"):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")


def test_encoder_offline(use, tmp_path, nowhere):
    use(nowhere)
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "encoders.x.checkpoint")
    assert time.monotonic() - start < 10
    message = one_line(caught)
    assert f"{nowhere} cannot be reached (" in message
    assert "Connection refused" in message
    assert not (tmp_path / "encoder").exists()
    for part in ("https://huggingface.co/org/encoder/tree/aaa", str(tmp_path / "encoder"), "`encoders.x.checkpoint`"):
        assert part in message


def test_encoder_from_a_hub_that_says_nothing(use, tmp_path, mute, monkeypatch):
    monkeypatch.setattr(hubs, "HUB_TIMEOUT", 0.2)
    use(mute)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"cannot be reached \(timed out\)"):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    assert time.monotonic() - start < 10


def test_encoder_from_a_hub_that_is_down(hub, use, tmp_path):
    use(hub.url)
    hub.otherwise = lambda handler: handler.reply(502)
    with pytest.raises(UserError, match="answered 502: run again later"):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")


def test_encoder_from_what_is_no_hub(server, use, tmp_path):
    use(server.url)
    server.otherwise = page
    with pytest.raises(UserError, match="cannot be reached") as caught:
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    one_line(caught)


@pytest.mark.parametrize("offline", [True, False])
def test_encoder_from_the_cache_of_the_hub(use, tmp_path, nowhere, offline):
    use(nowhere, offline)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set" if offline else "cannot be reached"):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    snapshot = tmp_path / "cache" / "models--org--encoder" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    for name, content in {**CONFIGS, "pytorch_model.bin": b"bin"}.items():
        (snapshot / name).write_bytes(content)
    fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    assert set(fetched(tmp_path / "encoder")) == {"config.json", "preprocessor_config.json", "pytorch_model.bin"}


def test_encoder_for_a_folder_that_cannot_be_written(hub, use, tmp_path):
    use(hub.url)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "file" / "encoder", "key")


def test_encoder_on_a_full_disk(hub, use, tmp_path, monkeypatch):
    use(hub.url)
    hub.files["pytorch_model.bin"] = b"bin"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(UserError, match=r"cannot be written \(the disk is full\)") as caught:
        fetch_encoder(REPOSITORY, REVISION, tmp_path / "encoder", "key")
    one_line(caught)


def test_endpoint_and_imports_in_a_process_of_their_own(hub, tmp_path):
    hub.files["pytorch_model.bin"] = b"bin"
    code = (
        "import sys; from speechsong.encoders.hub import fetch_encoder\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\n"
        f"fetch_encoder({REPOSITORY!r}, 'main', {str(tmp_path / 'encoder')!r}, 'key')\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "%|" not in done.stderr
    assert set(fetched(tmp_path / "encoder")) == {"config.json", "preprocessor_config.json", "pytorch_model.bin"}


def test_hub_folder():
    assert hub_folder("data/encoders", "m-a-p/MERT-v1-95M", "main") == Path("data/encoders/m-a-p--MERT-v1-95M/main")
    assert hub_folder("e", "gpt2", "v1.0") == Path("e/gpt2/v1.0")


@pytest.mark.parametrize(
    ("checkpoint", "revision"),
    [
        ("../x", "main"),
        ("a/b/c", "main"),
        ("/a", "main"),
        ("a/", "main"),
        ("", "main"),
        ("a/..", "main"),
        ("a/.b", "main"),
        ("-a/b", "main"),
        ("a/b..c", "main"),
        ("a--b", "main"),
        ("a/b.", "main"),
        ("a/" + "b" * 95, "main"),
        ("a/b\n", "main"),
        ("a b/c", "main"),
        ("a/b", ""),
        ("a/b", "."),
        ("a/b", ".."),
        ("a/b", "x/y"),
        ("a/b", "-x"),
        ("a/b", "a..b"),
    ],
)
def test_hub_folder_refuses_other_names(checkpoint, revision):
    with pytest.raises(UserError) as caught:
        hub_folder("data", checkpoint, revision)
    one_line(caught)


# --- what an encoder is today


def test_an_encoder_is_looked_up(hub, use):
    use(hub.url)
    assert hubs.look_up(REPOSITORY) == (REVISION, {"model_type": "hubert"})
    assert {path.rsplit("/", 1)[-1] for _, path, _ in hub.asked if "/resolve/" in path} == {"config.json"}


@pytest.mark.parametrize(
    ("repository", "config", "part"),
    [
        ("org/none", None, "has no such repository"),
        ("org/gated", None, "its owner must admit you first"),
        (REPOSITORY, None, "has no config.json"),
        (REPOSITORY, b"[1]", "has no readable config.json"),
        (REPOSITORY, b"{", "cannot be looked up"),
    ],
)
def test_an_encoder_that_cannot_be_looked_up(hub, use, repository, config, part):
    use(hub.url)
    hub.files.pop("config.json")
    if config is not None:
        hub.files["config.json"] = config
    with pytest.raises(UserError) as caught:
        hubs.look_up(repository)
    message = one_line(caught)
    assert message.startswith(f"encoder {repository} cannot be looked up: ")
    assert part in message
    assert f"https://huggingface.co/{repository}" in message


def test_a_hub_that_is_away_is_said(hub, use):
    use("http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be looked up") as caught:
        hubs.look_up(REPOSITORY)
    assert "or get it from https://huggingface.co/org/encoder and give its folder" in one_line(caught)
