"""promote and expire: jobs that are due come into their lines, jobs that waited too long fail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState, Reason

from .conftest import Engine

pytestmark = pytest.mark.anyio


async def test_a_due_job_is_promoted(engine: Engine) -> None:
    """Not before its time, and then with all the signs of a job that waits."""
    job_id = await engine.submit(delay=timedelta(seconds=5))

    await engine.pass_time(seconds=4.5)
    await engine.sweep()
    early = (await engine.job(job_id)).state
    await engine.pass_time(seconds=1)
    async with engine.hear("available") as heard:
        await engine.sweep()
        announced = [message.job_id for message in await heard.messages()]

    assert (early, (await engine.job(job_id)).state) == (JobState.SCHEDULED, JobState.PENDING)
    assert announced == [job_id]


async def test_promotion_is_bounded_per_call(engine: Engine) -> None:
    """No call of the janitor holds the store up; at its limit it is called again."""
    await engine.submit(*(new_job_id() for _ in range(250)), delay=timedelta(seconds=1))
    await engine.pass_time(seconds=2)

    more = [await engine.store.jobs.promote() for _ in range(3)]

    assert more == [True, True, False]
    assert (await engine.counts())["pending"] == 250


@pytest.mark.parametrize("delay", [None, timedelta(minutes=1)], ids=["pending", "scheduled"])
async def test_a_job_that_waited_too_long_expires(engine: Engine, delay: timedelta | None) -> None:
    """It fails with the reason, and is nowhere to be claimed or promoted."""
    job_id = await engine.submit(delay=delay, expires_in=timedelta(seconds=10))
    if delay:
        await engine.pass_time(seconds=delay.total_seconds())
    await engine.pass_time(seconds=11)

    await engine.store.jobs.expire()

    job = await engine.job(job_id)
    await engine.sweep()
    details = await engine.store.views.details(job_id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.EXPIRED)
    assert await engine.job(job_id) == job
    assert details is not None
    assert details.error is not None
    assert b"expired" in details.error


async def test_a_claimed_job_does_not_expire(engine: Engine) -> None:
    """The expiry bounds the wait for the first claim; a retry does not bring it back."""
    worker, job = await engine.claimed(expires_in=timedelta(seconds=5))
    await engine.write("retry", worker, job.job_id, job.token)

    await engine.pass_time(minutes=5)
    await engine.sweep()

    assert (await engine.job(job.job_id)).state is JobState.PENDING
