"""The claimer: when what it has claimed may start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from emp_core.ids import new_worker_id
from emp_core.store import open_store
from emp_worker.claimer import Claimer
from emp_worker.flusher import Flusher
from emp_worker.session import running
from support.bench import TYPE, Bench
from support.stores import StartedStore, started_store
from support.taken import Taken

pytestmark = pytest.mark.anyio


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StartedStore]:
    """Run a store that the test may freeze."""
    with started_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
async def bench(own: StartedStore) -> AsyncIterator[Bench]:
    """Open it."""
    async with open_store(own.url, "x") as store:
        yield Bench(store, own.url, "x")


@pytest.fixture
async def taken() -> Taken:
    """Give somebody with four slots who takes what is claimed."""
    return Taken(slots=4)


@pytest.fixture
async def claimer(bench: Bench, taken: Taken, monkeypatch: pytest.MonkeyPatch) -> Claimer:
    """Give a claimer that starts nothing merely because it is late."""
    monkeypatch.setattr("emp_worker.claimer._START_WITHIN", 60)
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    flusher = Flusher(bench.store, worker)
    return Claimer(bench.store, worker, taken.slots, flusher, taken, {}, lambda: None, lambda: True)


async def test_what_is_claimed_starts_when_the_next_claim_is_on_its_way(
    own: StartedStore, bench: Bench, claimer: Claimer, taken: Taken
) -> None:
    """The store works on that claim then, and need not have answered it."""
    for _ in range(6):
        await bench.submit()

    await claimer.step()
    of_the_first = (len(taken.jobs), taken.started)
    with own.frozen():
        second = asyncio.create_task(claimer.step())
        await asyncio.wait_for(taken.has_started.wait(), 10)
        while_asked = (len(taken.jobs), taken.started)
    await second

    assert of_the_first == (2, 0)
    assert while_asked == (2, 2)
    assert (len(taken.jobs), taken.started) == (4, 2)


async def test_what_is_claimed_last_starts_at_once(bench: Bench, claimer: Claimer, taken: Taken) -> None:
    """No claim follows that would be sent first."""
    await bench.submit()

    async with running(claimer):
        await asyncio.wait_for(taken.has_started.wait(), 10)

    assert (len(taken.jobs), taken.started) == (1, 1)


async def test_a_store_that_is_away_holds_up_no_start(
    own: StartedStore, bench: Bench, claimer: Claimer, taken: Taken
) -> None:
    """The next claim fails, and what was claimed before goes on."""
    for _ in range(3):
        await bench.submit()
    await claimer.step()
    own.process.kill()

    async with running(claimer):
        await asyncio.wait_for(taken.has_started.wait(), 15)

    assert (len(taken.jobs), taken.started) == (2, 2)


async def test_a_claim_that_cannot_be_sent_holds_up_no_start_for_long(
    own: StartedStore, bench: Bench, claimer: Claimer, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim waits for the one before, whose answer is not read any more: so long nobody else waits."""
    monkeypatch.setattr("emp_worker.claimer._START_WITHIN", 0.01)
    for _ in range(3):
        await bench.submit()
    await claimer.step()
    with own.frozen():
        gone = asyncio.create_task(bench.store.jobs.claim(new_worker_id(), 1, {TYPE: 1}, 1))
        await asyncio.sleep(0.1)  # it is sent, and its answer waited for
        second = asyncio.create_task(claimer.step())
        await asyncio.wait_for(taken.has_started.wait(), 1)
    await asyncio.gather(gone, second)

    assert (len(taken.jobs), taken.started) == (3, 2)
