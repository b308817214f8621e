"""job.save_handle and job.handle: what one attempt keeps for the next, in every mode of isolation."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest

from emp_core.ids import WorkerId, new_worker_id
from emp_core.jobs import HANDLE_LIMIT, Backoff, ClaimedJob, Completed, JobState, Released
from emp_core.store import open_store
from emp_core.store.connection import connect
from emp_core.store.embedded import EmbeddedStore
from emp_core.store.keys import Keys
from emp_worker import JobCancelled, JobContext, JobType
from emp_worker.failures import HandleNotSaved
from emp_worker.flusher import Flusher
from emp_worker.plugins import load_plugins
from emp_worker.testing import FakeContext, run_job
from support.attempts import KeptReports, a_context
from support.bench import TYPE, Bench, Nothing

pytestmark = pytest.mark.anyio

QUICK = Backoff(timedelta(milliseconds=10), 1.0, timedelta(milliseconds=10), 0.0)
PLUGIN = """
from pydantic import BaseModel
from emp_worker import Backoff, JobContext, JobType, hookimpl
from datetime import timedelta

QUICK = Backoff(timedelta(milliseconds=10), 1.0, timedelta(milliseconds=10), 0.0)

class Nothing(BaseModel):
    pass

def in_child(payload: Nothing, job: JobContext) -> dict:
    if job.attempt == 1:
        job.save_handle({"id": 7})
        raise ValueError("once more")
    return job.handle

async def async_in_child(payload: Nothing, job: JobContext) -> dict:
    if job.attempt == 1:
        await job.save_handle({"id": 8})
        raise ValueError("once more")
    return job.handle

@hookimpl
def emp_job_types():
    for handler in (in_child, async_in_child):
        yield JobType("test." + handler.__name__, handler, isolation="process", backoff=QUICK)
"""


async def test_an_async_handler_goes_on_when_its_handle_is_stored(bench: Bench) -> None:
    """After the await the store has it, and the next attempt finds it."""
    found = []

    async def handler(payload: Nothing, job: JobContext) -> None:
        found.append(job.handle)
        if job.attempt == 1:
            await job.save_handle({"id": "a-1"})
            found.append(job.handle)
            raise ValueError("once more")

    done = await bench.run_one(JobType(TYPE, handler, backoff=QUICK))

    assert done.job.state is JobState.COMPLETED
    assert found == [None, {"id": "a-1"}, {"id": "a-1"}]


async def test_a_sync_handlers_call_returns_when_its_handle_is_stored(bench: Bench) -> None:
    """The call blocks the thread, not the loop."""
    found = []

    def handler(payload: Nothing, job: JobContext) -> None:
        found.append(job.handle)
        if job.attempt == 1:
            job.save_handle([1, 2])
            raise ValueError("once more")

    done = await bench.run_one(JobType(TYPE, handler, backoff=QUICK))

    assert done.job.state is JobState.COMPLETED
    assert found == [None, [1, 2]]


@pytest.mark.parametrize(("name", "handle"), [("in_child", b'{"id":7}'), ("async_in_child", b'{"id":8}')])
async def test_it_works_from_a_child_process(bench: Bench, install_plugin, name: str, handle: bytes) -> None:
    """The child is told when its handle is stored, and its next attempt, in whichever child, finds it."""
    install_plugin("emp-test-handles", PLUGIN)
    types = {name: loaded.job_type for name, loaded in load_plugins(only=("emp-test-handles",)).types.items()}

    async with bench.work(types[f"test.{name}"], plugins=("emp-test-handles",)):
        done = await bench.final(await bench.submit(job_type=f"test.{name}"), timeout=30.0)

    assert (done.job.state, done.result) == (JobState.COMPLETED, handle)


async def test_a_handle_waits_until_the_store_is_back(namespace: str) -> None:
    """The handler waits with it, and then goes on as if nothing had been."""
    entered, away = asyncio.Event(), asyncio.Event()

    async def handler(payload: Nothing, job: JobContext) -> Any:
        entered.set()
        await away.wait()
        await job.save_handle("kept")
        return job.handle

    with EmbeddedStore(port=0) as server:
        async with open_store(server.url, namespace) as store:
            bench = Bench(store, server.url, namespace)
            async with bench.work(JobType(TYPE, handler)):
                job_id = await bench.submit()
                await asyncio.wait_for(entered.wait(), 10)
                server.kill()
                away.set()
                await asyncio.to_thread(server.start)
                done = await bench.final(job_id)

    assert (done.result, done.job.attempt) == (b'"kept"', 1)


@pytest.fixture
async def held(bench: Bench) -> tuple[Flusher, WorkerId, list[ClaimedJob]]:
    """Let a worker claim and begin three jobs; give its flusher, its id and the jobs."""
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    for _ in range(3):
        await bench.submit()
    jobs = (await bench.store.jobs.claim(worker, 1, {TYPE: 3}, 3)).jobs
    flusher = Flusher(bench.store, worker)
    for job in jobs:
        flusher.started(job.job_id, job.token)
    return flusher, worker, list(jobs)


async def test_who_lost_the_job_is_told(bench: Bench, held) -> None:
    """The claim is over: nothing is stored, and the handler does not go on as if it were."""
    flusher, worker, (job, *_) = held
    await bench.store.workers.leave(worker, "the test says so")
    await bench.store.jobs.recover()
    stored: Future[None] = Future()

    flusher.save(job.job_id, b"1", stored)
    await flusher.step()

    with pytest.raises(HandleNotSaved, match="taken over"):
        stored.result(0)


async def test_a_damaged_record_costs_its_own_handle_only(bench: Bench, held) -> None:
    """Each handle has an answer of its own, whatever the others' records are."""
    flusher, _, jobs = held
    async with connect(bench.url) as client:
        key = Keys(bench.namespace, "00")("job", jobs[0].job_id)
        await client.delete(key)
        await client.set(key, "no hash")
    futures: list[Future[None]] = [Future() for _ in jobs]

    for job, stored in zip(jobs, futures, strict=True):
        flusher.save(job.job_id, b"1", stored)
    await flusher.step()

    assert isinstance(futures[0].exception(0), HandleNotSaved)
    assert [stored.exception(0) for stored in futures[1:]] == [None, None]


