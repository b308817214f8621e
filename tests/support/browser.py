"""A headless Chromium for tests, through Playwright: the one of the system, with an empty profile.

Playwright keeps an event loop running in its thread, where tests could run none of their own: it gets a thread.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import CDPSession, ConsoleMessage, Dialog, Page, sync_playwright

from support.waiting import wait_until

FLAGS: Final = (
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
)
TIMEOUT_MS: Final = 30_000
_SAY_WHAT_IS_REFUSED: Final = (
    "addEventListener('securitypolicyviolation', (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`))"
)

T = TypeVar("T")


def find_chromium() -> str | None:
    """Give the path of a Chromium on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path is not None), None)


@dataclass
class Tab:
    """One page of the browser. `troubles` collects what no page of ours may have: errors, dialogs, refused content."""

    thread: ThreadPoolExecutor
    page: Page
    tools: CDPSession
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning", "assert"}:
                self.troubles.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

        def on_dialog(dialog: Dialog) -> None:
            self.troubles.append(f"dialog: {dialog.message}")
            dialog.accept()

        self.page.on("console", on_console)
        self.page.on("dialog", on_dialog)
        self.page.on("pageerror", lambda error: self.troubles.append(f"exception: {error}"))
        self.page.add_init_script(_SAY_WHAT_IS_REFUSED)

    def _do(self, act: Callable[[], T]) -> T:
        return self.thread.submit(act).result()

    def before_scripts(self, script: str) -> None:
        """Run a script in every page that is opened from now on, before its own."""
        self._do(lambda: self.page.add_init_script(script))

    def go(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        self._do(lambda: self.page.goto(url))

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression; promises are awaited."""
        # Not through the page's `eval`, which its policy refuses.
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._do(lambda: self.tools.send("Runtime.evaluate", asked))
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression[:200]}: {answer['exceptionDetails']}")
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

    def move(self, x: float, y: float) -> None:
        """Move the mouse."""
        self._do(lambda: self.page.mouse.move(x, y))

    def click(self, selector: str) -> None:
        """Click on an element as a mouse does, as soon as that is possible."""
        self._do(lambda: self.page.click(selector))

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait until that has loaded."""

        def act() -> None:
            with self.page.expect_navigation():
                self.page.click(selector)

        self._do(act)

    def fill(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self._do(lambda: self.page.fill(selector, text))

    def choose_file(self, selector: str, file: Path) -> None:
        """Choose a file in a field for one."""
        self._do(lambda: self.page.set_input_files(selector, file))

    def press(self, key: str) -> None:
        """Press a key."""
        self._do(lambda: self.page.keyboard.press(key))

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window, and whether the reader wants a dark page."""
        self._do(lambda: self.page.set_viewport_size({"width": width, "height": height}))
        self._do(lambda: self.page.emulate_media(color_scheme="dark" if dark else "light"))

    def without_scripts(self) -> None:
        """Run no script of the pages from now on."""
        self._do(lambda: self.tools.send("Emulation.setScriptExecutionDisabled", {"value": True}))

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Write a picture of the page (PNG)."""
        self._do(lambda: self.page.screenshot(path=file, full_page=whole))


@dataclass(frozen=True)
class Browser:
    """A running Chromium, and the thread in which Playwright speaks to it."""

    thread: ThreadPoolExecutor
    chromium: Chromium

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """Open a tab with an empty profile of its own while the body runs."""

        def open_tab() -> Tab:
            context = self.chromium.new_context()
            context.set_default_timeout(TIMEOUT_MS)
            page = context.new_page()
            return Tab(self.thread, page, context.new_cdp_session(page))

        tab = self.thread.submit(open_tab).result()
        tab.look()
        try:
            yield tab
        finally:
            self.thread.submit(tab.page.context.close).result()


@contextmanager
def running_browser(binary: str) -> Iterator[Browser]:
    """Run a Chromium while the body runs; nothing of it is left."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="playwright") as thread:
        playwright = thread.submit(lambda: sync_playwright().start()).result()
        try:
            launch = playwright.chromium.launch
            chromium = thread.submit(lambda: launch(executable_path=binary, args=list(FLAGS))).result()
            try:
                yield Browser(thread, chromium)
            finally:
                thread.submit(chromium.close).result()
        finally:
            thread.submit(playwright.stop).result()
