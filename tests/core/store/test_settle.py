"""complete, fail, retry, release: how an attempt's outcome changes its job."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Completed, Failed, JobState, Reason, Released, Retry, Started
from emp_core.store import JobFilter, Reply

from .conftest import AFTER, OUTCOMES, TYPE, Engine

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine]


async def test_complete_stores_the_result_byte_for_byte(engine: Engine) -> None:
    """The store never reads a result."""
    worker, job = await engine.claimed()
    result = b' {"big": 12345678901234567890, "empty": [], "nul": "\\u0000", "\xc3\xa4": 1e999}\n'

    await engine.store.jobs.complete(worker, [Completed(job.job_id, job.token, result)])

    seen = await engine.job(job.job_id)
    assert (seen.state, seen.fraction) == (JobState.COMPLETED, 1.0)
    assert await engine.store.views.result(job.job_id) == result


async def test_a_job_completed_while_claimed_passes_through_in_progress(engine: Engine) -> None:
    """A job that began and ended within one flush is announced in both states and has a start time."""
    worker, job = await engine.claimed()

    async with engine.hear() as heard:
        await engine.write("complete", worker, job.job_id, job.token)
        statuses = [message.status for message in await heard.messages()]

    assert statuses == ["in_progress", "completed"]
    assert (await engine.job(job.job_id)).started_at is not None


ENDED_WITHIN_ONE_FLUSH = {
    "complete": ["in_progress", "completed"],
    "fail": ["in_progress", "failed"],
    "retry": ["in_progress", "scheduled"],
    "release": ["in_progress", "pending"],
    "cancel": ["in_progress", "cancelled"],
}


@pytest.mark.parametrize("verb", ENDED_WITHIN_ONE_FLUSH)
async def test_an_attempt_that_ended_within_one_flush_has_its_true_times(engine: Engine, verb: str) -> None:
    """Its handler was called 300 ms ago, and no start was written: the move, the time and the duration are kept."""
    worker, job = await engine.claimed()
    if verb == "cancel":
        await engine.ask_cancel(job.job_id)
    await engine.pass_time(seconds=1)

    async with engine.hear() as heard:
        await engine.store.jobs.settle(worker, [OUTCOMES[verb](job.job_id, job.token)], {job.job_id: 300})
        statuses = [message.status for message in await heard.messages()]

    details = await engine.store.views.details(job.job_id)
    (attempt,) = details.attempts
    assert statuses == ENDED_WITHIN_ONE_FLUSH[verb]
    assert attempt.ended_at - attempt.started_at == timedelta(milliseconds=300)
    if verb in {"complete", "fail", "cancel"}:
        measured = await engine.store.measures.measure()
        assert measured.durations["run"][TYPE].total == timedelta(milliseconds=300)
        assert details.job.started_at == attempt.started_at


@pytest.mark.parametrize("verb", ["fail", "retry", "release"])
async def test_an_attempt_whose_handler_was_not_called_has_no_start(engine: Engine, verb: str) -> None:
    """A claim that ends before its handler is called does not pass through in_progress."""
    worker, job = await engine.claimed()

    async with engine.hear() as heard:
        await engine.write(verb, worker, job.job_id, job.token)
        statuses = [message.status for message in await heard.messages()]

    details = await engine.store.views.details(job.job_id)
    assert "in_progress" not in statuses
    assert [attempt.started_at for attempt in details.attempts] == [None]


async def test_start_keeps_when_the_handler_was_called(engine: Engine) -> None:
    """A start that was written late says when the handler was called, not when it was written."""
    worker, job = await engine.claimed()
    await engine.pass_time(seconds=5)

    await engine.store.jobs.start(worker, [Started(job.job_id, job.token, begun_ago=4000)])

    seen = await engine.job(job.job_id)
    assert timedelta(seconds=1) <= seen.started_at - seen.claimed_at < timedelta(seconds=2)


async def test_fail_stores_reason_and_error(engine: Engine) -> None:
    """A failed job says why, byte for byte."""
    worker, job = await engine.claimed()
    error = b'{ "message": "12345678901234567890", "n": [] }'

    await engine.store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.INVALID_RESULT, error)])

    details = await engine.store.views.details(job.job_id)
    assert details is not None
    assert (details.job.state, details.job.reason, details.error) == (JobState.FAILED, "invalid_result", error)
    assert [(end.outcome, end.reason, end.error) for end in details.attempts] == [("failed", "invalid_result", error)]


async def test_a_retried_job_is_claimed_again_after_its_delay(engine: Engine) -> None:
    """The backoff holds, then the next attempt has the next number."""
    worker, job = await engine.claimed()
    await engine.write("retry", worker, job.job_id, job.token)
    scheduled = await engine.job(job.job_id)

    await engine.pass_time(seconds=9)
    await engine.sweep()
    early = await engine.claim(worker)
    await engine.pass_time(seconds=1.1)
    await engine.sweep()
    (due,) = await engine.claim(worker)

    assert (scheduled.state, scheduled.worker_id, scheduled.fraction) == (JobState.SCHEDULED, None, 0.0)
    assert (early, due.job_id, due.attempt) == ((), job.job_id, 2)


async def test_a_retried_job_keeps_the_record_of_its_attempt(engine: Engine) -> None:
    """What went wrong is not overwritten by the next attempt; the error is byte for byte as it came."""
    worker, job = await engine.claimed()
    error = b'{"message": "digits 12345678901234567890", "n": []}'
    await engine.write("start", worker, job.job_id, job.token)

    await engine.store.jobs.retry(worker, [Retry(job.job_id, job.token, Reason.TIMEOUT, error, timedelta(0))])

    details = await engine.store.views.details(job.job_id)
    assert details is not None
    (attempt,) = details.attempts
    assert (attempt.number, attempt.worker_id, attempt.outcome) == (1, worker, "retry")
    assert (attempt.reason, attempt.error) == ("timeout", error)
    assert None not in {attempt.claimed_at, attempt.started_at, attempt.ended_at}


async def test_a_retried_job_keeps_its_place(engine: Engine) -> None:
    """It goes before jobs that were submitted after it."""
    worker, job = await engine.claimed()
    later = await engine.submit()

    await engine.write("retry", worker, job.job_id, job.token)
    await engine.pass_time(seconds=11)
    await engine.sweep()

    assert [job.job_id for job in await engine.claim(worker, 2)] == [job.job_id, later]


async def test_a_released_job_is_not_charged_and_keeps_its_place(engine: Engine) -> None:
    """The attempt's number comes again; the release is in the history."""
    worker, job = await engine.claimed()
    later = await engine.submit()

    await engine.write("release", worker, job.job_id, job.token)

    details = await engine.store.views.details(job.job_id)
    again, after = await engine.claim(worker, 2)
    assert details is not None
    assert [(end.number, end.outcome) for end in details.attempts] == [(1, "released")]
    assert (again.job_id, again.attempt, after.job_id) == (job.job_id, 1, later)


