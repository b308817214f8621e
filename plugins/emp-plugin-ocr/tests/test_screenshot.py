"""A whole stack reads screenshots of its own monitor, in a child process with the limits that the type asks for."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from support.running import running_stack

FLAGS = (
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
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stack.log"


@pytest.fixture
def stack(log: Path) -> Iterator[str]:
    """Run a store, a server and a worker with image.ocr; give the URL."""
    with EmbeddedStore(port=0) as store, running_stack(store.url, log) as url:
        yield url


@pytest.fixture
def screenshot(stack: str, tmp_path: Path) -> str:
    """Take a picture of the monitor with a real browser; give it in base64."""
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert binary is not None, "no chromium on the PATH"
    file = tmp_path / "monitor.png"
    # Few lines: each takes a while on a busy machine.
    shot = [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={file}", "--window-size=900,200"]
    subprocess.run([binary, *FLAGS, *shot, f"{stack}/types/image.ocr"], check=True, capture_output=True, timeout=100)
    return base64.b64encode(file.read_bytes()).decode()


def test_ten_screenshots_of_the_monitor_are_read_by_a_model_that_is_loaded_once(stack: str, log: Path, screenshot: str):
    with EmpClient(stack, patience=60.0) as client:
        jobs = [client.submit("image.ocr", {"image": screenshot}) for _ in range(10)]
        ended = [client.wait(job.id, timeout=300) for job in jobs]
        readings = [client.result(job.id) for job in ended]

    assert {job.state for job in ended} == {"completed"}
    for reading in readings:
        assert "image.ocr" in reading["text"]
        assert "Text in a picture".replace(" ", "") in reading["text"].replace(" ", "")
    assert log.read_text().count("ocr_model_loaded") == 1, json.dumps(readings[0])
