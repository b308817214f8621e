"""What a worker does when its store does not answer: nothing is lost, charged or left behind for it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from emp_core.errors import StoreUnavailable
from emp_core.ids import new_worker_id
from emp_core.jobs import JobState
from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore
from emp_core.store.keys import Keys
from emp_core.store.scripts import Scripts
from emp_worker import JobType
from emp_worker.claimer import Claimer
from emp_worker.flusher import Flusher
from emp_worker.heartbeat import Heartbeat
from emp_worker.session import running
from support.bench import TYPE, Bench, Nothing
from support.stores import StartedStore, started_store
from support.swallower import swallowing
from support.taken import Taken
from support.waiting import wait_until, wait_until_async

from .test_heartbeat import Heard

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SCRIPTS = Scripts()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartedStore]:
    """Run a store that the test may freeze; calls to it are given up soon."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.3)
    with started_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
async def bench(own: StartedStore) -> AsyncIterator[Bench]:
    """Open it, its scripts loaded."""
    async with open_store(own.url, "x") as store:
        await store.jobs.sweep()
        yield Bench(store, own.url, "x")


async def nothing(payload: Nothing) -> None:
    """Do nothing."""


async def answers_again(bench: Bench) -> bool:
    """Ask whether the store answers."""
    try:
        await bench.store.ping()
    except StoreUnavailable:
        return False
    return True


async def test_a_claim_whose_answer_is_lost_at_a_stop_costs_its_jobs_no_attempt(
    own: StartedStore, bench: Bench
) -> None:
    """The job goes back as if nobody had taken it."""
    async with swallowing(own.port, SCRIPTS["claim"].sha) as swallower:
        behind = Bench(bench.store, f"redis://127.0.0.1:{swallower.port}", bench.namespace)
        async with behind.work(JobType(TYPE, nothing), grace=10) as worker:
            job_id = await bench.submit()
            await bench.until(job_id, lambda job: job.state is JobState.CLAIMED)
            worker.stop()
            await asyncio.sleep(0.1)  # the claimer ends without an answer
            swallower.wanted = None

    details = await bench.store.views.details(job_id)
    assert details is not None
    assert (details.job.state, details.job.attempt) == (JobState.PENDING, 0)
    assert [attempt.outcome for attempt in details.attempts] == ["released"]


async def test_a_registration_that_is_repeated_leaves_no_second_lease(own: StartedStore, bench: Bench) -> None:
    """Without an answer the same id is asked for again."""
    heard = Heard()
    async with swallowing(own.port, SCRIPTS["register"].sha) as swallower:
        heartbeat = Heartbeat(f"redis://127.0.0.1:{swallower.port}", bench.namespace, {}, [], heard)
        heartbeat.start()
        await wait_until_async(bench.store.workers.list)
        swallower.wanted = None

        await asyncio.to_thread(wait_until, lambda: heard.given)
        workers = await bench.store.workers.list()
        await heartbeat.stop("done")

    assert swallower.swallowed > 0
    assert [worker.worker_id for worker in workers] == [lease.worker_id for lease in heard.given]


async def test_a_worker_that_stops_before_its_registration_is_answered_leaves_no_lease(
    own: StartedStore, bench: Bench
) -> None:
    """It leaves under the id that it asked for."""
    async with swallowing(own.port, SCRIPTS["register"].sha) as swallower:
        heartbeat = Heartbeat(f"redis://127.0.0.1:{swallower.port}", bench.namespace, {}, [], Heard())
        heartbeat.start()
        await wait_until_async(bench.store.workers.list)
        await heartbeat.stop("done")

    assert await bench.store.workers.list() == []
    assert [gone.reason for gone in await bench.store.workers.gone()] == ["done"]


async def test_a_worker_that_stops_gives_back_the_rings_that_it_swallowed(own: StartedStore, bench: Bench) -> None:
    """The next worker is woken at once, and not after its longest wait."""
    worker, keys = new_worker_id(), Keys("x", "00")
    await bench.store.workers.register(worker, {})
    begun = Taken()
    flusher = Flusher(bench.store, worker)
    claimer = Claimer(bench.store, worker, begun.slots, flusher, begun, {}, lambda: None, lambda: True)
    async with running(claimer):
        await asyncio.to_thread(wait_until, lambda: own.client.info("clients")["blocked_clients"] == 1)
    await bench.submit()
    own.client.delete(keys("wake", TYPE))  # as if the last pop had taken it

    await claimer.hand_back()

    assert own.client.llen(keys("wake", TYPE)) == 1
    assert begun.jobs == []


async def test_a_store_that_comes_back_empty_is_said_and_worked_on_under_a_new_id(
    tmp_path: Path, namespace: str
) -> None:
    """What it held is gone; the worker notices by the epoch, registers again, and serves what is submitted now."""
    with EmbeddedStore(tmp_path / "data", port=0) as server, structlog.testing.capture_logs() as logs:
        async with open_store(server.url, namespace) as store:
            bench = Bench(store, server.url, namespace)
            async with bench.work(JobType(TYPE, nothing)):
                await bench.final(await bench.submit())
                before = [worker.worker_id for worker in await store.workers.list()]
                server.kill()
                shutil.rmtree(server.data_dir / "appendonlydir")
                await asyncio.to_thread(server.start)
                await wait_until_async(lambda: answers_again(bench))
                after = [worker.worker_id for worker in await wait_until_async(store.workers.list, 15)]
                done = await bench.final(await bench.submit())

    assert done.job.state is JobState.COMPLETED
    assert len(before) == len(after) == 1
    assert before != after
    assert [log for log in logs if log["event"] == "store_came_back_empty"]
