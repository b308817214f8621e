"""A real server on a real store, and a browser that looks at its pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest

from support.browser import Browser, Tab, find_chromium, running_browser
from support.serving_fixtures import client, known_types, server, settings, store, worker

__all__ = ["client", "known_types", "server", "settings", "store", "worker"]

Post = Callable[..., Any]


@pytest.fixture
def post(server, client) -> Post:
    """Give a function that sends a form as a page of the server would."""

    async def send(path: str, fields: Mapping[str, Any] | None = None, **headers: str) -> httpx2.Response:
        answer: httpx2.Response = await client.post(
            path, data=fields or {"": ""}, headers={"origin": server.url} | headers
        )
        return answer

    return send


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run a headless Chromium; without one, skip (EMP_TEST_REQUIRE_BROWSER=1: fail)."""
    binary = find_chromium()
    if binary is None:
        if os.environ.get("EMP_TEST_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium on the PATH")
        pytest.skip("no chromium on the PATH")
    with running_browser(binary) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """Open a tab; when the test ends, the pages must have had no error, no dialog, nothing refused by their policy."""
    with browser.tab() as tab:
        yield tab
        assert tab.troubles == []
