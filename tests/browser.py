"""A headless Chromium without network, controlled over its DevTools pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path


class Browser:
    """One page of a browser that ends with the `with` block.

    Attributes
    ----------
    problems : list of str
        Every error on the console, uncaught exception and failed request so far.
    urls : list of str
        Every request so far.
    """

    def __init__(self, chromium: str) -> None:
        self.problems: list[str] = []
        self.urls: list[str] = []
        self._chromium = chromium
        self._count = 0
        self._waiting = b""

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read, self._commands = os.pipe()
        self._answers, write = os.pipe()
        # Chromium takes commands on descriptor 3 and answers on 4; the ends are moved up first, as they may be 3 or 4
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read, write)]
        options = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self._folder.name}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{ends[0]} 4>&{ends[1]}', self._chromium, *options, "about:blank"],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (read, write, *ends):
            os.close(end)
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._commands)
        os.close(self._answers)
        self._folder.cleanup()

    def open(self, page: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window `width` px wide, a phone's if it is narrow; wait until it is loaded."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.wait(f"location.href == {json.dumps(page.resolve().as_uri())} && document.readyState == 'complete'")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true, and images are loaded."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition}) && [...document.images].every(i => i.complete)"):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.1)
        # time for pending drawing to finish, and for pending failures to be reported
        time.sleep(0.5)
        self.run("0")

    def run(self, expression: str) -> object:
        """Evaluate JavaScript in the page and return its value."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def send(self, method: str, **params: object) -> dict:
        """Send a command of the DevTools protocol to the page and return its result."""
        return self._send(method, self._session, **params)

    def _send(self, method: str, session: str | None = None, **params: object) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]
            self._note(answer.get("method"), answer.get("params"))

    def _receive(self) -> dict:
        while b"\0" not in self._waiting:
            part = os.read(self._answers, 1 << 20)
            assert part, f"{self._chromium} ended"
            self._waiting += part
        message, self._waiting = self._waiting.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: str | None, params: dict) -> None:
        if event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(f"console {params['type']}: {[a.get('value', a) for a in params['args']]}")
        elif event == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {params['exceptionDetails']}")
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"log: {params['entry']['text']}")
        elif event == "Network.loadingFailed":
            self.problems.append(f"request failed: {params['errorText']}")
        elif event == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
