"""RAVDESS: what its archives hold, how they are unpacked and when they are fetched; from a server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import stat
import time
import zipfile
from pathlib import Path

import pytest

from common import one_line
from http_server import page, serve
from speechsong.corpora import download, zenodo
from speechsong.corpora.readers import read_ravdess
from speechsong.corpora.recordings import INCOMPLETE, files_below
from speechsong.corpora.zenodo import Archive, fetch_ravdess, unpack
from speechsong.errors import UserError

KEYS = ["corpora.speech.root", "corpora.music.root"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch, no_proxy):
    for module in (download, zenodo):
        monkeypatch.setattr(module, "BLOCK", 1000)
    monkeypatch.setattr(download, "TIMEOUT", 3.0)
    monkeypatch.setattr(download, "WAITS", (0.01,) * 4)


# --- names


def test_recordings_are_those_of_the_corpus():
    speech, song = zenodo.ravdess_recordings("speech"), zenodo.ravdess_recordings("song")
    assert (len(set(speech)), len(set(song))) == (1440, 1012)
    assert speech == sorted(speech)
    assert speech[0] == "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav"
    assert len(read_ravdess(speech + song, "song")) == 1012


def test_recordings_match_the_real_listing(shared):
    corpus = shared / "data" / "ravdess-24k"
    listed = sorted(str(p.relative_to(corpus).with_suffix(".wav")) for p in corpus.rglob("*.flac"))
    assert sorted(zenodo.ravdess_recordings("speech") + zenodo.ravdess_recordings("song")) == listed


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
    return {name.partition("/")[2]: name.encode() for name in zenodo.ravdess_recordings(channel)}


@pytest.fixture
def few(monkeypatch):
    """Make RAVDESS a corpus of four recordings a channel."""
    whole = zenodo.ravdess_recordings
    monkeypatch.setattr(zenodo, "ravdess_recordings", lambda channel: whole(channel)[:4])


@pytest.fixture
def archives(server):
    """Serve an archive for each channel, made up but with the right names."""
    made = {}
    for channel, known in zenodo.RAVDESS.items():
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
        assert [str(Path(p).relative_to(root)) for p in files_below(str(root))] == zenodo.ravdess_recordings("song")
        # neither marker nor archive is left behind
        assert [p.name for p in root.iterdir()] == ["Audio_Song_Actors_01-24"]

    def test_a_mirror_has_the_same_files(self, server, root):
        archive = zenodo.mirrored("song", f"{server.url}/ours/")
        assert archive == dataclasses.replace(zenodo.RAVDESS["song"], url=f"{server.url}/ours/{archive.name}.zip")
        assert zenodo.mirrored("song", None) == zenodo.RAVDESS["song"]
        server.answers[f"/ours/{archive.name}.zip"] = [serve(b"another file")]
        with pytest.raises(UserError, match=f"expected {archive.size} bytes with SHA-256 {archive.sha256}"):
            fetch_ravdess(root, ["song"], KEYS, {"song": archive})

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
        whole, calls = zenodo._write, []

        def interrupted(path, source):
            calls.append(path)
            if len(calls) == 3:
                raise KeyboardInterrupt
            whole(path, source)

        monkeypatch.setattr(zenodo, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_ravdess(root, ["speech"], KEYS, archives)
        assert files_below(str(root)) == []
        assert len(list(root.rglob("*.wav"))) == 2
        monkeypatch.setattr(zenodo, "_write", whole)
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
    assert found == zenodo.ravdess_recordings("song")
    assert (root / found[0]).read_text() == found[0]
