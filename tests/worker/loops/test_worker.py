"""A worker in a real process's loop: from the claim to the stored outcome."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pydantic import BaseModel

from emp_core.jobs import Backoff, JobState, Outcome, Reason, WorkerInfo
from emp_core.store import CancelAsk, open_store
from emp_core.store.embedded import EmbeddedStore
from emp_worker import JobContext, JobError, JobType, hookimpl
from emp_worker.plugins import load_plugins
from support.waiting import wait_until_async

from .conftest import TYPE, Bench, Nothing

pytestmark = pytest.mark.anyio

Handler = Callable[[Nothing], object]

QUICK = Backoff(timedelta(milliseconds=10), 1.0, timedelta(milliseconds=10), 0.0)


class Text(BaseModel):
    """A text."""

    text: str


async def shout(payload: Text, job: JobContext) -> Text:
    """Report, log and answer."""
    job.progress(0.5, "half way")
    job.log.info("shouting")
    return Text(text=payload.text.upper())


async def for_ever(payload: Nothing, job: JobContext) -> None:
    """Run until somebody ends it."""
    job.progress(0.1, "running")
    await asyncio.Event().wait()


async def fails(payload: Nothing) -> None:
    """Fail."""
    raise ValueError("no luck")


async def quick(payload: Nothing) -> int:
    """End at once."""
    return 1


async def test_a_job_comes_out_with_result_progress_and_log(bench: Bench) -> None:
    """What a handler returns, reports and logs is stored."""
    done = await bench.run_one(JobType(TYPE, shout), payload=b'{"text": "hey"}')

    assert done.job.state is JobState.COMPLETED
    assert done.result == b'{"text":"HEY"}'
    assert (done.job.fraction, done.job.message) == (1.0, "half way")
    (line,) = await bench.store.views.log(done.job.job_id)
    assert json.loads(line)["message"] == "shouting"


@pytest.mark.parametrize(("handler", "end"), [(quick, "completed"), (fails, "failed")])
async def test_a_handler_that_ends_at_once_passes_through_in_progress(bench: Bench, handler: Handler, end: str) -> None:
    """Every state is published, and the times are those of the handler, whether it returns or raises."""
    async with bench.store.feed.subscribe(workers=False) as events:
        await anext(events)
        done = await bench.run_one(JobType(TYPE, handler), max_attempts=1)
        async with asyncio.timeout(5):
            updates = [await anext(events) for _ in range(4)]

    assert [(update.status, update.job_type) for update in updates] == [
        (state, TYPE) for state in ("pending", "claimed", "in_progress", end)
    ]
    assert done.job.claimed_at <= done.job.started_at <= done.job.finished_at
    assert done.attempts[-1].started_at == done.job.started_at
    assert sum((await bench.store.measures.measure()).durations["run"][TYPE].buckets.values()) == 1


async def test_a_thread_handler_reports_from_its_thread(bench: Bench) -> None:
    """A `def` handler runs off the loop, and its progress arrives all the same."""
    names = []

    def handler(payload: Nothing, job: JobContext) -> str:
        names.append(threading.current_thread().name)
        job.progress(0.3, "from a thread")
        return "done"

    done = await bench.run_one(JobType(TYPE, handler))

    assert done.result == b'"done"'
    assert done.job.message == "from a thread"
    assert names[0].startswith("emp-handler")


async def test_a_failing_job_is_tried_again_and_then_fails(bench: Bench) -> None:
    """Attempts are counted, their records kept, and the last error is the job's."""
    done = await bench.run_one(JobType(TYPE, fails, backoff=QUICK), max_attempts=3)

    assert (done.job.state, done.job.reason, done.job.attempt) == (JobState.FAILED, Reason.ERROR, 3)
    assert [(attempt.number, attempt.outcome) for attempt in done.attempts] == [
        (1, "retry"),
        (2, "retry"),
        (3, "failed"),
    ]
    error = json.loads(done.error or b"{}")
    assert (error["kind"], error["message"]) == ("ValueError", "no luck")


