"""register, renew, leave, drain: a worker's lease, what it hears with it, and how it ends."""

from __future__ import annotations

import pytest

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import WorkerInfo
from emp_core.store import LeaseWord, LeaveWord

from .conftest import Engine

pytestmark = pytest.mark.anyio

ABOUT = {
    "name": "w1",
    "host": "box",
    "pid": 17,
    "version": "0.1.0",
    "slots": 100,
    "types": {"test.work": "ab12"},
    "plugins": [{"distribution": "emp-plugin-x", "version": "1"}],
}


async def listed(engine: Engine) -> list[WorkerInfo]:
    """Read all workers."""
    return await engine.store.workers.list()


@pytest.mark.every_engine
async def test_a_registered_worker_is_listed_with_what_it_says(engine: Engine) -> None:
    """A monitor sees who is there and what it serves."""
    worker = new_worker_id()

    registered = await engine.store.workers.register(worker, ABOUT)

    (info,) = await listed(engine)
    assert (registered.word, registered.lease.total_seconds()) == (LeaseWord.OK, 15)
    assert (info.worker_id, info.name, info.host, info.pid, info.slots) == (worker, "w1", "box", 17, 100)
    assert (info.types, info.plugins) == ({"test.work": "ab12"}, tuple(ABOUT["plugins"]))
    assert (info.status, info.held) == ("idle", 0)
    assert info == await engine.store.workers.get(worker)


async def test_registering_again_keeps_the_worker_and_its_start(engine: Engine) -> None:
    """A registration whose answer was lost is repeated."""
    worker = new_worker_id()
    await engine.store.workers.register(worker, ABOUT)
    (before,) = await listed(engine)
    await engine.pass_time(seconds=5)

    again = await engine.store.workers.register(worker, ABOUT)

    (after,) = await listed(engine)
    assert again.word is LeaseWord.OK
    assert (after.started_at, after.renewed_at > before.renewed_at) == (before.started_at, True)


@pytest.mark.every_engine
async def test_a_renewal_moves_the_lease_on(engine: Engine) -> None:
    """And tells how late the worker's loop has been."""
    worker = await engine.worker()
    (before,) = await listed(engine)
    await engine.pass_time(seconds=5)

    renewed = await engine.store.workers.renew(worker, 0.25)

    (after,) = await listed(engine)
    assert renewed.word is LeaseWord.OK
    assert 5 <= (after.lease_until - before.lease_until).total_seconds() < 6
    assert after.loop_lag == 0.25


async def test_an_overdue_lease_can_be_renewed_until_somebody_took_it(engine: Engine) -> None:
    """A worker that was cut off for a while and whose jobs nobody took goes on."""
    worker, job = await engine.claimed()
    await engine.pass_time(minutes=1)

    renewed = await engine.store.workers.renew(worker, 0.0)

    assert (renewed.word, renewed.held) == (LeaseWord.OK, 1)
    assert await engine.write("complete", worker, job.job_id, job.token) == "OK"


@pytest.mark.every_engine
async def test_a_renewal_without_a_lease_creates_nothing(engine: Engine) -> None:
    """Only register creates a lease."""
    await engine.worker()
    before = await engine.dump()

    renewed = await engine.store.workers.renew(new_worker_id(), 0.0)

    assert renewed.word is LeaseWord.LOST
    assert await engine.dump() == before


async def test_a_renewal_repeats_what_the_worker_is_asked(engine: Engine) -> None:
    """A cancel request is told with every renewal until the job is settled; the held count lets the worker compare."""
    ids = [new_job_id() for _ in range(3)]
    await engine.submit(*ids)
    worker = await engine.worker()
    jobs = await engine.claim(worker, 3)
    await engine.ask_cancel(ids[0])
    await engine.ask_cancel(ids[1])

    asked = [set((await engine.store.workers.renew(worker, 0.0)).asked) for _ in range(2)]
    await engine.write("cancel", worker, ids[0], jobs[0].token)
    renewed = await engine.store.workers.renew(worker, 0.0)

    assert asked == [set(ids[:2]), set(ids[:2])]
    assert (renewed.asked, renewed.held) == ((ids[1],), 2)


