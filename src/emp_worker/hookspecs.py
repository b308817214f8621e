"""What a plugin may hook.

Arguments go by keyword, and hooks only ever gain some: an implementation leaves out those that it does not need.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import pluggy

from emp_core.jobs import Outcome, WorkerInfo
from emp_worker.context import JobContext
from emp_worker.jobtypes import JobType

PROJECT = "emp_worker"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def emp_job_types() -> Iterable[JobType]:  # type: ignore[empty-body]  # a spec has no body
    """Declare job types; called once, when the plugin is loaded."""


@hookspec
def emp_around_job(  # type: ignore[empty-body]  # a spec has no body
    job: JobContext,
) -> AbstractContextManager[object] | AbstractAsyncContextManager[object]:
    """Wrap a handler's call in a context manager (sync or async), made here for this one call.

    A sync one is entered in the thread of a sync handler, else on the loop, where it must not block. What it raises is
    the attempt's error.
    """


@hookspec
def emp_job_finished(job: JobContext, outcome: Outcome) -> None:
    """Hear how an attempt ended, on the loop: return at once."""


@hookspec
def emp_worker_started(worker: WorkerInfo) -> None:
    """Hear that the worker is about to claim its first job, on the loop: return at once."""


@hookspec
def emp_worker_stopping(worker: WorkerInfo) -> None:
    """Hear that the worker claims no more jobs, on the loop: return at once."""
