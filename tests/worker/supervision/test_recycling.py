"""Worker processes make room for fresh ones, and no job pays for it."""

from __future__ import annotations

from collections import Counter

import pytest

from emp_core.jobs import JobState
from emp_worker import JobType
from emp_worker.slots import Slots
from support.bench import TYPE, Bench, Nothing
from support.waiting import wait_until_async

from .conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_after_max_jobs_a_fresh_process_goes_on(bench: Bench, start_worker: Start) -> None:
    """Twelve jobs and five a process: three processes, each job once."""
    supervisor = start_worker("--max-jobs", "5")
    jobs = [
        await bench.submit(job_type="simulation.run", payload=b'{"steps": 1, "step_seconds": 0}') for _ in range(12)
    ]

    ended = [await bench.final(job_id, timeout=30) for job_id in jobs]

    assert Counter(each.job.state for each in ended) == {JobState.COMPLETED: 12}
    assert {each.job.attempt for each in ended} == {1}
    assert sorted(Counter(each.attempts[-1].worker_id for each in ended).values()) == [2, 5, 5]
    assert '"worker_died"' not in supervisor.output()


async def test_a_process_that_retires_finishes_its_jobs_beside_its_successor(
    bench: Bench, start_naughty: Start
) -> None:
    """A job that is longer than grace and age together runs to its end, although it may begin only once."""
    start_naughty("--max-age", "1", "--grace", "0.1")
    long = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 4}', max_attempts=1)
    begun = await bench.until(long, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    async def statuses() -> dict[str, str]:
        found = {worker.worker_id: worker.status for worker in await bench.store.workers.list()}
        return found if len(found) > 1 else {}

    side_by_side = await wait_until_async(statuses, timeout=6)
    done = await bench.final(long)

    assert side_by_side[begun.worker_id or ""] == "draining"
    assert (done.job.state, done.job.attempt) == (JobState.COMPLETED, 1)
    assert done.attempts[-1].worker_id == begun.worker_id


async def test_a_worker_takes_no_more_than_its_jobs(bench: Bench) -> None:
    """The limit holds exactly, although many slots are free; then the worker ends by itself."""

    async def quick(payload: Nothing) -> None:
        return

    jobs = [await bench.submit() for _ in range(5)]
    async with bench.work(JobType(TYPE, quick), max_jobs=3):
        (left,) = await wait_until_async(bench.store.workers.gone)

    states = Counter([(await bench.job(job_id)).state for job_id in jobs])
    assert states == {JobState.COMPLETED: 3, JobState.PENDING: 2}
    assert left.status == "left"
    assert {"retiring": True} in bench.reports


def test_slots_that_are_used_up_are_not_free_again() -> None:
    """Each job counts once, whenever it ends."""
    types = {TYPE: JobType(TYPE, handle)}
    slots = Slots(types, {types[TYPE].isolation: 10}, most=2)

    slots.take(TYPE, 2)
    slots.give_back(TYPE, 2)
    assert (slots.rooms(), slots.free(), slots.used_up.is_set()) == ({TYPE: 1}, 1, False)

    slots.take(TYPE, 2)
    slots.give_back(TYPE, 2)
    assert (slots.rooms(), slots.free(), slots.used_up.is_set()) == ({}, 0, True)


async def handle(payload: Nothing) -> None:
    """Do nothing."""
