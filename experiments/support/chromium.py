"""Headless Chromium: shows a page, points at things in it, and takes pictures of it.

Spoken to through a pipe in the DevTools protocol, so that nothing but Chromium is needed.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 60.0
_END = b"\0"
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Path of a Chromium on this machine, None where there is none."""
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in found if path is not None), None)


class Chromium:
    """A browser with one page open; a context manager.

    Args:
        width, height: of the page, in its own pixels.
        scheme: "light" or "dark", as a person prefers it.
        scale: pixels of a picture for one of the page.

    Attributes:
        requested: addresses of all that the page has asked for.
        complaints: what it has written to the console, and errors of its script.
    """

    def __init__(
        self, width: int = 1280, height: int = 800, scheme: str = "light", scale: float = 1.0
    ) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._received = b""
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = " ".join(
            [f"exec {find_chromium()}", *_OPTIONS, f"--user-data-dir={self._folder.name}"]
        )
        self._process = subprocess.Popen(
            ["bash", "-c", f"{command} about:blank 3<&{theirs_in} 4>&{theirs_out}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._session: str | None = None
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        self.look(width, height, scheme, scale)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *raised: object) -> None:
        self._session = None
        self._ask("Browser.close")
        self._process.wait(timeout=_PATIENCE)
        os.close(self._out)
        os.close(self._in)
        self._folder.cleanup()

    def look(self, width: int, height: int, scheme: str = "light", scale: float = 1.0) -> None:
        """Looks at the page through a window of another size, with another preference."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        self._scheme = scheme
        self.print_view(False)

    def print_view(self, wanted: bool) -> None:
        """Shows the page as it is printed, or as it is seen."""
        feature = {"name": "prefers-color-scheme", "value": self._scheme}
        media = "print" if wanted else ""
        self._ask("Emulation.setEmulatedMedia", media=media, features=[feature])

    def open(self, path: Path) -> None:
        """Opens a page from a file, and waits until it is there."""
        self._ask("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + _PATIENCE
        while self.run("document.readyState") != "complete":
            if time.monotonic() > end:
                raise TimeoutError(f"{path} was not opened within {_PATIENCE:g} seconds")
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """What a script in the page comes to."""
        answer = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        """Moves the mouse to a place in the window."""
        self._ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Presses a key, such as "ArrowRight" or "Tab"."""
        codes = {"Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}
        for kind in ("keyDown", "keyUp"):
            self._ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
            )

    def picture(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        taken = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(taken["data"])

    def _ask(self, method: str, **about: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": about}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + _END)
        while True:
            heard = self._hear()
            if heard.get("id") == number:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                answer: dict[str, Any] = heard["result"]
                return answer
            self._note(heard)

    def _note(self, heard: dict[str, Any]) -> None:
        about = heard.get("params", {})
        kind = heard.get("method")
        if kind == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        elif kind == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif kind == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif kind == "Runtime.consoleAPICalled":
            self.complaints.append(str(about["args"]))

    def _hear(self) -> dict[str, Any]:
        while _END not in self._received:
            ready, _, _ = select.select([self._in], [], [], _PATIENCE)
            more = os.read(self._in, 1 << 16) if ready else b""
            if not more:
                raise RuntimeError("Chromium says nothing any more")
            self._received += more
        first, _, self._received = self._received.partition(_END)
        heard: dict[str, Any] = json.loads(first)
        return heard
