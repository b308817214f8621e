"""The flusher: what it must not forget, whatever comes between."""

from __future__ import annotations

import asyncio

import pytest

from emp_core.ids import WorkerId, new_worker_id
from emp_core.jobs import ClaimedJob, Completed, JobState, Released
from emp_core.store import ClaimWord
from emp_core.store.connection import connect
from emp_core.store.keys import Keys
from emp_worker.claimer import Claimer
from emp_worker.flusher import FLUSH_BYTES, Flusher
from emp_worker.session import running
from support.bench import TYPE, Bench, Nothing
from support.taken import Taken

pytestmark = pytest.mark.anyio


async def claimed(bench: Bench, number: int, worker: WorkerId) -> ClaimedJob:
    """Claim the one job that waits."""
    claim = await bench.store.jobs.claim(worker, number, {TYPE: 1}, 1)
    assert claim.word is ClaimWord.OK
    return claim.jobs[0]


async def test_the_late_answer_to_an_old_outcome_leaves_the_new_ones_alone(bench: Bench) -> None:
    """A job that was given back is claimed again before the answer is here: its next outcome is still written."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    job_id = await bench.submit()
    first = await claimed(bench, 1, worker)
    flusher = Flusher(bench.store, worker)
    flusher.started(job_id, first.token)
    flusher.settle(Released(job_id, first.token))
    flushing = asyncio.create_task(flusher.step())
    while (await bench.job(job_id)).state is not JobState.PENDING:
        assert not flushing.done()

    again = await claimed(bench, 2, worker)
    flusher.started(job_id, again.token)
    flusher.settle(Completed(job_id, again.token, b"1"))
    await flushing
    await flusher.step()

    assert (await bench.job(job_id)).state is JobState.COMPLETED
    assert flusher.unsettled == frozenset()


async def test_a_damaged_record_does_not_hold_up_the_other_outcomes(bench: Bench) -> None:
    """What the store cannot take is told and given up; its neighbours are stored."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    damaged, sound = await bench.submit(), await bench.submit()
    jobs = {job.job_id: job for job in (await bench.store.jobs.claim(worker, 1, {TYPE: 2}, 2)).jobs}
    async with connect(bench.url) as client:
        await client.set(Keys(bench.namespace, "00")("log", damaged), "not a list")
    flusher = Flusher(bench.store, worker)
    for job_id, job in jobs.items():
        flusher.started(job_id, job.token)
        flusher.logged(job_id, b'{"message": "a line"}')
        flusher.settle(Completed(job_id, job.token, b"1"))

    await flusher.step()

    assert (await bench.job(sound)).state is JobState.COMPLETED
    assert flusher.unsettled == frozenset()


async def test_outcomes_beyond_one_flush_follow_in_the_next(bench: Bench) -> None:
    """A store that is slow or just back gets what it can take, and each flush gets on."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    for _ in range(3):
        await bench.submit()
    jobs = (await bench.store.jobs.claim(worker, 1, {TYPE: 3}, 3)).jobs
    flusher = Flusher(bench.store, worker)
    for job in jobs:
        flusher.started(job.job_id, job.token)
        flusher.settle(Completed(job.job_id, job.token, b'"' + b"x" * (FLUSH_BYTES // 2) + b'"'))
    flusher.stop()

    await flusher.step()
    after_one = len(flusher.unsettled)
    await asyncio.wait_for(flusher.run(), 10)

    assert (after_one, len(flusher.unsettled)) == (2, 0)
    assert {(await bench.job(job.job_id)).state for job in jobs} == {JobState.COMPLETED}


async def test_nothing_is_claimed_under_a_lease_that_may_be_over(bench: Bench) -> None:
    """What could not be begun is left for others."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    job_id = await bench.submit()
    begun = Taken()
    fresh = asyncio.Event()
    flusher = Flusher(bench.store, worker)
    claimer = Claimer(bench.store, worker, begun.slots, flusher, begun, {}, lambda: None, fresh.is_set)

    async with running(claimer):
        await asyncio.sleep(0.1)  # what must not happen gets its chance
        while_stale = (await bench.job(job_id)).state
        fresh.set()
        begun.slots.changed.set()
        await bench.until(job_id, lambda job: job.state is JobState.CLAIMED)

    assert while_stale is JobState.PENDING
    assert [job.job_id for job in begun.jobs] == [job_id]


async def nothing(payload: Nothing) -> None:
    """Do nothing."""


async def test_a_confirmed_start_is_in_the_store_and_that_of_a_lost_claim_is_none(bench: Bench) -> None:
    """The handler is called after the one, and never after the other."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    job_id = await bench.submit()
    job = await claimed(bench, 1, worker)
    flusher = Flusher(bench.store, worker)

    async def confirmed(token: str) -> bool:
        confirming = asyncio.create_task(flusher.confirm_start(job_id, token, in_child=True))
        await asyncio.sleep(0)
        assert not confirming.done()
        await flusher.step()
        return await confirming

    assert not await confirmed("1-another")
    assert (await bench.job(job_id)).state is JobState.CLAIMED
    assert await confirmed(job.token)
    assert (await bench.job(job_id)).state is JobState.IN_PROGRESS
