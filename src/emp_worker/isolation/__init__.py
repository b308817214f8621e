"""Run attempts, each where its job type says: the seam between the worker and the modes of isolation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from pluggy import HookRelay

from emp_worker.context import JobContext
from emp_worker.failures import HandlerQuit, JobCancelled
from emp_worker.isolation.async_ import AsyncRunner
from emp_worker.isolation.lifespans import Lifespans
from emp_worker.isolation.thread import ThreadRunner
from emp_worker.jobtypes import Isolation, JobType


class Runner(Protocol):
    """One mode of isolation: payload bytes in, result bytes out, so that a mode may do its work in another process."""

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON."""


class Runners:
    """All modes of one process; `threads` is how many sync handlers run at once. Leaving it exits the lifespans."""

    def __init__(self, threads: int, hooks: HookRelay | None = None) -> None:
        self._lifespans = Lifespans()
        self._threads = ThreadRunner(threads, self._lifespans, hooks)
        self._runners: Mapping[Isolation, Runner] = {
            Isolation.ASYNC: AsyncRunner(self._lifespans, hooks),
            Isolation.THREAD: self._threads,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.close()
        await self._lifespans.close()

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON.

        To end it early, call `context.request_cancel()` and cancel the task: an async handler is cancelled, a thread is
        waited for and may still give a result.

        Raises:
            PayloadRefused, ResultRefused, ResultTooLarge: what came in or out does not fit.
            HandlerQuit: the handler raised what would end a process or pass for a cancellation.
            JobCancelled: the handler stopped because `request_cancel` had been called.
            asyncio.CancelledError: the calling task was cancelled, and the handler has ended.
            Exception: the handler's own.
        """
        task = asyncio.current_task()
        try:
            return await self._runners[job_type.isolation].run(job_type, payload, context)
        except Exception:
            raise
        except GeneratorExit as error:
            if not _is_running(task):  # nobody raised it: this coroutine is being closed, and must end so
                raise
            raise HandlerQuit("the handler raised GeneratorExit") from error
        except JobCancelled as error:
            if _is_being_cancelled():
                raise asyncio.CancelledError from error
            if context.cancelled:
                raise
            raise HandlerQuit("the handler raised JobCancelled, and nobody had asked") from error
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            raise HandlerQuit("the handler raised CancelledError, and nobody had asked") from error
        except BaseException as error:
            # Let out, it would end the loop with every other job of the worker.
            raise HandlerQuit(f"the handler raised {type(error).__name__}") from error


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs any more
        return False