async def test_a_handle_is_written_although_its_handler_waits_no_more(bench: Bench, held) -> None:
    """A handler that is called off while it saves has kept its handle, and its outcome follows it."""
    flusher, worker, (job, *_) = held
    stored: Future[None] = Future()
    flusher.save(job.job_id, b'"begun"', stored)
    stored.cancel()
    flusher.settle(Released(job.job_id, job.token))

    await flusher.step()

    (again,) = (await bench.store.jobs.claim(worker, 2, {TYPE: 1}, 1)).jobs
    assert (again.job_id, again.handle) == (job.job_id, b'"begun"')


async def test_nothing_is_kept_after_the_attempts_end(held) -> None:
    """A thread that a handler has left behind is told so."""
    flusher, _, (job, *_) = held
    flusher.settle(Completed(job.job_id, job.token, b"1"))
    stored: Future[None] = Future()

    flusher.save(job.job_id, b"1", stored)

    with pytest.raises(HandleNotSaved, match="ended"):
        stored.result(0)


@pytest.mark.parametrize(
    ("value", "error"),
    [("x" * HANDLE_LIMIT, ValueError), (float("nan"), ValueError), ("\ud800", ValueError), (object(), TypeError)],
    ids=["too long", "NaN", "lone surrogate", "no JSON"],
)
def test_what_cannot_be_kept_is_refused_at_once(value: object, error: type[Exception]) -> None:
    """The handle that was there stays."""
    job = FakeContext(handle="old")

    with pytest.raises(error):
        job.save_handle(value)

    assert job.handle == "old"


def test_run_job_gives_and_shows_the_handle() -> None:
    """A test says what an attempt before has saved, and sees what the next one would find."""

    async def handler(payload: Nothing, job: JobContext) -> Any:
        was = job.handle
        await job.save_handle({"n": was["n"] + 1})
        return was

    run = run_job(JobType(TYPE, handler), {}, handle={"n": 1})

    assert (run.result, run.handle) == ({"n": 1}, {"n": 2})


def test_a_cleared_handle_is_none() -> None:
    """None takes it away."""
    job = FakeContext(handle="old")

    job.save_handle(None)

    assert job.handle is None


class Silent(KeptReports):
    """A reporter whose store never answers."""

    def save(self, handle: bytes) -> Future[None]:
        super().save(handle)
        return Future()


def test_a_sync_handler_that_is_called_off_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a while, and then stops; what it wanted to keep is on its way all the same."""
    monkeypatch.setattr("emp_worker.context._CALLED_OFF_FOR", 0.5)
    reports = Silent()
    job = a_context(reports)
    job.request_cancel()

    with pytest.raises(JobCancelled, match="before its handle was stored"):
        job.save_handle(1)

    assert (reports.handles, job.handle) == ([b"1"], None)
