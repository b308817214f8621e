"""A small client for a headless Chromium: it speaks the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from support.waiting import wait_until

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--remote-debugging-port=0",
)
_ANSWER_TIMEOUT: Final = 30.0


def find_chromium() -> str | None:
    """Give the path of a Chromium on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path is not None), None)


@dataclass
class Tab:
    """One page of the browser. `troubles` collects what no page of ours may have: errors, dialogs, refused content."""

    socket: ClientConnection
    troubles: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _loaded: bool = False

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and give its result."""
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        deadline = time.monotonic() + _ANSWER_TIMEOUT
        while True:
            message = json.loads(self.socket.recv(timeout=max(deadline - time.monotonic(), 0.01)))
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.troubles.append(f"exception: {params['exceptionDetails']}")
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.troubles.append(f"console: {params['args']}")
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.troubles.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.troubles.append(f"dialog: {params['message']}")
                closing = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self.socket.send(json.dumps(closing))

    def go(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        self.expect_load()
        self.send("Page.navigate", url=url)
        self.wait_for_load()

    def expect_load(self) -> None:
        """Forget that the page has loaded: what follows loads another."""
        self._loaded = False

    def wait_for_load(self) -> None:
        """Wait until the page that was expected has loaded."""
        wait_until(lambda: self.evaluate("1") and self._loaded, 20)

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector: str = "main") -> str:
        """Give the text of the first element that a selector finds; empty if there is none."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait_for(self, expression: str, timeout: float = 15) -> Any:
        """Wait until an expression gives something true, and give that."""
        return wait_until(lambda: self.evaluate(expression), timeout)

    def wait_for_text(self, words: str, selector: str = "main", timeout: float = 15) -> None:
        """Wait until an element says so."""
        wait_until(lambda: words in self.text(selector), timeout)

    def point(self, selector: str) -> tuple[float, float]:
        """Bring an element into view, and give its middle."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        assert place is not None, f"there is no {selector}"
        return place[0], place[1]

    def move(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Click on an element as a mouse does."""
        x, y = self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait until that has loaded."""
        self.expect_load()
        self.click(selector)
        self.wait_for_load()

    def fill(self, selector: str, text: str) -> None:
        """Replace what stands in a field by typing."""
        self.click(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        self.send("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            down = text if kind == "keyDown" else ""
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], text=down)

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window, and whether the reader wants a dark page."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def without_scripts(self) -> None:
        """Run no script of the pages from now on."""
        self.send("Emulation.setScriptExecutionDisabled", value=True)

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Write a picture of the page (PNG)."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))


@dataclass(frozen=True)
class Browser:
    """A running Chromium."""

    port: int

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab of its own while the body runs."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            target = json.load(answer)
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                tab.send(f"{domain}.enable")
            tab.look()
            try:
                yield tab
            finally:
                with suppress(ConnectionClosed, AssertionError, TimeoutError):
                    tab.send("Page.close")


@contextmanager
def running_browser(binary: str, flags: Sequence[str] = FLAGS) -> Iterator[Browser]:
    """Run a Chromium with an empty profile while the body runs; its whole process group ends with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [binary, *flags, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            file = Path(profile) / "DevToolsActivePort"
            wait_until(lambda: file.exists() and "\n" in file.read_text("utf-8"), 30)
            yield Browser(int(file.read_text("utf-8").splitlines()[0]))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)
