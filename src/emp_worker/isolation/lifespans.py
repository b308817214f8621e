"""Hold what job types keep for a process: a model loaded once, a client opened."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import structlog

from emp_worker.failures import HandlerQuit
from emp_worker.isolation.attempt import caught
from emp_worker.jobtypes import JobType, Lifespan

EXIT_GRACE: Final = 10.0

_log = structlog.get_logger("emp.worker")


class Lifespans:
    """The lifespans of this process's job types, each entered before its type's first job and exited by `close`."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        # A lifespan outlives the job that came first, so it must not see that job's context variables.
        self._context = contextvars.copy_context()

    async def resources(self, job_type: JobType) -> Any:
        """Give the value of a job type's lifespan, entering it if nobody has; None for a type that has none.

        What entering raises comes out of every call that waits for it; the next call tries again.
        """
        if job_type.lifespan is None:
            return None
        held = self._held.get(job_type.name)
        if held is None or held.failed:
            held = self._held[job_type.name] = _Held(job_type.name, job_type.lifespan, self._context)
        # Shielded: calling off the job that came first must not spoil what the others wait for.
        return await asyncio.shield(held.entered)

    async def close(self) -> None:
        """Exit them all, for at most ten seconds; a lifespan that fails or hangs at its end is logged."""
        tasks = [held.leave() for held in self._held.values()]
        self._held.clear()
        if not tasks:
            return
        _, hanging = await asyncio.wait(tasks, timeout=EXIT_GRACE)
        for task in hanging:
            _log.warning("lifespan_exit_hangs", job_type=task.get_name())
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


class _Held:
    """One lifespan, entered and exited in one task: cancel scopes inside it allow no other."""

    def __init__(self, name: str, lifespan: Lifespan, context: contextvars.Context) -> None:
        self.failed = False
        self.entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._name = name
        self._task = asyncio.create_task(self._hold(lifespan), name=name, context=context)

    def leave(self) -> asyncio.Task[None]:
        """Ask for the exit; one that is still being entered is called off. Gives the task that ends with it."""
        self._leaving.set()
        if not self.entered.done():
            self._task.cancel()
        return self._task

    async def _hold(self, lifespan: Lifespan) -> None:
        try:
            manager = lifespan()
            value = await _enter(manager)
        except BaseException as error:  # noqa: BLE001 - a plugin's code; its failure is that of the jobs that wait
            self.failed = True
            self.entered.set_exception(_tellable(error))
            self.entered.exception()  # seen, should nobody wait any more
            return
        self.entered.set_result(value)
        await self._leaving.wait()
        try:
            await _exit(manager)
        except BaseException as error:  # noqa: BLE001 - a plugin's code; nothing that follows depends on it
            _log.warning("lifespan_exit_failed", job_type=self._name, error=type(error).__name__)


async def _enter(manager: Any) -> Any:
    if isinstance(manager, AbstractAsyncContextManager):
        return await manager.__aenter__()
    return await _in_thread(manager.__enter__)


async def _exit(manager: Any) -> None:
    if isinstance(manager, AbstractAsyncContextManager):
        await manager.__aexit__(None, None, None)
    else:
        await _in_thread(manager.__exit__, None, None, None)


async def _in_thread(call: Any, *arguments: Any) -> Any:
    """Call in a thread: loading a model takes seconds that belong to the loop's other jobs."""
    value, error = await asyncio.to_thread(caught, lambda: call(*arguments))
    if error is not None:
        raise error
    return value


def _tellable(error: BaseException) -> Exception:
    """Make an error that may pass through a future of what a lifespan raised."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    quit_ = HandlerQuit(f"the lifespan raised {type(error).__name__}")
    quit_.__cause__ = error
    return quit_
