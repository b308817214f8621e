"""The doorbell: whoever waits is woken by work, by nothing else, and one job wakes one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import fakeredis
import pytest

from emp_core.ids import WorkerId, new_job_id, new_worker_id
from emp_core.store import Ring
from support.waiting import wait_until_async

from .conftest import OUTCOMES, TYPE, Engine

pytestmark = pytest.mark.anyio

WORK = Ring(TYPE)
OWN = Ring(None)


async def rung(engine: Engine, job_type: str = TYPE) -> bool:
    """Tell whether a type's bell rings, and silence it."""
    return bool(await engine.client.delete(engine.keys("wake", job_type)))


async def wait(engine: Engine, worker: WorkerId | None = None, longest: float = 0.01) -> Ring | None:
    """Wait as an idle worker does."""
    return await engine.store.doorbell.wait(worker or new_worker_id(), [TYPE], longest)


@pytest.mark.every_engine
async def test_a_ring_before_the_wait_is_not_lost(engine: Engine) -> None:
    """A job that came between the claim and the wait ends the wait at once."""
    await engine.submit()

    assert await wait(engine) == WORK
    assert await wait(engine) is None


@pytest.mark.every_engine
async def test_a_ring_during_the_wait_ends_it(engine: Engine) -> None:
    """An idle worker sleeps in one call until there is work."""
    waiting = asyncio.create_task(wait(engine, longest=5))
    await wait_until_async(lambda: is_waited_for(engine))

    await engine.submit()

    with anyio.fail_after(2):
        assert await waiting == WORK


async def test_one_job_wakes_one_of_two_waiters(engine: Engine) -> None:
    """A thousand idle workers do not stampede."""
    other = engine.store.doorbell
    waiting = {asyncio.create_task(other.wait(new_worker_id(), [TYPE], 0.6)) for _ in range(2)}
    await asyncio.sleep(0)
    await engine.submit()

    rings = await asyncio.gather(*waiting)

    assert sorted(map(str, rings)) == sorted(map(str, [WORK, None]))


async def test_a_bell_holds_one_token(engine: Engine) -> None:
    """A thousand jobs ring once; the claim that leaves some rings for the next."""
    await engine.submit(*(new_job_id() for _ in range(300)))

    assert await engine.client.llen(engine.keys("wake", TYPE)) == 1


async def test_a_claim_that_leaves_work_behind_rings_again(engine: Engine) -> None:
    """So the next idle worker comes for the rest."""
    await engine.submit(new_job_id(), new_job_id())
    worker = await engine.worker()
    await rung(engine)

    await engine.claim(worker, 1)
    first = await rung(engine)
    await engine.claim(worker, 1)

    assert (first, await rung(engine)) == (True, False)


async def test_a_claim_that_took_nothing_never_rings(engine: Engine) -> None:
    """Else two workers without room would wake each other for ever."""
    await engine.submit()
    worker = await engine.worker()
    await rung(engine)

    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 0}, 5)

    assert (claim.jobs, await rung(engine)) == ((), False)


@pytest.mark.every_engine
async def test_who_has_no_room_gives_the_ring_back(engine: Engine) -> None:
    """There is one to give only while jobs wait."""
    job_id = await engine.submit()
    await rung(engine)

    await engine.store.jobs.ring(TYPE)
    first = await rung(engine)
    await engine.ask_cancel(job_id)
    await engine.store.jobs.ring(TYPE)

    assert (first, await rung(engine)) == (True, False)


@pytest.mark.every_engine
async def test_a_paused_type_neither_rings_nor_is_rung(engine: Engine) -> None:
    """A paused type with jobs costs an idle worker no more than an empty one."""
    await engine.submit()
    worker = await engine.worker()
    await engine.store.types.pause(TYPE)
    at_pause = await rung(engine)

    await engine.submit()
    at_submit = await rung(engine)
    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 5}, 5)
    at_claim = await rung(engine)
    await engine.store.jobs.ring(TYPE)

    assert (at_pause, at_submit, at_claim, await rung(engine)) == (False, False, False, False)
    assert (claim.jobs, claim.more) == ((), False)


async def test_resume_rings_if_there_is_work(engine: Engine) -> None:
    """And only then."""
    await engine.store.types.pause(TYPE)
    await engine.store.types.resume(TYPE)
    empty = await rung(engine)
    await engine.store.types.pause(TYPE)
    await engine.submit()

    await engine.store.types.resume(TYPE)

    assert (empty, await rung(engine)) == (False, True)


async def test_a_cancel_rings_the_holders_own_bell(engine: Engine) -> None:
    """A worker with all slots taken hears it all the same."""
    worker, job = await engine.claimed()

    await engine.ask_cancel(job.job_id)

    assert await engine.store.doorbell.wait(worker, [], 0.01) == OWN


async def test_a_drain_rings_the_workers_own_bell(engine: Engine) -> None:
    """An idle worker leaves at once and not at its next renewal."""
    worker = await engine.worker()

    await engine.store.workers.drain(worker)

    assert await wait(engine, worker) == OWN


async def test_a_workers_own_bell_comes_before_work(engine: Engine) -> None:
    """A draining worker takes no ring from another."""
    worker = await engine.worker()
    await engine.submit()
    await engine.store.workers.drain(worker)

    assert await wait(engine, worker) == OWN
    assert await rung(engine)


async def test_no_other_worker_hears_it(engine: Engine) -> None:
    """A worker's own bell is its own."""
    worker = await engine.worker()
    await engine.store.workers.drain(worker)

    assert await wait(engine, await engine.worker()) is None


async def submit(engine: Engine) -> None:
    await engine.submit()


async def promote(engine: Engine) -> None:
    await engine.submit(delay=timedelta(seconds=1))
    assert not await rung(engine)
    await engine.pass_time(seconds=2)
    await engine.store.jobs.promote()


async def release(engine: Engine) -> None:
    worker, job = await engine.claimed()
    await rung(engine)
    await engine.store.jobs.settle(worker, [OUTCOMES["release"](job.job_id, job.token)])


async def recover(engine: Engine) -> None:
    worker, _ = await engine.claimed()
    await rung(engine)
    await engine.store.workers.leave(worker, "killed")
    await engine.store.jobs.recover()


async def revive(engine: Engine) -> None:
    job_id = await engine.submit()
    await engine.ask_cancel(job_id)
    await rung(engine)
    await engine.store.jobs.revive([job_id])


@pytest.mark.parametrize("verb", [submit, promote, release, recover, revive], ids=lambda verb: verb.__name__)
async def test_every_verb_that_makes_a_job_pending_rings(
    engine: Engine, verb: Callable[[Engine], Awaitable[None]]
) -> None:
    """A job waits for nobody who sleeps."""
    await verb(engine)

    assert await rung(engine)


async def test_a_scheduled_job_does_not_ring(engine: Engine) -> None:
    """There is nothing to claim yet."""
    await engine.submit(delay=timedelta(seconds=1))
    worker, job = await engine.claimed(job_type="test.other")

    await engine.write("retry", worker, job.job_id, job.token)

    assert not await rung(engine)


async def is_waited_for(engine: Engine) -> bool:
    """Tell whether somebody blocks on the store; fakeredis cannot say, so there a moment must do."""
    if isinstance(engine.client, fakeredis.FakeAsyncRedis):
        await anyio.sleep(0.05)
        return True
    return bool((await engine.client.info("clients"))["blocked_clients"])
