"""The whole of EMP as real processes: a store, `emp server` and `emp worker`, spoken to over HTTP only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from support.processes import StartedProcess, free_port
from support.waiting import wait_until

EMP = str(Path(sys.executable).with_name("emp"))


@dataclass
class Stack:
    """A running EMP of the test's own."""

    store: EmbeddedStore
    server: StartedProcess
    client: EmpClient
    url: str
    start_worker: Callable[..., StartedProcess]


@pytest.fixture
def stack(tmp_path: Path, start_process: Callable[..., StartedProcess]) -> Iterator[Stack]:
    """Start a store that keeps its data and a server on it; the test starts its workers."""
    with EmbeddedStore(tmp_path / "data", port=0) as store:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        server = start_process([EMP, "server", "--port", str(port), "--redis-url", store.url])

        def start_worker(*options: str, env: Mapping[str, str] | None = None) -> StartedProcess:
            return start_process([EMP, "worker", "--redis-url", store.url, *options], env=env)

        server.wait_for("startup complete", timeout=20)
        with EmpClient(url) as client:
            yield Stack(store, server, client, url, start_worker)


@pytest.fixture
def worker(stack: Stack) -> StartedProcess:
    """Start a worker and wait until its job types can be submitted."""
    process = stack.start_worker()
    wait_until(lambda: {each.job_type for each in stack.client.job_types()} >= {"simulation.run"}, timeout=20)
    return process
