"""run_job: a handler performed in a plugin's test as a worker performs it."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
from pydantic import BaseModel

from emp_core.jobs import Reason
from emp_worker import JobCancelled, JobContext, JobError, JobType
from emp_worker.testing import (
    Cancelled,
    Completed,
    Failed,
    FakeContext,
    LogLine,
    Progress,
    Retry,
    run_job,
    run_job_async,
)


class Text(BaseModel):
    """A text to count."""

    text: str


class WordCount(BaseModel):
    """How many words there are."""

    words: int


async def count(payload: Text, job: JobContext) -> WordCount:
    job.progress(0.5, "counting")
    job.log.info("%d characters", len(payload.text))
    return WordCount(words=len(payload.text.split()))


COUNT = JobType("text.wordcount", count)


@pytest.mark.parametrize(
    "payload", [{"text": "one two"}, Text(text="one two"), '{"text":"one two"}', b'{"text":"one two"}']
)
def test_a_payload_comes_in_any_form_and_the_result_is_the_clients(payload):
    run = run_job(COUNT, payload)

    assert isinstance(run.outcome, Completed)
    assert run.result == {"words": 2}


class Number(BaseModel):
    """A number."""

    value: float


def nan(payload: Number) -> dict[str, float]:
    return {"loss": payload.value * math.nan}


NAN = JobType("number.nan", nan)


def test_a_number_that_json_has_not_fails_the_attempt_as_in_a_worker():
    run = run_job(NAN, {"value": 1})

    assert isinstance(run.outcome, Failed)
    assert run.outcome.reason is Reason.INVALID_RESULT
    assert run.error is not None
    assert run.error["errors"][0]["pointer"] == "/loss"


@pytest.mark.parametrize("payload", [{"value": math.nan}, Number(value=math.inf)])
def test_a_payload_that_no_client_sends_is_refused(payload):
    with pytest.raises(ValueError, match="JSON"):
        run_job(NAN, payload)


def test_what_the_handler_said_is_kept():
    run = run_job(COUNT, {"text": "one two"})

    assert run.progress == (Progress(0.5, "counting"),)
    assert run.log == (LogLine("info", "7 characters"),)


def test_a_failed_attempt_gives_its_error_and_what_becomes_of_the_job():
    async def fail(payload: Text) -> None:
        raise JobError("no luck", code="luck")

    job_type = JobType("text.fail", fail)

    first, last = run_job(job_type, {"text": ""}), run_job(job_type, {"text": ""}, attempt=3)

    assert isinstance(first.outcome, Retry)
    assert isinstance(last.outcome, Failed)
    assert last.error is not None
    assert (last.error["message"], last.error["code"], last.result) == ("no luck", "luck", None)


def test_a_payload_that_does_not_fit_gives_pointers():
    run = run_job(COUNT, {"text": 7})

    assert run.error is not None
    assert run.error["errors"][0]["pointer"] == "/text"


def test_the_handler_sees_the_attempt_that_the_test_asks_for():
    def attempt_of(payload: Text, job: JobContext) -> list[int]:
        return [job.attempt, job.max_attempts, job.priority]

    run = run_job(JobType("a", attempt_of), {"text": ""}, attempt=2, max_attempts=7, priority=5)

    assert run.result == [2, 7, 5]


def test_the_time_limit_of_the_type_ends_the_attempt():
    async def endless(payload: Text, job: JobContext) -> None:
        assert job.deadline is not None
        await asyncio.Event().wait()

    run = run_job(JobType("a", endless, timeout=0.05), {"text": ""})

    assert isinstance(run.outcome, Retry)
    assert run.outcome.reason == "timeout"
    assert run.error is not None
    assert "0.05 s" in run.error["message"]


def test_a_timeout_of_the_handlers_own_is_its_error():
    async def impatient(payload: Text) -> None:
        raise TimeoutError("the remote side")

    run = run_job(JobType("a", impatient, timeout=5), {"text": ""})

    assert isinstance(run.outcome, Retry)
    assert run.outcome.reason == "error"


def test_an_async_handler_is_called_off_where_its_progress_says():
    async def endless(payload: Text, job: JobContext) -> None:
        job.progress(0.5)
        await asyncio.Event().wait()

    assert isinstance(run_job(JobType("a", endless), {"text": ""}, cancel_at=0.5).outcome, Cancelled)


def test_a_sync_handler_is_called_off_where_its_progress_says():
    def endless(payload: Text, job: JobContext) -> None:
        while True:
            job.progress(0.5)
            job.raise_if_cancelled()

    assert isinstance(run_job(JobType("a", endless), {"text": ""}, cancel_at=0.5).outcome, Cancelled)


def test_the_lifespan_is_entered_and_left():
    events = []

    @contextmanager
    def lifespan() -> Iterator[str]:
        events.append("entered")
        yield "resource"
        events.append("left")

    async def use(payload: Text, job: JobContext) -> str:
        return job.resources

    assert run_job(JobType("a", use, lifespan=lifespan), {"text": ""}).result == "resource"
    assert events == ["entered", "left"]


@pytest.mark.anyio
async def test_an_async_test_awaits_the_run():
    run = await run_job_async(COUNT, {"text": "one"})

    assert run.result == {"words": 1}


@pytest.mark.anyio
async def test_cancelling_the_test_cancels_the_run():
    async def endless(payload: Text) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run_job_async(JobType("a", endless), {"text": ""})


@pytest.mark.anyio
async def test_a_handler_can_be_called_with_a_fake_context():
    job = FakeContext(attempt=2, resources="a client")

    result = await count(Text(text="one two"), job)

    assert result == WordCount(words=2)
    assert (job.attempt, job.resources) == (2, "a client")
    assert job.said == (Progress(0.5, "counting"),)
    assert job.lines == (LogLine("info", "7 characters"),)


def test_a_fake_context_calls_a_handler_off():
    job = FakeContext()

    job.request_cancel()

    with pytest.raises(JobCancelled):
        job.raise_if_cancelled()


def test_a_handler_is_called_off_after_a_time():
    async def endless(payload: Text) -> None:
        await asyncio.Event().wait()

    assert isinstance(run_job(JobType("a", endless), {"text": ""}, cancel_after=0.05).outcome, Cancelled)


def test_who_listens_hears_progress_and_log_while_the_handler_runs():
    heard: list[object] = []

    class Listener:
        def progress(self, fraction: float | None, message: str | None) -> None:
            heard.append(fraction)

        def log(self, line: bytes) -> None:
            heard.append(json.loads(line)["message"])

        def save(self, handle: bytes) -> Future[None]:
            raise AssertionError("nothing is saved")

    run_job(COUNT, {"text": "one"}, reporter=Listener())

    assert heard == [0.5, "3 characters"]


@pytest.mark.anyio
async def test_cancelling_the_test_calls_off_a_handler_in_a_thread():
    ended = threading.Event()

    def endless(payload: Text, job: JobContext) -> None:
        try:
            while True:
                job.raise_if_cancelled()
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run_job_async(JobType("a", endless), {"text": ""})
    assert ended.is_set()