@pytest.mark.every_engine
async def test_a_drain_is_told_at_the_next_renewal(engine: Engine) -> None:
    """And stands in the list; a worker that is not there cannot be drained."""
    worker = await engine.worker()
    before = (await engine.store.workers.renew(worker, 0.0)).draining

    drained = await engine.store.workers.drain(worker)

    assert (before, drained) == (False, True)
    assert (await engine.store.workers.renew(worker, 0.0)).draining
    assert [info.status for info in await listed(engine)] == ["draining"]
    assert await engine.store.workers.drain(new_worker_id()) is False


@pytest.mark.every_engine
async def test_a_worker_with_empty_hands_leaves(engine: Engine) -> None:
    """Nothing of it stays but a line in the list of those gone."""
    worker = new_worker_id()
    await engine.store.workers.register(worker, ABOUT)

    async with engine.hear("workers") as heard:
        word = await engine.store.workers.leave(worker, "stopped")
        said = [message.status for message in await heard.messages()]

    (gone,) = await engine.store.workers.gone()
    assert (word, said) == (LeaveWord.LEFT, ["left"])
    assert (gone.worker_id, gone.status, gone.reason, gone.name) == (worker, "left", "stopped", "w1")
    assert (await listed(engine), await engine.store.workers.get(worker)) == ([], None)
    assert not [key for key in await engine.all_keys() if worker in key]


async def test_leaving_twice_says_that_nobody_is_there(engine: Engine) -> None:
    """The supervisor reports an end that the worker may have reported itself."""
    worker = await engine.worker()

    words = [await engine.store.workers.leave(worker, "stopped") for _ in range(2)]

    assert words == [LeaveWord.LEFT, LeaveWord.NOT_FOUND]
    assert len(await engine.store.workers.gone()) == 1


async def test_a_worker_that_ends_with_jobs_is_lost(engine: Engine) -> None:
    """It is said once, with the first reason, and nothing of it is left after its jobs were taken."""
    worker, _ = await engine.claimed()

    async with engine.hear("workers") as heard:
        words = [await engine.store.workers.leave(worker, reason) for reason in ("killed by SIGKILL", "later")]
        said = [message.status for message in await heard.messages()]
    (seen,) = await listed(engine)
    await engine.sweep()

    (gone,) = await engine.store.workers.gone()
    assert (words, said) == ([LeaveWord.LOST, LeaveWord.LOST], ["lost"])
    assert (seen.status, seen.reason) == ("lost", "killed by SIGKILL")
    assert (gone.status, gone.reason) == ("lost", "killed by SIGKILL")
    assert not [key for key in await engine.all_keys() if worker in key]


async def test_a_busy_worker_names_the_job_that_it_claimed_last(engine: Engine) -> None:
    """With every claim that takes jobs; one that takes nothing publishes nothing."""
    worker = await engine.worker()
    await engine.submit()
    second = await engine.submit()

    async with engine.hear("workers") as heard:
        await engine.claim(worker, 2)
        third = await engine.submit()
        await engine.claim(worker)
        await engine.claim(worker)
        published = [(message.status, message.job_id, message.job_type) for message in await heard.messages()]

    (info,) = await listed(engine)
    assert published == [("busy", second, "test.work"), ("busy", third, "test.work")]
    assert (info.status, info.held, len(info.current)) == ("busy", 3, 3)


async def test_those_gone_are_capped(engine: Engine) -> None:
    """A worker that restarts for ever does not fill the store; the last ones stay, the latest first."""
    ids = [await engine.worker() for _ in range(120)]
    for worker in ids:
        await engine.store.workers.leave(worker, "stopped")

    gone = await engine.store.workers.gone()

    assert [info.worker_id for info in gone] == ids[:19:-1]


async def test_the_epoch_stays_until_the_store_comes_back_empty(engine: Engine) -> None:
    """A worker hears at once that everything it knows is gone."""
    worker = await engine.worker()
    first = await engine.store.epoch()
    await engine.worker()
    same = (await engine.store.workers.renew(worker, 0.0)).epoch
    await engine.client.delete(*await engine.all_keys())

    renewed = await engine.store.workers.renew(worker, 0.0)
    again = await engine.store.workers.register(new_worker_id(), {})

    assert first == same != ""
    assert (renewed.word, renewed.epoch) == (LeaseWord.LOST, "")
    assert again.epoch not in {"", first}
