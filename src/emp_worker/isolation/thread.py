"""Run `def` handlers in threads."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from functools import partial

from pluggy import HookRelay

from emp_worker.context import JobContext
from emp_worker.isolation.attempt import arguments, caught, read_payload, swallowed, wrappers, write_result
from emp_worker.isolation.lifespans import Lifespans
from emp_worker.jobtypes import JobType


class ThreadRunner:
    """Runs attempts in a pool of threads, payload and result included, so that large ones do not hold up the loop.

    A thread cannot be stopped from outside. Cancelling the call sets the job's `cancelled` flag; the call ends when the
    thread has ended, and not before: with its result if the handler returned one all the same, else as cancelled.
    """

    def __init__(self, threads: int, lifespans: Lifespans, hooks: HookRelay | None) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="emp-handler")
        self._lifespans = lifespans
        self._hooks = hooks

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON; raises what the steps and the handler raise."""
        context.resources = await self._lifespans.resources(job_type)
        around = wrappers(self._hooks, context)
        on_loop = [each for each in around if isinstance(each, AbstractAsyncContextManager)]
        in_thread = [each for each in around if not isinstance(each, AbstractAsyncContextManager)]
        work = partial(_perform, job_type, payload, context, in_thread)
        if not on_loop:
            return await self._until_ended(work, context)
        async with AsyncExitStack() as stack:
            for wrapper in on_loop:
                await stack.enter_async_context(wrapper)
            return await self._until_ended(work, context)
        raise swallowed()

    def close(self) -> None:
        """Let idle threads go; one that still runs a handler ends with it."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _until_ended(self, work: Callable[[], bytes], context: JobContext) -> bytes:
        """Do the work in a thread and wait for its end, whatever is cancelled meanwhile."""
        thread = self._pool.submit(contextvars.copy_context().run, caught, work)
        ended = asyncio.wrap_future(thread)
        cancelled = False
        while not ended.done():
            try:
                await asyncio.wait((ended,))
            except asyncio.CancelledError:
                context.request_cancel()
                cancelled = True
                if thread.cancel():  # it had not begun
                    raise
        result: bytes
        result, error = ended.result()
        if error is None:
            return result
        if cancelled:
            raise asyncio.CancelledError from error
        raise error


def _perform(
    job_type: JobType, payload: bytes, context: JobContext, around: Sequence[AbstractContextManager[object]]
) -> bytes:
    """Go through an attempt's steps, in its thread."""
    given = arguments(job_type, read_payload(job_type, payload), context)
    if not around:
        return write_result(job_type, job_type.handler(*given))
    with ExitStack() as stack:
        for wrapper in around:
            stack.enter_context(wrapper)
        value = job_type.handler(*given)
        return write_result(job_type, value)
    raise swallowed()
