"""The command as a person runs it, and what it talks to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from support.emp_command import EmpCommand


@pytest.fixture
def run(emp_command: EmpCommand, emp_url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a function that runs `emp` in an empty folder, with the server's URL in the environment."""

    def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return emp_command.run(*arguments, cwd=tmp_path, env={**os.environ, "EMP_URL": emp_url, **env}, stdin=stdin)

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
