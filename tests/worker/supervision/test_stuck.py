"""A handler that goes on although it was told to end is shown as such, and keeps its slot."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from emp_core.jobs import JobState, Reason, Trouble, TroubleWord
from emp_core.store import CancelAsk
from emp_worker import JobType, executor
from support.bench import TYPE, Bench, Nothing
from support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the executor lose its patience sooner."""
    monkeypatch.setattr(executor, "STUCK_AFTER", 0.2)


def stubborn(kind: str) -> tuple[JobType, Callable[[], None]]:
    """Give a job type whose handler ignores its end, and what ends it."""
    ended, in_thread = asyncio.Event(), threading.Event()

    async def refuses(payload: Nothing) -> str:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    def is_deaf(payload: Nothing) -> str:
        in_thread.wait(20)
        return "done"

    return (JobType(TYPE, refuses), ended.set) if kind == "async" else (JobType(TYPE, is_deaf), in_thread.set)


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_handler_that_ignores_its_end_is_shown_and_keeps_its_slot(bench: Bench, kind: str) -> None:
    """The status and the job's log say so; the job is not finished, and nobody gets its slot."""
    job_type, end = stubborn(kind)
    async with bench.work(job_type, concurrency=1):
        job_id = await bench.submit(timeout=timedelta(seconds=0.1), max_attempts=1)
        other = await bench.submit()

        (shown,) = await wait_until_async(lambda: troubles(bench))
        job, waiting = await bench.job(job_id), await bench.job(other)
        end()
        done = await bench.final(job_id)
        await bench.final(other)
        cleared = await wait_until_async(lambda: is_well(bench))

    assert (shown.job_id, shown.what) == (job_id, TroubleWord.IGNORES_END)
    assert (job.state, waiting.state) == (JobState.IN_PROGRESS, JobState.PENDING)
    assert done.job.reason is Reason.TIMEOUT
    (line,) = [json.loads(line) for line in await bench.store.views.log(job_id)]
    assert (line["level"], "goes on" in line["message"]) == ("warning", True)
    assert cleared


async def troubles(bench: Bench) -> list[Trouble]:
    """Read the troubles of all workers."""
    return [trouble for worker in await bench.store.workers.list() for trouble in worker.troubles]


async def is_well(bench: Bench) -> bool:
    """Tell whether no worker has trouble."""
    return not await troubles(bench)


async def test_a_cancelled_job_that_goes_on_is_not_shown_as_cancelled(bench: Bench) -> None:
    """The wish stands with the job; the truth is that it runs."""
    job_type, end = stubborn("async")
    async with bench.work(job_type):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        await wait_until_async(lambda: troubles(bench))
        job = await bench.job(job_id)
        end()
        done = await bench.final(job_id)

    assert (job.state, job.cancel_request is not None) == (JobState.IN_PROGRESS, True)
    assert done.job.state is JobState.COMPLETED
