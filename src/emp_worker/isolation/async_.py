"""Run `async def` handlers on the worker's loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from pluggy import HookRelay

from emp_worker.context import JobContext
from emp_worker.isolation.attempt import Wrapper, arguments, read_payload, swallowed, wrappers, write_result
from emp_worker.isolation.lifespans import Lifespans
from emp_worker.jobtypes import JobType


class AsyncRunner:
    """Runs attempts on the loop; cancelling the call cancels the handler."""

    def __init__(self, lifespans: Lifespans, hooks: HookRelay | None) -> None:
        self._lifespans = lifespans
        self._hooks = hooks

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON; raises what the steps and the handler raise."""
        model = read_payload(job_type, payload)
        context.resources = await self._lifespans.resources(job_type)
        given = arguments(job_type, model, context)
        around = wrappers(self._hooks, context)
        value = await (_wrapped(around, job_type, given) if around else job_type.handler(*given))
        return write_result(job_type, value)


async def _wrapped(around: Sequence[Wrapper], job_type: JobType, given: tuple[Any, ...]) -> Any:
    """Call the handler inside the plugins' context managers, in their order."""
    async with AsyncExitStack() as stack:
        for wrapper in around:
            if isinstance(wrapper, AbstractAsyncContextManager):
                await stack.enter_async_context(wrapper)
            else:
                stack.enter_context(wrapper)
        return await job_type.handler(*given)
    raise swallowed()
