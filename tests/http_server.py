"""A server on this machine for tests of downloads: no test uses the network."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Gives the answers that `server.answers` has for the path, one after the other; the last one is repeated."""

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        """Answer as to GET, without a body."""
        self.do_GET()

    def do_GET(self):
        """Record the request and answer it."""
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        self.server.headers.append(dict(self.headers))
        answers = self.server.answers.get(self.path)
        if answers is None:
            self.server.otherwise(self)
        else:
            # the last one is repeated
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def reply(self, status, body=b"", headers=None, announced=None):
        """Send one answer; its length may be announced wrongly."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """Run a server with its `url`, `answers` by path (404 for others), and all requests in `asked` and `headers`."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.asked, httpd.headers, httpd.answers = [], [], {}
    httpd.otherwise = lambda handler: handler.reply(404)
    httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def serve(content: bytes, *, stop: int | None = None, ranges: bool = True) -> Callable[[Handler], None]:
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


def page(handler: Handler) -> None:
    """Answer with a web page, as a wireless network does before the login."""
    handler.reply(200, b"<!DOCTYPE html><p>please log in", {"Content-Type": "text/html; charset=utf-8"})
