"""Downloads, against servers on this machine: no test reaches for the network."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import time
from pathlib import Path

import pytest

from common import one_line
from http_server import page, serve
from speechsong.corpora import download
from speechsong.errors import UserError

CONTENT = random.Random(0).randbytes(40_500)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _quick(monkeypatch, no_proxy):
    monkeypatch.setattr(download, "BLOCK", 1000)
    monkeypatch.setattr(download, "TIMEOUT", 3.0)
    monkeypatch.setattr(download, "WAITS", (0.01,) * 4)


def test_download_whole(server, tmp_path, caplog):
    caplog.set_level("INFO", logger="speechsong")
    server.answers["/a.zip?download=1"] = [serve(CONTENT)]
    download.download(f"{server.url}/a.zip?download=1", tmp_path / "new" / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "new" / "a.zip").read_bytes() == CONTENT
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.zip"]
    assert server.headers[0]["User-Agent"].startswith("speechsong/")
    assert re.match(r"41/41 MB, [\d.]+ MB a second, 0:00 left", caplog.messages[-1])


def test_what_is_downloaded_is_on_the_disk_before_it_has_its_name(server, tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr(os, "fsync", lambda handle: named.append((tmp_path / "a.zip").exists()))
    server.answers["/a"] = [serve(CONTENT)]
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert named == [False]


def test_download_follows_redirects_with_its_range(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(302, headers={"Location": "/b"})]
    server.answers["/b"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:500])
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=500-"), ("GET", "/b", "bytes=500-")]


def test_download_resumes_where_the_connection_broke(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT, stop=10_250), serve(CONTENT, stop=20_000), serve(CONTENT)]
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert [wanted for _, _, wanted in server.asked] == [None, "bytes=10250-", "bytes=30250-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_takes_up_what_an_earlier_run_left(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(503), serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:30_000])
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=30000-")] * 2


def test_download_needs_no_connection_for_a_part_that_is_whole(tmp_path, nowhere):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    download.download(f"{nowhere}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_starts_afresh_where_there_is_nothing_left_to_send(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(416), serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 9_000)
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=9000-"), ("GET", "/a", None)]


def test_download_starts_afresh_where_more_is_there_than_can_be_right(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 99_000)
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", None)]


def test_download_without_ranges_starts_afresh_at_once(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT, ranges=False)]
    (tmp_path / "a.zip.part").write_bytes(b"x" * 9_000)
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert server.asked == [("GET", "/a", "bytes=9000-")]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_download_does_not_append_another_range(server, tmp_path):
    answers = [
        lambda handler: handler.reply(206, CONTENT[5:], {"Content-Range": f"bytes 5-{len(CONTENT) - 1}/*"}),
        serve(CONTENT),
    ]
    server.answers["/a"] = answers
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:2_000])
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_download_gives_up_on_a_connection_that_always_breaks(server, tmp_path, ranges):
    server.answers["/a"] = [serve(CONTENT, stop=100 if ranges else 5_000, ranges=ranges)]
    with pytest.raises(UserError) as caught:
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert f"{server.url}/a: the connection broke off after" in one_line(caught)
    assert len(server.asked) == 1 + len(download.WAITS)
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
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
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
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_download_refuses_a_page(server, tmp_path):
    server.answers["/a"] = [page]
    with pytest.raises(UserError, match="got a web page"):
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("date", [False, True])
def test_download_waits_as_long_as_the_server_asks(server, tmp_path, monkeypatch, date):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    after = "Tue, 14 Nov 2023 22:13:57 GMT" if date else "37"
    server.answers["/a"] = [lambda handler: handler.reply(429, headers={"Retry-After": after}), serve(CONTENT)]
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert waited == [37]


@pytest.mark.parametrize("after", ["-1", "soon", "9" * 5000, "Tue, 99 Nov 2023"])
def test_download_ignores_a_wait_that_is_none(server, tmp_path, after):
    server.answers["/a"] = [lambda handler: handler.reply(429, headers={"Retry-After": after}), serve(CONTENT)]
    download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)


def test_download_gives_up_where_it_would_wait_for_hours(server, tmp_path):
    server.answers["/a"] = [lambda handler: handler.reply(429, headers={"Retry-After": "7200"})]
    with pytest.raises(UserError) as caught:
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "429" in one_line(caught)
    assert "asks to wait for 120 minutes; run again then" in one_line(caught)
    assert len(server.asked) == 1


def test_download_gives_up_on_a_server_that_only_drips(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "SLOW", 0.1)

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.02)

    server.answers["/a"] = [drip]
    with pytest.raises(UserError, match=r"only \d+ bytes arrived in 0\.1 s; run again when the network is back"):
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)


@pytest.mark.parametrize(
    "address", ["http://[::1/x", "http://a:b/", "http://\x7f/", "file:///etc/passwd", "//" + "ä" * 99]
)
def test_download_is_sent_to_an_address_that_is_none(server, tmp_path, address):
    server.answers["/a"] = [lambda handler: handler.reply(302, headers={"Location": address})]
    with pytest.raises(UserError) as caught:
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert f"{server.url}/a: " in one_line(caught)


@pytest.mark.parametrize("ranged", [False, True])
def test_download_of_a_length_that_no_file_has(server, tmp_path, ranged):
    long = "9" * 5000
    headers = {"Content-Range": f"bytes 0-{long}/{long}"} if ranged else {}
    server.answers["/a"] = [
        lambda handler: handler.reply(206 if ranged else 200, CONTENT, headers, announced=40_500 if ranged else long)
    ]
    with pytest.raises(UserError, match=r"the server (announces a length that no file has|sent a part of the file)"):
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)


def test_download_does_not_insist_on_what_is_not_there(server, tmp_path):
    with pytest.raises(UserError) as caught:
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "the server answered 404 Not Found; download it from its page" in one_line(caught)
    assert len(server.asked) == 1


def test_download_offline(tmp_path, nowhere):
    with pytest.raises(UserError) as caught:
        download.download(f"{nowhere}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "127.0.0.1 cannot be reached (Connection refused); run again when" in one_line(caught)


def test_download_from_a_server_that_says_nothing(tmp_path, mute, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with pytest.raises(UserError, match=r"127.0.0.1 cannot be reached \(timed out\)"):
        download.download(f"{mute}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "a.zip"])
def test_download_knows_http_only(tmp_path, url):
    with pytest.raises(UserError, match="only http and https"):
        download.download(url, tmp_path / "a.zip", 1, DIGEST)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to offer")
def test_download_to_a_full_disk(server, tmp_path):
    server.answers["/a"] = [serve(CONTENT)]
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(UserError) as caught:
        download.download(f"{server.url}/a", tmp_path / "a.zip", len(CONTENT), DIGEST)
    assert "a.zip.part: cannot be written (the disk is full); free some space" in one_line(caught)
    assert (tmp_path / "a.zip.part").is_symlink()
