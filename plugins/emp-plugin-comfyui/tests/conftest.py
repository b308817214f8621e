"""A stand-in for ComfyUI, and the settings that lead to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.comfyui_stand_in import StandIn, serving


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Run a stand-in that the plugin's settings name; nothing waits long in tests."""
    with serving() as server:
        monkeypatch.setenv("EMP_COMFYUI_URL", server.url)
        monkeypatch.setenv("EMP_COMFYUI_POLL_SECONDS", "0.2")
        monkeypatch.setenv("EMP_COMFYUI_PATIENCE_SECONDS", "5")
        yield server
        server.release()
