"""Async handlers: on the loop, cancelled with their task."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pydantic import BaseModel

from emp_worker import JobType
from emp_worker.isolation import Runners
from support.attempts import a_context

pytestmark = pytest.mark.anyio


class Nothing(BaseModel):
    """A payload without fields."""


async def test_an_async_handler_runs_on_the_loops_thread():
    async def handler(payload: Nothing) -> int:
        return threading.get_ident()

    async with Runners(threads=1) as runners:
        result = await runners.run(JobType("a", handler), b"{}", a_context())

    assert int(result) == threading.get_ident()


async def test_many_async_handlers_run_at_once():
    together = asyncio.Barrier(50)

    async def handler(payload: Nothing) -> None:
        await together.wait()

    job_type = JobType("a", handler)
    async with Runners(threads=1) as runners, asyncio.timeout(5):
        results = await asyncio.gather(*[runners.run(job_type, b"{}", a_context()) for _ in range(50)])

    assert results == [b"null"] * 50


async def test_cancelling_the_call_cancels_the_handler_and_its_cleanup_runs():
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(payload: Nothing) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async with Runners(threads=1) as runners:
        call = asyncio.create_task(runners.run(JobType("a", handler), b"{}", a_context()))
        await began.wait()
        call.cancel()
        await asyncio.wait([call])

    assert call.cancelled()
    assert cleaned.is_set()


def test_closing_the_coroutine_of_an_attempt_leaves_no_complaint():
    async def handler(payload: Nothing) -> None:
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    call = Runners(threads=1).run(JobType("a", handler), b"{}", a_context())
    task = loop.create_task(call)
    loop.run_until_complete(asyncio.sleep(0))

    call.close()  # as at the end of a process that did not wait: it would raise what a handler's GeneratorExit becomes

    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    task.exception()
    loop.close()
