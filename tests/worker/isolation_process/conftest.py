"""Child processes with the handlers of `support.hostile_handlers`, without a worker around them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emp_worker import JobContext, JobType
from emp_worker.isolation import Runners
from emp_worker.isolation.frames import Start
from emp_worker.isolation.process import Bounds, Children, Wear
from emp_worker.plugins import load_plugins
from support import hostile_handlers
from support.attempts import KeptReports, a_context

DISTRIBUTION = "emp-test-hostile"


@pytest.fixture
def types(install_plugin) -> dict[str, JobType]:
    """Install the handlers, and give the job types by their names without `hostile.`."""
    install_plugin(DISTRIBUTION, Path(hostile_handlers.__file__).read_text())
    plugins = load_plugins(only=(DISTRIBUTION,))
    assert plugins.failures == ()
    return {name.removeprefix("hostile."): loaded.job_type for name, loaded in plugins.types.items()}


@dataclass
class Bench:
    """Runners with children, and the job types to run there."""

    runners: Runners
    types: dict[str, JobType]

    async def run(self, name: str, payload: bytes = b"{}", context: JobContext | None = None) -> bytes:
        """Perform one attempt of a type."""
        return await self.runners.run(self.types[name], payload, context or a_context(KeptReports()))


Start_ = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def children(types: dict[str, JobType]) -> Start_:
    """Give a function that runs children while the body runs."""

    @asynccontextmanager
    async def run(**wear: Any) -> AsyncIterator[Bench]:
        usual = {"jobs": 1000, "age": timedelta(hours=1), "growth": 512 * 1024 * 1024}
        start = Start(tuple(sys.path), (DISTRIBUTION,), (), {}, "info")
        made = Children(start, lambda _: (DISTRIBUTION,), Wear(**{**usual, **wear}), Bounds(in_doubt=1, starting=2))
        async with Runners(threads=1, children=made) as runners:
            yield Bench(runners, types)

    return run
