"""What a plugin author needs: declare job types, talk to the worker from a handler, say how an attempt failed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emp_core.jobs import Backoff
    from emp_worker.context import JobContext
    from emp_worker.failures import InvalidJobType, JobCancelled, JobError
    from emp_worker.hookspecs import hookimpl
    from emp_worker.jobtypes import JobType

__all__ = [
    "Backoff",
    "InvalidJobType",
    "JobCancelled",
    "JobContext",
    "JobError",
    "JobType",
    "hookimpl",
]

_HOMES = {
    "Backoff": "emp_core.jobs",
    "InvalidJobType": "emp_worker.failures",
    "JobCancelled": "emp_worker.failures",
    "JobContext": "emp_worker.context",
    "JobError": "emp_worker.failures",
    "JobType": "emp_worker.jobtypes",
    "hookimpl": "emp_worker.hookspecs",
}


def __getattr__(name: str) -> Any:
    # Found on first use: `emp --help` imports this package for its commands and must not wait for pydantic.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