async def test_a_refusal_is_counted_and_waits(engine: Engine) -> None:
    """A release with a delay is a worker that does not understand the payload: uncharged, but counted."""
    worker, job = await engine.claimed()

    await engine.store.jobs.release(worker, [Released(job.job_id, job.token, timedelta(seconds=5))])
    now = await engine.claim(worker)
    await engine.pass_time(seconds=5.1)
    await engine.sweep()
    (again,) = await engine.claim(worker)

    assert now == ()
    assert (again.attempt, again.refusals) == (1, 1)


async def test_a_plain_release_is_no_refusal(engine: Engine) -> None:
    """Ten graceful restarts do not use up the ten refusals."""
    worker, job = await engine.claimed()
    await engine.write("release", worker, job.job_id, job.token)

    (again,) = await engine.claim(worker)

    assert again.refusals == 0


async def test_a_mixed_batch_is_answered_in_order(engine: Engine) -> None:
    """Whatever kinds of outcomes come in whatever order, each reply stands where its outcome stood."""
    ids = [new_job_id() for _ in range(12)]
    await engine.submit(*ids)
    worker = await engine.worker()
    jobs = await engine.claim(worker, 12)
    verbs = ["fail", "complete", "retry", "release", "refuse", "complete"] * 2
    tokens = [job.token if n % 3 else "0-stale" for n, job in enumerate(jobs)]

    replies = await engine.store.jobs.settle(
        worker,
        [OUTCOMES[verb](job.job_id, token) for verb, job, token in zip(verbs, jobs, tokens, strict=True)],
    )

    states = [(await engine.job(job.job_id)).state for job in jobs]
    assert replies == [Reply.OK if n % 3 else Reply.LEASE_LOST for n in range(12)]
    assert states == [AFTER[verb] if n % 3 else JobState.CLAIMED for n, verb in enumerate(verbs)]


