"""Sync handlers: in threads, which nobody can stop from outside."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pydantic import BaseModel

from emp_worker import JobContext, JobType
from emp_worker.isolation import Runners
from support.attempts import KeptReports, a_context
from support.waiting import wait_until

pytestmark = pytest.mark.anyio


class Nothing(BaseModel):
    """A payload without fields."""


class Held:
    """A handler that stays in its thread until the test lets it go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.job_type = JobType("a", self.perform)
        self.heeds = False

    def perform(self, payload: Nothing, job: JobContext) -> str:
        self.began.set()
        self.may_end.wait(10)
        if self.heeds:
            job.raise_if_cancelled()
        return "done"

    async def begun(self) -> None:
        await asyncio.to_thread(self.began.wait, 10)


async def _a_few_rounds() -> None:
    """Let the loop do what it would do at once."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_sync_handler_runs_in_another_thread_and_the_loop_goes_on():
    held = Held()

    async with Runners(threads=1) as runners:
        call = asyncio.create_task(runners.run(held.job_type, b"{}", a_context()))
        await held.begun()
        held.may_end.set()

        assert await call == b'"done"'


async def test_as_many_run_at_once_as_there_are_threads():
    together = threading.Barrier(4)

    def handler(payload: Nothing) -> None:
        together.wait(5)

    async with Runners(threads=4) as runners:
        calls = [runners.run(JobType("a", handler), b"{}", a_context()) for _ in range(4)]

        assert await asyncio.gather(*calls) == [b"null"] * 4


async def test_a_cancelled_call_sets_the_flag_and_ends_only_when_its_thread_has_ended():
    held = Held()
    held.heeds = True
    context = a_context()

    async with Runners(threads=1) as runners:
        call = asyncio.create_task(runners.run(held.job_type, b"{}", context))
        await held.begun()
        call.cancel()
        call.cancel()
        await _a_few_rounds()
        asked, ended_early = context.cancelled, call.done()
        held.may_end.set()
        await asyncio.wait([call])

    assert asked
    assert not ended_early
    assert call.cancelled()


async def test_a_thread_that_returns_all_the_same_gives_its_result():
    held = Held()

    async with Runners(threads=1) as runners:
        call = asyncio.create_task(runners.run(held.job_type, b"{}", a_context()))
        await held.begun()
        call.cancel()
        await _a_few_rounds()
        held.may_end.set()

        assert await call == b'"done"'


async def test_a_call_whose_thread_has_not_begun_is_cancelled_at_once():
    held = Held()
    second = Held()

    async with Runners(threads=1) as runners:
        first_call = asyncio.create_task(runners.run(held.job_type, b"{}", a_context()))
        await held.begun()
        second_call = asyncio.create_task(runners.run(second.job_type, b"{}", a_context()))
        await _a_few_rounds()
        second_call.cancel()
        await asyncio.wait([second_call], timeout=5)
        held.may_end.set()
        await first_call

    assert second_call.cancelled()
    assert not second.began.is_set()


async def test_a_time_limit_around_the_call_waits_for_the_thread_too():
    held = Held()
    held.heeds = True

    async with Runners(threads=1) as runners:
        asyncio.get_running_loop().call_later(0.2, held.may_end.set)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await runners.run(held.job_type, b"{}", a_context())

    assert held.may_end.is_set()


async def test_progress_and_log_lines_come_from_the_thread():
    kept = KeptReports()

    def handler(payload: Nothing, job: JobContext) -> None:
        job.progress(0.5, "half")
        job.log.info("hello")

    async with Runners(threads=1) as runners:
        await runners.run(JobType("a", handler), b"{}", a_context(kept))

    assert kept.progresses == [(0.5, "half")]
    assert kept.lines[0]["message"] == "hello"


async def test_leaving_does_not_wait_for_a_thread_that_goes_on_and_idle_threads_end():
    held = Held()

    async with Runners(threads=2) as runners:
        call = asyncio.create_task(runners.run(held.job_type, b"{}", a_context()))
        await held.begun()

    still_there = [thread for thread in threading.enumerate() if thread.name.startswith("emp-handler")]
    held.may_end.set()
    await call
    assert len(still_there) == 1
    wait_until(lambda: not any(thread.name.startswith("emp-handler") for thread in threading.enumerate()))