async def test_a_job_error_that_is_not_retryable_fails_at_once(bench: Bench) -> None:
    """The handler knows best."""

    async def handler(payload: Nothing) -> None:
        raise JobError("never", retryable=False, code="E1")

    done = await bench.run_one(JobType(TYPE, handler, backoff=QUICK))

    assert (done.job.state, done.job.attempt) == (JobState.FAILED, 1)
    assert json.loads(done.error or b"{}")["code"] == "E1"


async def test_a_payload_that_does_not_fit_fails_at_once(bench: Bench) -> None:
    """The handler is never called with it."""
    done = await bench.run_one(JobType(TYPE, shout), payload=b'{"text": 5}')

    assert (done.job.reason, done.job.attempt) == (Reason.INVALID_PAYLOAD, 1)
    assert json.loads(done.error or b"{}")["errors"][0]["pointer"] == "/text"


async def test_a_payload_of_another_schema_goes_back_uncharged(bench: Bench) -> None:
    """A worker of another version gives it back, for one that accepts it."""
    async with bench.work(JobType(TYPE, shout)):
        job_id = await bench.submit(payload=b"{}", schema_digest="another")
        job = await bench.until(job_id, lambda job: job.state is JobState.SCHEDULED)

    assert job.attempt == 0


@pytest.mark.parametrize("limits", [{"timeout": 0.2}, {"progress_timeout": 0.2}], ids=str)
async def test_a_time_limit_ends_the_attempt(bench: Bench, limits: dict[str, float]) -> None:
    """A handler that runs or is silent for too long fails as `timeout`, and its slot is free again."""
    done = await bench.run_one(JobType(TYPE, for_ever, **limits), max_attempts=1)

    assert (done.job.state, done.job.reason) == (JobState.FAILED, Reason.TIMEOUT)
    assert next(iter(limits)) in json.loads(done.error or b"{}")["message"]


async def test_a_submissions_time_limit_wins_over_the_types(bench: Bench) -> None:
    """Who submits may know better."""
    done = await bench.run_one(JobType(TYPE, for_ever, timeout=60), timeout=timedelta(seconds=0.2), max_attempts=1)

    assert done.job.reason == Reason.TIMEOUT


async def test_a_handler_that_reports_is_not_silent(bench: Bench) -> None:
    """Each report is a sign of life."""

    async def handler(payload: Nothing, job: JobContext) -> None:
        for _ in range(8):
            await asyncio.sleep(0.1)
            job.progress(None, "alive")

    done = await bench.run_one(JobType(TYPE, handler, progress_timeout=0.4), max_attempts=1)

    assert done.job.state is JobState.COMPLETED


async def test_a_thread_keeps_its_slot_until_it_ends(bench: Bench) -> None:
    """After its time limit a thread still runs, and nobody gets its slot before it ends."""
    release, seen = threading.Event(), []

    def stubborn(payload: Nothing) -> None:
        seen.append(time.monotonic())
        release.wait(10)

    async with bench.work(JobType(TYPE, stubborn, timeout=0.1), threads=1):
        first = await bench.submit(max_attempts=1)
        second = await bench.submit(max_attempts=1)
        await bench.until(first, lambda job: job.state is JobState.IN_PROGRESS)
        await asyncio.sleep(0.3)  # the time limit is over: what must not happen gets its chance
        waiting = await bench.job(second)
        release.set()
        done = await bench.final(first)
        await bench.final(second)

    assert waiting.state is JobState.PENDING
    assert done.job.reason == Reason.TIMEOUT
    assert len(seen) == 2


async def test_a_running_job_is_cancelled_at_once(bench: Bench) -> None:
    """The wish reaches the handler in well under a second, not with the next renewal."""
    async with bench.work(JobType(TYPE, for_ever)):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann", "a mistake")])
        done = await bench.final(job_id, timeout=1.0)

    assert done.job.state is JobState.CANCELLED
    assert done.job.cancel_request is not None
    assert (done.job.cancel_request.by, done.job.cancel_request.why) == ("ann", "a mistake")


