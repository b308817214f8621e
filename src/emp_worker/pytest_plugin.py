"""What pytest knows where EMP is installed: the fixture `emp_stack`, for tests of plugins with a worker and a store.

It imports the worker only when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from emp_worker.in_memory import InMemoryWorker


class StartWorker(Protocol):
    """Starts a worker for job types, or for plugins: modules with hooks."""

    def __call__(self, *plugins: object) -> InMemoryWorker:
        """Give the running worker; it ends with the test."""


@pytest.fixture
def emp_stack() -> Iterator[StartWorker]:
    """Give a function that starts a worker with an empty store in memory: `emp_stack(my_plugin).run(name, payload)`."""
    from emp_worker.in_memory import InMemoryWorker  # noqa: PLC0415 - only for tests that ask for it

    with ExitStack() as workers:

        def start(*plugins: object) -> InMemoryWorker:
            return workers.enter_context(InMemoryWorker(*plugins))

        yield start
