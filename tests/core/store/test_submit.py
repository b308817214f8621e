"""submit: what is stored, what is refused, and what a repeat is answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from emp_core.ids import new_job_id
from emp_core.jobs import Backoff, Idempotency, JobState, Submission
from emp_core.store import SubmitWord
from emp_core.store.records import unix_milliseconds

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def test_a_submitted_job_waits_with_all_that_it_was_given(engine: Engine) -> None:
    """Whatever a submission says is there to be read again."""
    job_id = await engine.submit(
        priority=7, max_attempts=5, tags=("red", "blue"), payload=b'{"a": 1}', schema_digest="ab"
    )

    job = await engine.job(job_id)

    assert (job.job_type, job.state, job.priority, job.attempt, job.max_attempts) == (TYPE, JobState.PENDING, 7, 0, 5)
    assert job.tags == ("red", "blue")
    assert job.schema_digest == "ab"
    assert await engine.store.views.payload(job_id) == b'{"a": 1}'


async def test_a_worker_is_given_what_the_submission_asked_for(engine: Engine) -> None:
    """Limits and backoff of a submission reach the worker unchanged."""
    backoff = Backoff(timedelta(seconds=1.5), 3.0, timedelta(seconds=60), 0.1)

    _, job = await engine.claimed(timeout=timedelta(seconds=9), progress_timeout=timedelta(seconds=3), backoff=backoff)

    assert (job.timeout, job.progress_timeout, job.backoff) == (timedelta(seconds=9), timedelta(seconds=3), backoff)


async def test_a_job_for_later_is_scheduled(engine: Engine) -> None:
    """A delay keeps a job out of its line."""
    job_id = await engine.submit(delay=timedelta(minutes=5))

    assert (await engine.job(job_id)).state is JobState.SCHEDULED


async def test_run_at_in_the_past_is_now(engine: Engine) -> None:
    """A time that has passed schedules nothing."""
    job_id = await engine.submit(run_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert (await engine.job(job_id)).state is JobState.PENDING


async def test_the_same_id_and_payload_are_answered_ok_again(engine: Engine) -> None:
    """A server whose call timed out may repeat it: there is one job, once in its line."""
    job = Submission(job_id=new_job_id(), job_type=TYPE, payload=b"1")
    await engine.store.jobs.submit([job])

    (again,) = await engine.store.jobs.submit([job])

    assert again.word is SubmitWord.OK
    assert (await engine.store.views.stats()).counts[TYPE]["pending"] == 1


async def test_the_same_id_with_another_payload_exists(engine: Engine) -> None:
    """An id stands for one job for ever."""
    job = Submission(job_id=new_job_id(), job_type=TYPE, payload=b"1")
    await engine.store.jobs.submit([job])

    (other,) = await engine.store.jobs.submit([replace(job, payload=b"2")])

    assert other.word is SubmitWord.EXISTS
    assert await engine.store.views.payload(job.job_id) == b"1"


@pytest.mark.every_engine
async def test_an_idempotency_key_gives_the_first_job(engine: Engine) -> None:
    """The same key for the same request makes no second job."""
    key = Idempotency(scope="", key="order 17", digest="d1")
    first = await engine.submit(idempotency=key)

    (again,) = await engine.store.jobs.submit([Submission(new_job_id(), TYPE, b"{}", idempotency=key)])

    assert (again.word, again.job_id, again.state) == (SubmitWord.REPEAT, first, JobState.PENDING)


async def test_an_idempotency_key_for_another_request_is_refused(engine: Engine) -> None:
    """A key stands for one request, within one scope."""
    await engine.submit(idempotency=Idempotency("", "k", "d1"))

    other, elsewhere = await engine.store.jobs.submit(
        [
            Submission(new_job_id(), TYPE, b"{}", idempotency=Idempotency("", "k", "d2")),
            Submission(new_job_id(), TYPE, b"{}", idempotency=Idempotency("bob", "k", "d2")),
        ]
    )

    assert (other.word, elsewhere.word) == (SubmitWord.KEY_REUSED, SubmitWord.OK)


async def test_a_thousand_concurrent_submissions_with_one_key_make_one_job(engine: Engine) -> None:
    """However they interleave, one job is stored."""
    key = Idempotency("", "once", "d")
    jobs = [Submission(new_job_id(), TYPE, b"{}", idempotency=key) for _ in range(1000)]

    answers = await asyncio.gather(*(engine.store.jobs.submit([job]) for job in jobs))

    assert len({answer[0].job_id for answer in answers}) == 1
    assert (await engine.store.views.stats()).counts[TYPE]["submitted"] == 1


@pytest.mark.every_engine
async def test_more_items_than_fit_a_call_are_answered_in_order(engine: Engine) -> None:
    """A batch is cut into calls; the caller does not see it."""
    jobs = [Submission(new_job_id(), TYPE, b"%d" % n) for n in range(450)]

    answers = await engine.store.jobs.submit(jobs)

    assert [answer.job_id for answer in answers] == [job.job_id for job in jobs]
    assert {answer.word for answer in answers} == {SubmitWord.OK}


async def test_a_full_line_refuses_one_type_only(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduled jobs count, other types go on."""
    monkeypatch.setattr(engine.store.jobs, "_waiting_limit", 3)
    await engine.submit()
    await engine.submit(delay=timedelta(minutes=1))

    answers = await engine.store.jobs.submit(
        [Submission(new_job_id(), name, b"{}") for name in (TYPE, TYPE, "test.other")]
    )

    assert [answer.word for answer in answers] == [SubmitWord.OK, SubmitWord.FULL, SubmitWord.OK]


