"""A real HTTP server, and a worker that may ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.http_service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    """Give a server with nothing on it."""
    service = Service()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs ask loopback; a test that wants less says so."""
    monkeypatch.setenv("EMP_HTTP_TARGETS", "http://127.0.0.1:*,http://localhost:*")
    monkeypatch.setenv("EMP_HTTP_ALLOW_NETWORKS", "127.0.0.0/8,::1/128")