async def test_a_busy_worker_hears_a_cancel_too(bench: Bench) -> None:
    """With no free slot a worker still listens for its own bell."""
    async with bench.work(JobType(TYPE, for_ever), concurrency=1):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        done = await bench.final(job_id, timeout=1.0)

    assert done.job.state is JobState.CANCELLED


async def test_a_result_that_comes_despite_a_cancel_counts(bench: Bench) -> None:
    """A thread that did not look at its flag has done its work; the result is not thrown away."""
    asked = threading.Event()

    def handler(payload: Nothing) -> str:
        asked.wait(10)
        return "done"

    async with bench.work(JobType(TYPE, handler)):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        asked.set()
        done = await bench.final(job_id)

    assert done.job.state is JobState.COMPLETED


async def test_no_more_run_at_once_than_there_are_slots(bench: Bench) -> None:
    """The worker's slots and a type's own limit both hold."""
    now, most = {"a": 0, "b": 0}, {"a": 0, "b": 0, "both": 0}
    full = asyncio.Event()

    def handler(name: str) -> JobType:
        async def count(payload: Nothing) -> None:
            now[name] += 1
            most[name] = max(most[name], now[name])
            most["both"] = max(most["both"], sum(now.values()))
            if sum(now.values()) >= 5:
                full.set()
            await full.wait()
            await asyncio.sleep(0.01)
            now[name] -= 1

        return JobType(f"test.{name}", count, concurrency=2 if name == "a" else None)

    async with bench.work(handler("a"), handler("b"), concurrency=5):
        jobs = [await bench.submit(job_type=f"test.{name}") for name in "ab" * 20]
        for job_id in jobs:
            await bench.final(job_id)

    assert most == {"a": 2, "b": most["b"], "both": 5}


async def test_at_the_end_of_the_grace_jobs_go_back_uncharged(bench: Bench) -> None:
    """A deploy costs no attempt; a job that may begin only once fails as interrupted."""
    async with bench.work(JobType(TYPE, for_ever)):
        back = await bench.submit(max_attempts=3)
        once = await bench.submit(max_attempts=1)
        await bench.until(once, lambda job: job.state is JobState.IN_PROGRESS)

    released, interrupted = await bench.job(back), await bench.job(once)
    assert (released.state, released.attempt) == (JobState.PENDING, 0)
    assert (interrupted.state, interrupted.reason) == (JobState.FAILED, Reason.INTERRUPTED)


async def test_jobs_that_end_within_the_grace_complete(bench: Bench) -> None:
    """A stopping worker claims nothing more and finishes what it has."""
    go_on = asyncio.Event()

    async def handler(payload: Nothing) -> None:
        await go_on.wait()

    async with bench.work(JobType(TYPE, handler), grace=10, concurrency=1) as worker:
        running = await bench.submit()
        await bench.until(running, lambda job: job.state is JobState.IN_PROGRESS)
        worker.stop()
        waiting = await bench.submit()
        go_on.set()

    assert (await bench.job(running)).state is JobState.COMPLETED
    assert (await bench.job(waiting)).state is JobState.PENDING


async def test_who_is_in_a_hurry_ends_the_grace(bench: Bench) -> None:
    """To be told to stop again does not, however (the context ends with one more stop)."""
    async with bench.work(JobType(TYPE, for_ever), grace=3600) as worker:
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        worker.stop()
        worker.stop()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        worker.hurry()

    assert (await bench.job(job_id)).state is JobState.PENDING


async def test_a_thread_that_will_not_end_is_given_up(bench: Bench) -> None:
    """The worker ends without it, its job goes back, and the process is told to end around it."""
    release = threading.Event()

    def stubborn(payload: Nothing) -> None:
        release.wait(20)

    async with bench.work(JobType(TYPE, stubborn)) as worker:
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)

    assert (await bench.job(job_id)).state is JobState.PENDING
    assert worker.has_stuck_threads
    release.set()


