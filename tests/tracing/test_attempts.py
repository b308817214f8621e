"""The span of an attempt says how it ended, whatever ended it."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from emp_core.jobs import Backoff, JobState
from emp_core.store import CancelAsk, open_store
from emp_core.store.connection import connect
from emp_core.store.keys import Keys
from emp_core.tracing.current import current_trace
from emp_worker import JobContext, JobError, JobType
from support.bench import TYPE, Bench, Nothing
from support.spans import KeptSpans
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MARKER = "canary-of-a-payload"
SOON = Backoff(base=timedelta(milliseconds=10))


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
async def bench(redis_url, namespace, kept):
    async with open_store(redis_url, namespace) as store:
        yield Bench(store, redis_url, namespace, tracer=kept.tracer)


async def quick(payload: Nothing) -> None:
    pass


async def for_ever(payload: Nothing) -> None:
    await asyncio.Event().wait()


def said(span):
    return {
        name.removeprefix("emp."): value
        for name, value in span.attributes.items()
        if name.startswith(("emp.", "error."))
    }


async def attempts(kept, count=1):
    """Wait for so many spans of attempts."""
    return await wait_until_async(lambda: _at_least(kept.named("process"), count))


async def _at_least(spans, count):
    return spans if len(spans) >= count else None


async def test_an_attempt_goes_on_from_its_claim_and_that_from_the_submission(bench, kept):
    seen = []

    async def handler(payload: Nothing) -> None:
        seen.append(current_trace())

    done = await bench.run_one(JobType(TYPE, handler), trace=TRACE)

    [claim, process] = kept.all()
    assert [claim.name, process.name] == [f"claim {TYPE}", f"process {TYPE}"]
    assert [claim.kind, process.kind] == [SpanKind.CLIENT, SpanKind.CONSUMER]
    assert format_span_id(claim.parent.span_id) == "b7ad6b7169203331"
    assert process.parent.span_id == claim.context.span_id
    assert {format_trace_id(span.context.trace_id) for span in (claim, process)} == {TRACE[3:35]}
    assert claim.start_time <= claim.end_time <= process.start_time
    assert seen == [f"{TRACE[:36]}{format_span_id(process.context.span_id)}-01"]
    assert said(process) == {"attempt": 1, "losses": 0, "outcome": "completed"}
    assert process.attributes["messaging.client.id"] == done.job.worker_id
    assert process.status.status_code is StatusCode.UNSET


async def test_jobs_side_by_side_each_have_their_own_span(bench, kept):
    """On one loop and in threads, a handler finds its own span and no other's."""
    seen = {}

    async def on_loop(payload: Nothing, job: JobContext) -> None:
        await asyncio.sleep(0.01)
        seen[job.job_id] = trace.get_current_span().get_span_context().span_id

    def in_thread(payload: Nothing, job: JobContext) -> None:
        seen[job.job_id] = trace.get_current_span().get_span_context().span_id

    async with bench.work(JobType("test.loop", on_loop), JobType("test.thread", in_thread)):
        jobs = [await bench.submit(job_type=job_type) for job_type in ("test.loop", "test.thread") * 5]
        for job_id in jobs:
            await bench.final(job_id)

    assert seen == {span.attributes["messaging.message.id"]: span.context.span_id for span in kept.named("process")}
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_job_without_a_trace_begins_one(bench, kept):
    await bench.run_one(JobType(TYPE, for_ever, timeout=0.05), max_attempts=1)

    [claim], [process] = kept.named("claim"), await attempts(kept)
    assert claim.parent is None
    assert process.context.trace_id == claim.context.trace_id


@pytest.mark.parametrize("damage", ["garbage", "\x1f\n\u2028", f"{TRACE} {'ä=1,' * 5_000}", "x" * 100_000], ids=len)
async def test_a_damaged_trace_in_the_store_begins_a_new_one(bench, kept, damage):
    """The job runs all the same."""
    job_id = await bench.submit(trace=TRACE, delay=timedelta(milliseconds=50))
    async with connect(bench.url) as client:
        await client.hset(Keys(bench.namespace, "00")("job", job_id), "trace", damage)

    async with bench.work(JobType(TYPE, quick)):
        done = await bench.final(job_id)

    assert done.job.state is JobState.COMPLETED
    assert len(kept.named("process")) == 1


