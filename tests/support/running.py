"""A real server and a real worker for tests that speak HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emp_core.cli.stack import Stack
from emp_core.client import EmpClient
from support.waiting import wait_until


@contextmanager
def running_stack(store_url: str, log: Path) -> Iterator[str]:
    """Run a server and a worker with the installed plugins; give the server's URL when jobs can be performed."""
    with log.open("wb") as output, Stack(store_url, f"t{uuid.uuid4().hex[:20]}", output=output, grace=1.0) as stack:
        with EmpClient(stack.url, patience=20.0) as client:
            wait_until(lambda: any(each.workers_online for each in client.job_types()), 100.0)
        yield stack.url