async def test_a_drain_from_afar_ends_the_worker(bench: Bench) -> None:
    """It takes nothing more and leaves."""
    async with bench.work(JobType(TYPE, quick)) as worker:
        (info,) = await wait_until_async(bench.store.workers.list)
        await bench.store.workers.drain(info.worker_id)
        (gone,) = await wait_until_async(bench.store.workers.gone)

    assert (gone.worker_id, gone.status) == (info.worker_id, "left")
    assert not worker.has_stuck_threads


LATE = """
import asyncio
from pydantic import BaseModel
from emp_worker import JobContext, JobType, hookimpl

class Nothing(BaseModel):
    pass

async def handler(payload: Nothing, job: JobContext) -> str:
    if job.attempt == 1:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"  # a handler that finishes all the same
    return job.worker_id

@hookimpl
def emp_job_types():
    return [JobType("test.work", handler)]
"""


async def test_a_worker_whose_lease_was_taken_goes_on_under_a_new_id(bench: Bench, install_plugin) -> None:
    """Its jobs run elsewhere, its late results change nothing, and it serves on."""
    install_plugin("emp-test-late", LATE)
    job_type = load_plugins(only=("emp-test-late",)).types[TYPE].job_type

    async with bench.work(job_type, plugins=("emp-test-late",)):
        job_id = await bench.submit()
        await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
        (first,) = await bench.store.workers.list()
        await bench.store.workers.leave(first.worker_id, "taken for the test")
        await bench.store.jobs.recover()
        done = await bench.final(job_id)

    reported = [report["worker_id"] for report in bench.reports if "worker_id" in report]
    assert [first.worker_id, json.loads(done.result or b"")] == reported
    assert len(set(reported)) == 2


async def test_a_job_runs_when_it_is_due(bench: Bench) -> None:
    """An idle worker does not oversleep: it is woken long before its longest wait."""
    async with bench.work(JobType(TYPE, quick)):
        await bench.final(await bench.submit())
        done = await bench.final(await bench.submit(delay=timedelta(seconds=0.5)), timeout=2.5)

    assert done.job.scheduled_at is not None
    assert done.job.started_at is not None
    assert done.job.started_at >= done.job.scheduled_at


async def test_a_paused_type_waits_and_a_resumed_one_runs_at_once(bench: Bench) -> None:
    """Resume rings."""
    async with bench.work(JobType(TYPE, quick), JobType("test.other", quick)):
        await bench.store.types.pause(TYPE)
        job_id = await bench.submit()
        await bench.final(await bench.submit(job_type="test.other"))
        paused = await bench.job(job_id)
        await bench.store.types.resume(TYPE)
        done = await bench.final(job_id, timeout=2.0)

    assert (paused.state, done.job.state) == (JobState.PENDING, JobState.COMPLETED)


async def test_a_lifespan_is_entered_once_and_left_at_the_end(bench: Bench) -> None:
    """The second job does not pay for it."""
    events = []

    @contextmanager
    def model() -> Iterator[str]:
        events.append("loaded")
        yield "a model"
        events.append("freed")

    async def handler(payload: Nothing, job: JobContext) -> str:
        return str(job.resources)

    async with bench.work(JobType(TYPE, handler, lifespan=model)):
        results = [(await bench.final(await bench.submit())).result for _ in range(2)]

    assert results == [b'"a model"', b'"a model"']
    assert events == ["loaded", "freed"]


async def test_plugins_hear_what_happens(bench: Bench) -> None:
    """Hooks wrap the handler and observe the worker."""
    heard: list[str] = []

    class Hooks:
        @hookimpl
        @contextmanager
        def emp_around_job(self, job: JobContext) -> Iterator[None]:
            heard.append("before")
            yield
            heard.append("after")

        @hookimpl
        def emp_job_finished(self, job: JobContext, outcome: Outcome) -> None:
            heard.append(type(outcome).__name__)

        @hookimpl
        def emp_worker_started(self, worker: WorkerInfo) -> None:
            heard.append("started")

        @hookimpl
        def emp_worker_stopping(self, worker: WorkerInfo) -> None:
            heard.append("stopping")

    async with bench.work(JobType(TYPE, quick), hooks=Hooks()):
        await bench.final(await bench.submit())

    assert heard == ["started", "before", "after", "Completed", "stopping"]