@pytest.mark.parametrize(
    "payload", [b"null", b'"\\u0000"', '{"ä": "\u2028"}'.encode(), b"1e999", b" [ 1 ,2 ] ", b"9007199254740993"]
)
async def test_a_payload_reaches_the_worker_byte_for_byte(engine: Engine, payload: bytes) -> None:
    """The store never reads a payload."""
    _, job = await engine.claimed(payload=payload)

    assert job.payload == payload


async def test_text_without_utf8_fails_its_own_submission_only(engine: Engine) -> None:
    """A lone surrogate is an error of its caller; whoever shares the round trip is stored."""
    good = Submission(new_job_id(), TYPE, b"{}")
    bad = Submission(new_job_id(), TYPE, b"{}", tags=("\ud800",))

    stored, refused = await asyncio.gather(
        engine.store.jobs.submit([good]), engine.store.jobs.submit([bad]), return_exceptions=True
    )

    assert isinstance(refused, UnicodeEncodeError)
    assert isinstance(stored, list)
    assert await engine.store.views.get([good.job_id, bad.job_id]) == [await engine.job(good.job_id), None]


async def test_an_expiry_counts_from_when_the_job_is_due(engine: Engine) -> None:
    """A job for in an hour that expires in a minute is claimed within the hour's minute."""
    job_id = await engine.submit(delay=timedelta(hours=1), expires_in=timedelta(minutes=1))

    job = await engine.job(job_id)

    assert job.expires_at == job.created_at + timedelta(hours=1, minutes=1)


async def test_an_absolute_expiry_does_not_depend_on_when_the_job_is_due(engine: Engine) -> None:
    """A job that is due after it expires is never claimed; once claimed, a job does not expire."""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    waiting = await engine.submit(delay=timedelta(hours=1), expires_at=soon)
    claimed = await engine.submit(expires_at=soon)
    worker = await engine.worker()
    (taken,) = await engine.claim(worker)
    await engine.pass_time(seconds=301)
    await engine.store.jobs.expire()

    states = [(await engine.job(job_id)).state for job_id in (waiting, claimed)]
    assert taken.job_id == claimed
    assert states == [JobState.FAILED, JobState.CLAIMED]
    assert (await engine.job(waiting)).reason == "expired"


def test_a_time_is_rounded_up_to_the_millisecond() -> None:
    """A job never starts before its time."""
    at = datetime(2026, 1, 1, 0, 0, 0, 500_001, tzinfo=UTC)

    assert unix_milliseconds(at) == str(1_767_225_600_501)


async def test_what_every_job_begins_with_is_not_in_its_record(engine: Engine) -> None:
    """A waiting job costs as little memory as it can; whoever reads the record fills it in."""
    job_id = await engine.submit()
    other = await engine.submit(priority=3, max_attempts=1, delay=timedelta(minutes=1))

    record = await engine.value(engine.keys("job", job_id))
    unlike = await engine.value(engine.keys("job", other))
    job = await engine.job(job_id)

    assert set(record) == {b"type", b"no", b"created_at"}
    assert unlike.keys() - record.keys() == {b"priority", b"max_attempts", b"state", b"run_at"}
    assert (job.state, job.priority, job.attempt, job.max_attempts) == (JobState.PENDING, 0, 0, 3)


async def test_an_id_that_comes_twice_in_a_call_is_stored_once(engine: Engine) -> None:
    """The same again is answered OK, another payload EXISTS."""
    job = Submission(new_job_id(), TYPE, b"1")

    answers = await engine.store.jobs.submit([job, job, replace(job, payload=b"2")])

    assert [answer.word for answer in answers] == [SubmitWord.OK, SubmitWord.OK, SubmitWord.EXISTS]
    assert (await engine.counts())["pending"] == 1


async def test_a_key_that_is_no_job_is_in_nobodys_way(engine: Engine) -> None:
    """An id under which something else lies is answered EXISTS; whoever shares the call is stored."""
    taken, free = Submission(new_job_id(), TYPE, b"1"), Submission(new_job_id(), TYPE, b"1")
    await engine.client.set(engine.keys("job", taken.job_id), "no job")

    answers = await engine.store.jobs.submit([taken, free])

    assert [answer.word for answer in answers] == [SubmitWord.EXISTS, SubmitWord.OK]
