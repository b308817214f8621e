"""cancel: at once while nobody holds the job, else by asking its holder; a cancelled job never runs again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState
from emp_core.store import CancelAsk, CancelWord, JobFilter, Reply

from .conftest import Engine

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("delay", [None, timedelta(minutes=1)], ids=["pending", "scheduled"])
async def test_a_waiting_job_is_cancelled_at_once(engine: Engine, delay: timedelta | None) -> None:
    """It leaves its line, and says who called it off and why."""
    job_id = await engine.submit(delay=delay, expires_in=timedelta(minutes=5))

    words = await engine.store.jobs.cancel([CancelAsk(job_id, "ann", "not needed")])

    job = await engine.job(job_id)
    await engine.pass_time(minutes=10)
    await engine.sweep()
    assert (words, job.state) == ([CancelWord.CANCELLED], JobState.CANCELLED)
    assert job.cancel_request is not None
    assert (job.cancel_request.by, job.cancel_request.why) == ("ann", "not needed")
    assert await engine.claim(await engine.worker()) == ()
    assert await engine.job(job_id) == job


async def test_a_running_job_is_asked_of_its_worker(engine: Engine) -> None:
    """The request is kept with the job, and the job goes on until its worker has confirmed."""
    worker, claimed = await engine.claimed()

    words = await engine.store.jobs.cancel([CancelAsk(claimed.job_id, "ann", "enough")])

    job = await engine.job(claimed.job_id)
    renewed = await engine.store.workers.renew(worker, 0.0)
    assert (words, job.state) == ([CancelWord.ASKED], JobState.CLAIMED)
    assert job.cancel_request is not None
    assert job.cancel_request.why == "enough"
    assert renewed.asked == (job.job_id,)


async def test_the_first_request_stands(engine: Engine) -> None:
    """A second wish changes neither who asked nor when."""
    _, claimed = await engine.claimed()
    await engine.ask_cancel(claimed.job_id)
    before = await engine.job(claimed.job_id)
    await engine.pass_time(seconds=1)

    words = await engine.store.jobs.cancel([CancelAsk(claimed.job_id, "bob")] * 2)

    assert words == [CancelWord.ASKED] * 2
    assert await engine.job(claimed.job_id) == before


@pytest.mark.parametrize("started", [False, True], ids=["claimed", "in_progress"])
async def test_the_holder_confirms_with_its_token(engine: Engine, started: bool) -> None:
    """The confirmation ends the job; a repeat of it is OK."""
    worker, job = await engine.claimed()
    if started:
        await engine.write("start", worker, job.job_id, job.token)
    await engine.ask_cancel(job.job_id)

    replies = [await engine.write("cancel", worker, job.job_id, job.token) for _ in range(2)]

    assert replies == [Reply.OK, Reply.OK]
    assert (await engine.job(job.job_id)).state is JobState.CANCELLED
    assert (await engine.store.workers.renew(worker, 0.0)).asked == ()


async def test_a_confirmation_that_nobody_asked_for_is_refused(engine: Engine) -> None:
    """A worker cannot call a job off by itself."""
    worker, job = await engine.claimed()
    before = await engine.dump()

    reply = await engine.write("cancel", worker, job.job_id, job.token)

    assert reply is Reply.LEASE_LOST
    assert await engine.dump() == before


@pytest.mark.parametrize("verb", ["retry", "fail", "release", "refuse"])
async def test_an_outcome_of_a_job_asked_to_cancel_ends_it_as_cancelled(engine: Engine, verb: str) -> None:
    """The job never runs again; the outcome's repeat is OK."""
    worker, job = await engine.claimed()
    await engine.ask_cancel(job.job_id)

    replies = [await engine.write(verb, worker, job.job_id, job.token) for _ in range(2)]

    await engine.pass_time(minutes=1)
    await engine.sweep()
    assert replies == [Reply.OK, Reply.OK]
    assert (await engine.job(job.job_id)).state is JobState.CANCELLED


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_lost_job_asked_to_cancel_ends_as_cancelled(engine: Engine, attempts: int) -> None:
    """The request is honoured whether or not an attempt is left."""
    worker, job = await engine.claimed(max_attempts=attempts)
    await engine.ask_cancel(job.job_id)

    await engine.lose(worker)

    assert (await engine.job(job.job_id)).state is JobState.CANCELLED
    assert await engine.claim(await engine.worker()) == ()


async def test_complete_wins_over_a_request(engine: Engine) -> None:
    """Work that is done is not thrown away; the request is still told."""
    worker, job = await engine.claimed()
    await engine.ask_cancel(job.job_id)

    reply = await engine.write("complete", worker, job.job_id, job.token)

    seen = await engine.job(job.job_id)
    assert (reply, seen.state) == (Reply.OK, JobState.COMPLETED)
    assert seen.cancel_request is not None
    assert (await engine.store.workers.renew(worker, 0.0)).asked == ()


async def test_a_batch_is_answered_job_by_job(engine: Engine) -> None:
    """What is final is not touched, what is not there is said, and a damaged record costs nobody else anything."""
    worker, done = await engine.claimed()
    await engine.write("complete", worker, done.job_id, done.token)
    _, unheld = await engine.claimed()
    await engine.client.hdel(engine.keys("job", unheld.job_id), "worker")
    waiting = await engine.submit()
    before = await engine.job(done.job_id)

    words = await engine.store.jobs.cancel(
        [CancelAsk(job_id, "ann") for job_id in (done.job_id, new_job_id(), unheld.job_id, waiting, waiting)]
    )

    assert words == [
        CancelWord.FINAL,
        CancelWord.NOT_FOUND,
        CancelWord.NOT_FOUND,
        CancelWord.CANCELLED,
        CancelWord.FINAL,
    ]
    assert await engine.job(done.job_id) == before


async def test_a_thousand_jobs_are_cancelled_in_one_call(engine: Engine) -> None:
    """A batch is cut into calls; the caller does not see it."""
    ids = [new_job_id() for _ in range(1000)]
    await engine.submit(*ids)

    words = await engine.store.jobs.cancel([CancelAsk(job_id, "ann") for job_id in ids])

    assert words == [CancelWord.CANCELLED] * 1000
    assert await engine.counts() == {"submitted": 1000, "cancelled": 1000}


async def test_a_request_is_announced(engine: Engine) -> None:
    """An observer hears that something has changed, with the state that still holds."""
    _, job = await engine.claimed()

    async with engine.hear() as heard:
        await engine.ask_cancel(job.job_id)
        messages = await heard.messages()

    assert [(message.job_id, message.status) for message in messages] == [(job.job_id, "claimed")]


async def test_a_job_cancelled_between_attempts_lists_only_those_it_had(engine: Engine) -> None:
    """The attempt that was retried stands there once; the wait that was cancelled is no attempt."""
    worker, job = await engine.claimed()
    await engine.write("retry", worker, job.job_id, job.token)

    await engine.ask_cancel(job.job_id)

    details = await engine.store.views.details(job.job_id)
    listed = await engine.store.views.list(JobFilter(state="cancelled"), None, 5)
    assert details is not None
    assert [(end.number, end.outcome) for end in details.attempts] == [(1, "retry")]
    assert [found.job_id for found in listed.jobs] == [job.job_id]
