"""Run attempts, each where its job type says: the seam between the worker and the modes of isolation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Any, Protocol, Self

from pluggy import HookRelay

from emp_worker.context import JobContext
from emp_worker.failures import HandlerQuit, JobCancelled
from emp_worker.isolation.async_ import AsyncRunner
from emp_worker.isolation.lifespans import Lifespans
from emp_worker.isolation.process import Children
from emp_worker.isolation.seclusion import Seclusion
from emp_worker.isolation.thread import ThreadRunner
from emp_worker.jobtypes import Isolation, JobType


class Runner(Protocol):
    """One mode of isolation: payload bytes in, result bytes out, so that a mode may do its work in another process."""

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON."""


class Place:
    """Where one attempt runs; whatever a handler raises there is made fit to be let out.

    `is_child` says that it is a child process of this one.
    """

    def __init__(self, runner: Runner, *, is_child: bool = False) -> None:
        self.is_child = is_child
        self._runner = runner

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform the attempt; see `Runners.run`."""
        task = asyncio.current_task()
        try:
            return await self._runner.run(job_type, payload, context)
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


class Runners:
    """All modes of one process. Leaving it exits the lifespans and ends the child processes.

    Args:
        threads: how many sync handlers run at once.
        hooks: of the plugins.
        children: the child processes; without them (in a child, in a plugin's tests) all handlers run in this process.
    """

    def __init__(self, threads: int, hooks: HookRelay | None = None, children: Children | None = None) -> None:
        self._lifespans = Lifespans()
        self._threads = ThreadRunner(threads, self._lifespans, hooks)
        self._children = children
        self._on_loop = nullcontext(Place(AsyncRunner(self._lifespans, hooks)))
        self._in_thread = nullcontext(Place(self._threads))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.close()
        if self._children is not None:
            await self._children.close()
        await self._lifespans.close()

    def place(self, job_type: JobType, *, seclusion: Seclusion = Seclusion.NONE) -> AbstractAsyncContextManager[Place]:
        """Wait for where an attempt can run: in this process, or in a child if its type or its seclusion asks for one.

        Raises:
            ChildNotReady: there is no child that can take it.
        """
        if self._children is not None and (seclusion is not Seclusion.NONE or job_type.isolation is Isolation.PROCESS):
            return _place_of(self._children.lent(job_type, seclusion))
        return self._on_loop if job_type.is_async else self._in_thread

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON.

        To end it early, call `context.request_cancel()` and cancel the task: an async handler is cancelled, a thread is
        waited for and may still give a result, a child process is made to end.

        Raises:
            PayloadRefused, ResultRefused, ResultTooLarge: what came in or out does not fit.
            HandlerQuit: the handler raised what would end a process or pass for a cancellation.
            ChildNotReady, ChildDied: no child process could take it, or it ended under the handler.
            RaisedInChild: the handler's own exception, in a child process.
            JobCancelled: the handler stopped because `request_cancel` had been called.
            asyncio.CancelledError: the calling task was cancelled, and the handler has ended.
            Exception: the handler's own.
        """
        async with self.place(job_type) as place:
            return await place.run(job_type, payload, context)

    async def warm(self, job_type: JobType) -> None:
        """Enter a job type's lifespan in this process, if that has not been done; raises what entering raises."""
        await self._lifespans.resources(job_type)


@asynccontextmanager
async def _place_of(lent: AbstractAsyncContextManager[Runner]) -> AsyncIterator[Place]:
    async with lent as child:
        yield Place(child, is_child=True)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs any more
        return False