async def test_a_worker_announces_its_types(bench: Bench) -> None:
    """The server learns schemas from the store; they stay when the worker leaves."""
    async with bench.work(JobType(TYPE, shout, timeout=5)):
        await wait_until_async(bench.store.workers.list)

    (known,) = await bench.store.types.announced()
    assert (known.job_type, known.distribution, known.options["timeout"]) == (TYPE, "test", 5.0)
    assert known.payload_schema is not None
    assert known.payload_schema["required"] == ["text"]


async def test_progress_is_coalesced(bench: Bench) -> None:
    """A handler that reports a thousand times a second costs about ten messages a second."""

    async def chatty(payload: Nothing, job: JobContext) -> float:
        began = asyncio.get_running_loop().time()
        for n in range(1000):
            job.progress(n / 1000)
            await asyncio.sleep(0.0005)
        return asyncio.get_running_loop().time() - began

    async with bench.store.feed.subscribe() as events:
        await anext(events)
        done = await bench.run_one(JobType(TYPE, chatty))
        seen = []
        while not seen or seen[-1] != "completed":
            event = await anext(events)
            if getattr(event, "job_id", None) == done.job.job_id:
                seen.append(getattr(event, "status", ""))

    seconds = json.loads(done.result or b"")
    assert 2 < seen.count("in_progress") < 20 + 15 * seconds


async def test_a_worker_waits_for_a_store_that_is_away_and_keeps_its_outcomes(namespace: str) -> None:
    """Started without a store it waits; if the store dies under running jobs, their outcomes are written later."""
    finish = asyncio.Event()

    async def handler(payload: Nothing) -> str:
        await finish.wait()
        return "kept"

    with EmbeddedStore(port=0) as server:
        async with open_store(server.url, namespace) as store:
            bench = Bench(store, server.url, namespace)
            server.kill()
            async with bench.work(JobType(TYPE, handler)):
                await asyncio.to_thread(server.start)
                job_id = await bench.submit()
                await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS)
                server.kill()
                finish.set()
                await asyncio.sleep(0.3)  # the flusher meets the store's absence
                await asyncio.to_thread(server.start)
                done = await bench.final(job_id)

    assert (done.result, done.job.attempt) == (b'"kept"', 1)


async def test_a_worker_ends_although_the_store_is_away(namespace: str) -> None:
    """Outcomes that cannot be written hold the end up for the grace and no longer."""
    entered = asyncio.Event()

    async def handler(payload: Nothing) -> None:
        entered.set()
        await asyncio.Event().wait()

    with EmbeddedStore(port=0) as server:
        async with open_store(server.url, namespace) as store:
            bench = Bench(store, server.url, namespace)
            async with bench.work(JobType(TYPE, handler), grace=0.1):
                await bench.submit()
                await entered.wait()
                server.kill()


async def test_the_payloads_of_held_jobs_are_bounded_and_a_larger_one_runs_all_the_same(bench: Bench) -> None:
    """At the bound nothing is claimed until a job has ended; the last one claimed may exceed it."""
    sizes = [40, 40, 40, 40, 40, 40, 500, 40, 40]
    jobs = [await bench.submit(payload=b'{"x": "' + b"x" * (size - 9) + b'"}') for size in sizes]
    held, most_held, go_on = 0, 0, asyncio.Semaphore(0)

    async def holds(payload: Nothing) -> None:
        nonlocal held, most_held
        held += 1
        most_held = max(most_held, held)
        await go_on.acquire()
        held -= 1

    async with bench.work(JobType(TYPE, holds), max_held_bytes=100):
        await bench.until(jobs[2], lambda job: job.state is JobState.IN_PROGRESS)
        waiting = [(await bench.job(each)).state for each in jobs[3:]]
        for _ in jobs:
            go_on.release()
        ended = [await bench.final(each) for each in jobs]

    assert set(waiting) == {JobState.PENDING}
    assert most_held == 3
    assert {each.job.state for each in ended} == {JobState.COMPLETED}
