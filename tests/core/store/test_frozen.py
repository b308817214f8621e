"""A store that does not answer: everybody hears so in time, and is told whether the call may have run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from emp_core.errors import StoreFull, StoreUnavailable
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Completed, Submission
from emp_core.store import ClaimWord, Reply, Store, SubmitWord, open_store
from support.stores import StartedStore, started_store

pytestmark = [pytest.mark.anyio, pytest.mark.process]

TYPE = "test.work"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StartedStore]:
    """Run a store that the test may freeze."""
    with started_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
async def store(own: StartedStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """Open it with a short time limit, its connection made and its scripts loaded."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.5)
    async with open_store(own.url, "x") as store:
        await store.jobs.submit([a_job()])
        yield store


def a_job(payload: bytes = b"{}") -> Submission:
    return Submission(new_job_id(), TYPE, payload)


async def test_two_thousand_calls_to_a_frozen_store_all_hear_within_one_time_limit(
    own: StartedStore, store: Store
) -> None:
    """None stands in line for the time limits of the others; only those that were sent may have run."""
    with own.frozen():
        started = time.monotonic()
        errors = await asyncio.gather(*(store.views.get([new_job_id()]) for _ in range(2000)), return_exceptions=True)
        took = time.monotonic() - started

    may_have_run = [error.may_have_run for error in errors if isinstance(error, StoreUnavailable)]
    assert took < 2.5  # ten time limits would be 5 s
    assert (may_have_run.count(True), may_have_run.count(False)) == (200, 1800)


async def test_submissions_that_wait_behind_a_lost_one_hear_that_they_were_not_sent(
    own: StartedStore, store: Store
) -> None:
    """They may be sent again without a thought, even without a key."""
    with own.frozen():
        first = asyncio.create_task(store.jobs.submit([a_job()]))
        await asyncio.sleep(0.2)
        later = [asyncio.create_task(store.jobs.submit([a_job()])) for _ in range(50)]
        errors = await asyncio.gather(first, *later, return_exceptions=True)

    assert [isinstance(error, StoreUnavailable) and error.may_have_run for error in errors] == [True] + [False] * 50


async def test_what_its_caller_gave_up_is_not_sent_any_more(own: StartedStore, store: Store) -> None:
    """What a client that has gone asked for is not done a minute later."""
    with own.frozen():
        first = asyncio.create_task(store.jobs.submit([a_job()]))
        await asyncio.sleep(0.05)
        gone = [asyncio.create_task(store.jobs.submit([a_job()])), asyncio.create_task(store.types.pause(TYPE))]
        await asyncio.sleep(0.05)
        for call in gone:
            call.cancel()
        await asyncio.gather(*gone, return_exceptions=True)

    await first

    assert await store.types.paused() == set()
    assert (await store.views.stats()).counts[TYPE]["submitted"] == 2


async def test_no_more_waits_for_a_frozen_store_than_there_is_room_for(
    own: StartedStore, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the bound hears at once that it was not sent."""
    monkeypatch.setattr("emp_core.store.batching.WAITING_BYTES", 10_000)
    with own.frozen():
        first = asyncio.create_task(store.ping())
        await asyncio.sleep(0.05)
        small = [asyncio.create_task(store.jobs.submit([a_job(b'"' + b"x" * 3000 + b'"')])) for _ in range(2)]
        await asyncio.sleep(0)

        with pytest.raises(StoreUnavailable, match="too many submissions") as raised:
            await store.jobs.submit([a_job(b'"' + b"x" * 8000 + b'"')])

        await asyncio.gather(first, *small, return_exceptions=True)
    assert not raised.value.may_have_run


async def test_reads_too_are_bounded(own: StartedStore, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number."""
    monkeypatch.setattr("emp_core.store.batching.WAITING_CALLS", 10)
    with own.frozen():
        first = asyncio.create_task(store.ping())
        await asyncio.sleep(0.05)
        reads = [asyncio.create_task(store.ping()) for _ in range(30)]
        await asyncio.sleep(0.05)
        at_once = [read for read in reads if read.done()]

        await asyncio.gather(first, *reads, return_exceptions=True)

    assert len(at_once) == 20
    assert "too many calls" in str(at_once[0].exception())


async def test_a_slow_store_that_answers_is_waited_for(own: StartedStore, store: Store) -> None:
    """Half a time limit of silence costs nobody anything."""
    with own.frozen():
        calls = [asyncio.create_task(store.jobs.submit([a_job()])) for _ in range(20)]
        await asyncio.sleep(0.2)

    answers = await asyncio.gather(*calls)

    assert {answer.word for (answer,) in answers} == {SubmitWord.OK}


async def test_of_a_batch_that_was_stored_in_part_nobody_says_that_nothing_was(own: StartedStore, store: Store) -> None:
    """Two hundred items go out at once; the store is full when the others come."""
    first, others = [a_job() for _ in range(200)], [a_job(b'"' + b"x" * 3_000_000 + b'"') for _ in range(4)]
    used = own.client.info("memory")["used_memory"]
    own.client.config_set("maxmemory", used + 5_000_000)

    with pytest.raises(StoreFull) as raised:
        await store.jobs.submit([*first, *others])

    assert (await store.views.stats()).counts[TYPE]["submitted"] > 1
    assert raised.value.may_have_run


async def test_a_claim_does_not_wait_for_outcomes_nor_they_for_it(own: StartedStore) -> None:
    """A worker keeps the store busy: it takes outcomes while the worker reads what it has claimed.

    Both are sent while the store answers neither, and who claims hears when the store has got it.
    """
    worker, job = new_worker_id(), new_job_id()
    async with open_store(own.url, "x") as store:
        await store.workers.register(worker, {})
        await asyncio.gather(store.jobs.claim(worker, 1, {TYPE: 1}, 1), store.ping())  # both have their connections
        sent = asyncio.Event()
        with own.frozen():
            outcome = asyncio.create_task(store.jobs.settle(worker, [Completed(job, "1-a", b"1")]))
            claim = asyncio.create_task(store.jobs.claim(worker, 2, {TYPE: 1}, 1, sent=sent.set))
            await asyncio.wait_for(sent.wait(), 1)
            both_wait = not outcome.done() and not claim.done()

        assert both_wait
        assert (await claim).word is ClaimWord.OK
        assert await outcome == [Reply.NOT_FOUND]