@pytest.mark.parametrize("verb", ["complete", "fail", "retry", "release"])
async def test_batches_of_more_than_a_call_takes_are_written_whole(engine: Engine, verb: str) -> None:
    """A batch is cut into calls of 200; the caller does not see it."""
    ids = [new_job_id() for _ in range(450)]
    await engine.submit(*ids)
    worker = await engine.worker()
    jobs = [job for _ in range(3) for job in await engine.claim(worker, 200)]

    replies = await engine.store.jobs.settle(worker, [OUTCOMES[verb](job.job_id, job.token) for job in jobs])

    assert replies == [Reply.OK] * 450
    assert (await engine.counts())[AFTER[verb]] == 450


@pytest.mark.parametrize("verb", list(AFTER))
async def test_a_settled_job_is_in_nobodys_hands(engine: Engine, verb: str) -> None:
    """It is not held, not listed as running, and its worker is announced as idle."""
    worker, job = await engine.claimed()
    if verb == "cancel":
        await engine.ask_cancel(job.job_id)

    async with engine.hear("workers") as heard:
        await engine.write(verb, worker, job.job_id, job.token)
        said = [(message.worker_id, message.status) for message in await heard.messages()]

    assert said == [(worker, "idle")]
    assert await engine.store.workers.held(worker) == frozenset()
    assert (await engine.store.views.list(JobFilter(state="running"), None, 10)).jobs == ()


async def test_a_worker_with_jobs_left_is_not_idle(engine: Engine) -> None:
    """Idle is said once, when the last job is gone."""
    await engine.submit(new_job_id(), new_job_id())
    worker = await engine.worker()
    first, second = await engine.claim(worker, 2)

    async with engine.hear("workers") as heard:
        await engine.write("complete", worker, first.job_id, first.token)
        early = await heard.messages()
        await engine.write("complete", worker, second.job_id, second.token)
        late = await heard.messages()

    assert (early, [message.status for message in late]) == ([], ["idle"])


async def test_an_empty_batch_is_answered_without_a_call(engine: Engine) -> None:
    """Nothing to write is nothing to do."""
    assert await engine.store.jobs.settle(new_worker_id(), []) == []
    assert await engine.store.jobs.start(new_worker_id(), []) == []


async def test_the_duration_of_a_run_is_counted_in_its_minute(engine: Engine) -> None:
    """Bucket b holds runs shorter than 2^b milliseconds."""
    worker, job = await engine.claimed()
    await engine.write("start", worker, job.job_id, job.token)
    await engine.pass_time(milliseconds=5000)

    await engine.write("complete", worker, job.job_id, job.token)

    minutes = [await engine.value(key) for key in await engine.all_keys() if ":minute:" in key]
    counted = {name for minute in minutes for name in minute}
    assert f"run:13:{TYPE}".encode() in counted
