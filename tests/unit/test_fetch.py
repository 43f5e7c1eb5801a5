"""Downloads, against servers on this machine: no test reaches for the network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speechsong import fetch
from speechsong.corpora import INCOMPLETE, files_below, read_ravdess
from speechsong.fetch import Archive, download, fetch_encoder, fetch_ravdess, hub_folder, ravdess_recordings, unpack
from speechsong.files import UserError

SOURCE = Path(__file__).parents[2] / "src"
CORPUS = Path(__file__).parents[3] / "shared" / "data" / "ravdess-24k"
KEYS = ["corpora.speech.root", "corpora.music.root"]
CONTENT = random.Random(0).randbytes(40_500)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(fetch, "BLOCK", 1000)
    monkeypatch.setattr(fetch, "TIMEOUT", 3.0)
    monkeypatch.setattr(fetch, "WAITS", (0.01,) * 4)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        self.server.headers.append(dict(self.headers))
        answers = self.server.answers.get(self.path)
        if answers is None:
            self.server.otherwise(self)
        else:
            # the last one stays
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def reply(self, status, body=b"", headers=None, announced=None):
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.asked, httpd.headers, httpd.answers = [], [], {}
    httpd.otherwise = lambda handler: handler.reply(404)
    httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def serve(content, *, stop=None, ranges=True):
    """Answer with a file or the part that is asked for; hang up after `stop` bytes of it."""

    def answer(handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) if ranges else None
        begin = int(wanted[1]) if wanted else 0
        if wanted and begin >= len(content):
            return handler.reply(416, headers={"Content-Range": f"bytes */{len(content)}"})
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if wanted else {}
        body = content[begin:]
        handler.reply(206 if wanted else 200, body[:stop], headers, announced=len(body))

    return answer


def page(handler):
    handler.reply(200, b"<!DOCTYPE html><p>please log in", {"Content-Type": "text/html; charset=utf-8"})


@pytest.fixture
def nowhere():
    """Give an address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silence(monkeypatch):
    """Give an address at which somebody listens but never answers."""
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    monkeypatch.setattr(fetch, "HUB_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        yield f"http://127.0.0.1:{mute.getsockname()[1]}"


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- names


def test_recordings_are_those_of_the_corpus():
    speech, song = ravdess_recordings("speech"), ravdess_recordings("song")
    assert (len(set(speech)), len(set(song))) == (1440, 1012)
    assert speech == sorted(speech)
    assert speech[0] == "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav"
    assert len(read_ravdess(speech + song, "song")) == 1012


def test_recordings_match_the_real_listing(shared):
    listed = sorted(str(p.relative_to(CORPUS).with_suffix(".wav")) for p in CORPUS.rglob("*.flac"))
    assert sorted(ravdess_recordings("speech") + ravdess_recordings("song")) == listed


# --- download


def test_download_whole(server, tmp_path, caplog):
    caplog.set_level("INFO", logger="speechsong")
    server.answers["/a.zip?download=1"] = [serve(CONTENT)]
    download(f"{server.url}/a.zip?download=1", tmp_path / "new" / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "new" / "a.zip").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.zip"]
    assert server.headers[0]["User-Agent"].startswith("speechsong/")
    assert re.match(r"41/41 MB, [\d.]+ MB a second, 0:00 left", caplog.messages[-1])


def test_what_is_downloaded_is_on_the_disk_before_it_has_its_name(server, tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr(os, "fsync", lambda handle: named.append((tmp_path / "a.zip").exists()))
    server.answers["/a"] = [serve(CONTENT)]
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert named == [False]


def test_download_follows_redirects_with_its_range(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(302, headers={"Location": "/b"})]
    server.answers["/b"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:500])
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=500-"), ("GET", "/b", "bytes=500-")]


def test_download_resumes_where_the_connection_broke(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT, stop=10_250), serve(CONTENT, stop=20_000), serve(CONTENT)]
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert [wanted for _, _, wanted in server.asked] == [None, "bytes=10250-", "bytes=30250-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_takes_up_what_an_earlier_run_left(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(503), serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:30_000])
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=30000-")] * 2


def test_download_needs_no_connection_for_a_part_that_is_whole(tmp_path, nowhere):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    download(f"{nowhere}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_starts_afresh_where_there_is_nothing_left_to_send(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(416), serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 9_000)
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=9000-"), ("GET", "/a", None)]


def test_download_starts_afresh_where_more_is_there_than_can_be_right(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 99_000)
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", None)]


def test_download_without_ranges_starts_afresh_at_once(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT, ranges=False)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 9_000)
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=9000-")]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_does_not_append_another_range(server, tmp_path):
    answers = [
        lambda handler: handler.reply(206, CONTENT[5:], {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/*"}),
        serve(CONTENT),
    ]
    server.answers["/a"] = answers
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:2_000])
    download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_download_gives_up_on_a_connection_that_always_breaks(server, tmp_path, ranges):
    server.answers["/a"] = [serve(CONTENT, stop=100 if ranges else 5_000, ranges=ranges)]
    with pytest.raises(UserError) as caught:
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert f"{server.url}/a: the connection broke off after" in one_line(caught)
    assert len(server.asked) == 1 + len(fetch.WAITS)
    assert (tmp_path / "a.zip.part").exists()
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (CONTENT[:-1] + b"?", "a file with the digest"),
        (CONTENT[:-1], "40499 bytes"),
        (CONTENT + b"?", "40501 bytes"),
        (b"\n <html>a page without a type</html>".ljust(len(CONTENT)), "a web page"),
    ],
)
def test_download_refuses_what_is_not_the_file(server, tmp_path, sent, found):
    server.answers["/a"] = [serve(sent)]
    with pytest.raises(UserError) as caught:
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    message = one_line(caught)
    assert f"{server.url}/a: expected 40500 bytes with SHA-256 {DIGEST}, got {found}" in message
    assert f"save it as {tmp_path / 'a.zip'}" in message
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


def test_download_stops_where_more_comes_than_can_be_right(server, tmp_path):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT * 2)

    server.answers["/a"] = [endless]
    with pytest.raises(UserError, match="got more bytes"):
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_download_refuses_a_page(server, tmp_path):
    server.answers["/a"] = [page]
    with pytest.raises(UserError, match="got a web page"):
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_download_does_not_insist_on_what_is_not_there(server, tmp_path):
    with pytest.raises(UserError) as caught:
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "the server answered 404 Not Found; download it from its page" in one_line(caught)
    assert len(server.asked) == 1


def test_download_offline(tmp_path, nowhere):
    with pytest.raises(UserError) as caught:
        download(f"{nowhere}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "127.0.0.1 cannot be reached (Connection refused); run again when" in one_line(caught)


def test_download_from_a_server_that_says_nothing(tmp_path, silence):
    with pytest.raises(UserError, match=r"127.0.0.1 cannot be reached \(timed out\)"):
        download(f"{silence}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "a.zip"])
def test_download_knows_http_only(tmp_path, url):
    with pytest.raises(UserError, match="only http and https"):
        download(url, tmp_path / "a.zip", 1, DIGEST)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to offer")
def test_download_to_a_full_disk(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(UserError) as caught:
        download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "a.zip.part: cannot be written (the disk is full); free some space" in one_line(caught)
    assert (tmp_path / "a.zip.part").is_symlink()


# --- unpack


def zipped(members: dict) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    return info


@pytest.fixture
def root(tmp_path):
    """Give a folder in which nothing but `data` may come to lie."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_unpack_takes_what_is_asked_for(root):
    archive = root / "a.zip"
    archive.write_bytes(zipped({"Actor_01/": b"", "Actor_01/a.wav": b"one", "top/b.wav": b"two", "x.py": b"x"}))
    unpack(archive, root, ["top/Actor_01/a.wav", "top/b.wav"])
    found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*") if p != archive}
    assert found == {"top/Actor_01/a.wav": b"one", "top/b.wav": b"two"}
    assert stat.S_IMODE((root / "top/b.wav").stat().st_mode) & 0o111 == 0


@pytest.mark.parametrize(
    "bad",
    [
        member("../out.wav"),
        member("Actor_01/../../out.wav"),
        member("/out.wav"),
        member("C:out.wav"),
        member("..\\out.wav"),
        member("Actor_01\\out.wav"),
        member("out\n.wav"),
        member("link", stat.S_IFLNK | 0o777),
        member("pipe", stat.S_IFIFO | 0o644),
    ],
    ids=lambda info: repr(info.filename),
)
def test_unpack_refuses_members_that_lead_elsewhere(root, bad):
    archive = root / "a.zip"
    archive.write_bytes(zipped({"Actor_01/a.wav": b"one", bad: b"/etc/passwd"}))
    with pytest.raises(UserError) as caught:
        unpack(archive, root, ["top/Actor_01/a.wav"])
    assert f"{bad.filename!r} is not a plain file" in one_line(caught)
    assert [p.name for p in root.parent.rglob("*")] == ["data", "a.zip"]


def test_unpack_refuses_a_bomb(root):
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(1_000_000))
    with pytest.raises(UserError, match="would unpack to 1000000 bytes"):
        unpack(root / "a.zip", root, ["top/a.wav"])
    assert [p.name for p in root.iterdir()] == ["a.zip"]


def test_unpack_names_what_is_missing(root):
    (root / "a.zip").write_bytes(zipped({"0.wav": b""}))
    with pytest.raises(UserError) as caught:
        unpack(root / "a.zip", root, [f"top/{i}.wav" for i in range(6)])
    assert "5 of 6 files are missing (top/1.wav, top/2.wav, top/3.wav, ...)" in one_line(caught)
    assert [p.name for p in root.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("content", [b"no zip at all", zipped({"a.wav": b"sound"}).replace(b"sound", b"noise")])
def test_unpack_refuses_a_damaged_zip(root, content):
    (root / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(root / "a.zip", root, ["top/a.wav"])
    assert not [p for p in root.rglob("*") if p.is_file() and p.name != "a.zip"]


# --- RAVDESS


def recordings(channel: str) -> dict[str, bytes]:
    return {name.partition("/")[2]: name.encode() for name in ravdess_recordings(channel)}


@pytest.fixture
def few(monkeypatch):
    """Make RAVDESS a corpus of four recordings a channel."""
    whole = ravdess_recordings
    monkeypatch.setattr(fetch, "ravdess_recordings", lambda channel: whole(channel)[:4])
    monkeypatch.setattr(sys.modules[__name__], "ravdess_recordings", fetch.ravdess_recordings)


@pytest.fixture
def archives(server):
    """Serve an archive for each channel, made up but with the right names."""
    made = {}
    for channel, known in fetch.RAVDESS.items():
        content = zipped(recordings(channel))
        url = f"{server.url}/{channel}.zip"
        made[channel] = Archive(known.name, url, len(content), hashlib.sha256(content).hexdigest(), known.folder)
        server.answers[f"/{channel}.zip"] = [serve(content)]
        server.contents = {**getattr(server, "contents", {}), channel: content}
    return made


@pytest.mark.usefixtures("few")
class TestFewRecordings:
    def test_one_channel(self, archives, server, root):
        fetch_ravdess(root, ["song"], KEYS, archives)
        assert [path for _, path, _ in server.asked] == ["/song.zip"]
        assert [str(Path(p).relative_to(root)) for p in files_below(str(root))] == ravdess_recordings("song")
        # neither marker nor archive is left behind
        assert [p.name for p in root.iterdir()] == ["Audio_Song_Actors_01-24"]

    def test_a_corpus_that_is_there_is_left_alone(self, archives, server, root):
        fetch_ravdess(root, ["speech"], KEYS, archives)
        for path in root.rglob("*.wav"):
            path.rename(path.with_suffix(".FLAC"))
        server.asked.clear()
        root.chmod(0o555)
        fetch_ravdess(root, ["speech"], KEYS, archives)
        root.chmod(0o755)
        assert server.asked == []

    def test_an_archive_put_there_by_hand_is_used_and_kept(self, archives, server, root):
        path = root / "Audio_Speech_Actors_01-24.zip"
        path.write_bytes(server.contents["speech"])
        fetch_ravdess(root, ["speech"], KEYS, archives)
        assert server.asked == []
        assert path.read_bytes() == server.contents["speech"]
        assert len(files_below(str(root))) == 4

    def test_a_wrong_archive_is_replaced(self, archives, server, root):
        path = root / "Audio_Speech_Actors_01-24.zip"
        path.write_bytes(server.contents["speech"][:-1] + b"?")
        fetch_ravdess(root, ["speech"], KEYS, archives)
        assert not path.exists()
        assert len(files_below(str(root))) == 4

    def test_the_marker_stays_while_a_channel_is_missing(self, archives, server, root):
        server.answers["/song.zip"] = [page]
        with pytest.raises(UserError, match="got a web page"):
            fetch_ravdess(root, ["speech", "song"], KEYS, archives)
        assert len(list(root.rglob("*.wav"))) == 4
        assert (root / INCOMPLETE).exists()
        assert files_below(str(root)) == []
        server.answers["/song.zip"] = [serve(server.contents["song"])]
        server.asked.clear()
        fetch_ravdess(root, ["speech", "song"], KEYS, archives)
        assert [path for _, path, _ in server.asked] == ["/song.zip"]
        assert len(files_below(str(root))) == 8

    def test_the_marker_stays_while_an_archive_is_half_unpacked(self, archives, root, monkeypatch):
        whole, calls = fetch._write, []

        def interrupted(path, source):
            calls.append(path)
            if len(calls) == 3:
                raise KeyboardInterrupt
            whole(path, source)

        monkeypatch.setattr(fetch, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_ravdess(root, ["speech"], KEYS, archives)
        assert files_below(str(root)) == []
        assert len(list(root.rglob("*.wav"))) == 2
        monkeypatch.setattr(fetch, "_write", whole)
        fetch_ravdess(root, ["speech"], KEYS, archives)
        assert len(files_below(str(root))) == 4
        # the archive of the earlier run is still known as ours
        assert [p.name for p in root.iterdir()] == ["Audio_Speech_Actors_01-24"]

    def test_offline(self, archives, root, nowhere):
        archives = {
            channel: Archive(a.name, f"{nowhere}/{channel}.zip", a.size, a.sha256, a.folder)
            for channel, a in archives.items()
        }
        start = time.monotonic()
        with pytest.raises(UserError) as caught:
            fetch_ravdess(root, ["speech", "song"], KEYS, archives)
        assert time.monotonic() - start < 10
        message = one_line(caught)
        assert message.startswith(
            "RAVDESS speech and song (audio-only) is missing and cannot be downloaded (127.0.0.1 cannot"
        )
        for part in [
            f"get {nowhere}/speech.zip and {nowhere}/song.zip",
            f"put it into {root} as Audio_Speech_Actors_01-24.zip and Audio_Song_Actors_01-24.zip",
            f"anywhere below {root}",
            "`corpora.speech.root` and `corpora.music.root`",
        ]:
            assert part in message
        # whatever is unpacked here by hand must be found
        assert list(root.iterdir()) == []

    def test_offline_names_only_what_is_missing(self, archives, server, root):
        server.answers["/song.zip"] = [lambda handler: handler.reply(403)]
        with pytest.raises(UserError) as caught:
            fetch_ravdess(root, ["speech", "song"], KEYS, archives)
        assert "RAVDESS song (audio-only) is missing" in one_line(caught)
        assert "403 Forbidden" in str(caught.value)
        assert "speech.zip" not in str(caught.value)
        # what the message asks for: unpacked by hand, wherever, and run again
        for name, content in recordings("song").items():
            (root / "by hand" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "by hand" / name).write_bytes(content)
        fetch_ravdess(root, ["speech", "song"], KEYS, archives)
        assert len(files_below(str(root))) == 8

    def test_a_folder_that_cannot_be_written(self, archives, root):
        (root / "file").touch()
        with pytest.raises(UserError, match="cannot be written"):
            fetch_ravdess(root / "file" / "ravdess", ["speech"], KEYS, archives)


def test_a_whole_channel(archives, root):
    fetch_ravdess(root, ["song"], KEYS, archives)
    found = [str(Path(p).relative_to(root)) for p in files_below(str(root))]
    assert found == ravdess_recordings("song")
    assert (root / found[0]).read_text() == found[0]


# --- the hub

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
        (REPOSITORY, REVISION, "preprocessor_config.json", "has no preprocessor_config.json at revision"),
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


def test_encoder_from_a_hub_that_says_nothing(use, tmp_path, silence):
    use(silence)
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
        "import sys; from speechsong.fetch import fetch_encoder\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\n"
        f"fetch_encoder({REPOSITORY!r}, 'main', {str(tmp_path / 'encoder')!r}, 'key')\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"PYTHONPATH": str(SOURCE), "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
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