async def test_what_a_handler_raises_is_an_error_and_its_text_is_not_told(bench, kept):
    """The message and the traceback quote what the handler had; they stay with the job."""

    async def handler(payload: Nothing) -> None:
        raise JobError(f"cannot read {MARKER}", code="unreadable", retryable=False)

    done = await bench.run_one(JobType(TYPE, handler))

    [span] = await attempts(kept)
    assert MARKER.encode() in done.error
    assert MARKER not in span.to_json()
    assert said(span) == {
        "attempt": 1,
        "losses": 0,
        "outcome": "failed",
        "reason": "error",
        "error.type": "JobError",
    }
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert [(event.name, dict(event.attributes)) for event in span.events] == [
        ("exception", {"exception.type": "JobError"})
    ]


async def test_a_handler_that_runs_too_long_ends_as_timeout(bench, kept):
    await bench.run_one(JobType(TYPE, for_ever, timeout=0.05), max_attempts=1)

    [span] = await attempts(kept)
    assert (span.attributes["error.type"], span.attributes["emp.reason"]) == ("timeout", "timeout")


async def test_each_attempt_of_a_job_is_a_span(bench, kept):
    async def handler(payload: Nothing, job: JobContext) -> None:
        if job.attempt == 1:
            raise ValueError

    await bench.run_one(JobType(TYPE, handler), backoff=SOON, trace=TRACE)

    first, second = await attempts(kept, 2)
    assert [first.attributes["emp.outcome"], second.attributes["emp.outcome"]] == ["retry", "completed"]
    assert first.context.trace_id == second.context.trace_id == int(TRACE[3:35], 16)


async def test_a_job_that_is_called_off_did_not_fail(bench, kept):
    async with bench.work(JobType(TYPE, for_ever)):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        await bench.store.jobs.cancel([CancelAsk(job_id, "the test")])
        await bench.final(job_id)

    [span] = kept.named("process")
    assert (span.attributes["emp.outcome"], span.status.status_code) == ("cancelled", StatusCode.UNSET)


@pytest.mark.parametrize(("max_attempts", "outcome", "why"), [(3, "released", None), (1, "failed", "interrupted")])
async def test_a_worker_that_stops_says_what_it_gave_back(bench, kept, max_attempts, outcome, why):
    async with bench.work(JobType(TYPE, for_ever)):
        job_id = await bench.submit(max_attempts=max_attempts)
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)

    [span] = kept.named("process")
    assert (span.attributes["emp.outcome"], span.attributes.get("error.type")) == (outcome, why)


async def test_an_attempt_that_is_given_up_has_its_span(bench, kept):
    """The thread goes on, and what becomes of it counts no more."""
    release = threading.Event()

    def stubborn(payload: Nothing) -> None:
        release.wait(20)

    async with bench.work(JobType(TYPE, stubborn)):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)

    [span] = kept.named("process")
    assert span.attributes["emp.outcome"] == "released"
    release.set()


async def test_an_attempt_that_others_have_taken_over_is_lost(bench, kept):
    """It has no outcome of its own; the one that counts says how many workers the job had lost."""

    async def handler(payload: Nothing, job: JobContext) -> None:
        if job.attempt == 1:
            await asyncio.Event().wait()

    async with bench.work(JobType(TYPE, handler), children_alone=1):
        job_id = await bench.submit(trace=TRACE, max_attempts=1)
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        [worker] = await bench.store.workers.list()
        await bench.store.workers.leave(worker.worker_id, "taken for the test")
        await bench.store.jobs.recover()
        [span] = await attempts(kept)

    assert said(span) == {"attempt": 1, "losses": 0, "outcome": "lost", "error.type": "lease_lost"}
    assert span.status.status_code is StatusCode.ERROR
