"""Who is told to stop hears whether the job goes on: what was begun elsewhere is then left to the next attempt."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from emp_core.store import CancelAsk
from emp_worker import JobContext, JobType
from support.bench import TYPE, Bench, Nothing

pytestmark = pytest.mark.anyio


class Witness:
    """A handler that waits for ever, and keeps what it was told when it had to stop."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.heard: list[bool] = []
        self.job_type = JobType(TYPE, self.wait, max_attempts=3)

    async def wait(self, payload: Nothing, job: JobContext) -> None:
        """Wait until told to stop."""
        self.runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.heard.append(job.handed_over)


async def test_a_cancelled_job_does_not_go_on(bench: Bench):
    witness = Witness()
    async with bench.work(witness.job_type):
        job_id = await bench.submit()
        await asyncio.wait_for(witness.runs.wait(), 10)
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        await bench.final(job_id)

    assert witness.heard == [False]


async def test_an_attempt_whose_time_is_over_is_not_taken_up_again(bench: Bench):
    witness = Witness()
    async with bench.work(witness.job_type):
        await bench.final(await bench.submit(timeout=timedelta(seconds=0.1), max_attempts=1))

    assert witness.heard == [False]


@pytest.mark.parametrize(("max_attempts", "goes_on"), [(3, True), (1, False)])
async def test_a_job_goes_on_when_its_worker_stops_unless_it_may_start_but_once(
    bench: Bench, max_attempts: int, goes_on: bool
):
    witness = Witness()
    async with bench.work(witness.job_type):
        await bench.submit(max_attempts=max_attempts)
        await asyncio.wait_for(witness.runs.wait(), 10)

    assert witness.heard == [goes_on]
