"""The server and worker that these tests talk to, and the command as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from support.running import running_stack


@pytest.fixture(scope="session")
def emp_url(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real server with a real worker; shared, so a test looks at its own jobs only."""
    with running_stack(valkey.url, tmp_path_factory.mktemp("stack") / "stack.log") as url:
        yield url


@pytest.fixture
def run(emp_url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a function that runs `emp` in an empty folder, with the server's URL in the environment."""

    def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "emp_core.cli", *arguments],
            input=stdin,
            cwd=tmp_path,
            env={**os.environ, "EMP_URL": emp_url, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def client(emp_url: str) -> Iterator[EmpClient]:
    """Give a client, to look at what the command has done."""
    with EmpClient(emp_url) as client:
        yield client


@pytest.fixture
def running(client: EmpClient) -> Iterator[str]:
    """Give the id of a job that runs for a minute unless it is cancelled."""
    job = client.submit("simulation.run", {"steps": 600, "step_seconds": 0.1})
    yield next(update.job_id for update in client.watch(job.id) if update.progress.fraction > 0)
    client.cancel(job.id)
