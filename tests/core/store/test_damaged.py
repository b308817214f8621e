"""Damaged records never stop the janitor: they are set aside, and what is sound is served."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import JobState
from emp_core.store import Duties

from .conftest import Engine

pytestmark = pytest.mark.anyio

LEASE = 15.0

DAMAGES = (
    ("DEL",),
    ("SET", "not a hash"),
    ("HSET", "state", "strange"),
    ("HDEL", "seq"),
    ("HDEL", "max_attempts"),
    ("HSET", "priority", "high"),
    ("HSET", "started_at", "now"),
)


async def damage(engine: Engine, job_id: JobId, how: tuple[str, ...]) -> None:
    """Spoil a job's record."""
    command, *rest = how
    key = engine.keys("job", job_id)
    if command == "SET":
        await engine.client.delete(key)
    await engine.client.execute_command(command, key, *rest)


async def after_a_second(engine: Engine) -> Duties:
    """Take the next turn of the janitor."""
    await engine.pass_time(seconds=1)
    return await engine.store.jobs.sweep()


@pytest.mark.parametrize("how", DAMAGES, ids=" ".join)
@pytest.mark.parametrize("duty", ["promote", "expire"])
async def test_a_damaged_record_never_stops_a_duty(engine: Engine, duty: str, how: tuple[str, ...]) -> None:
    """It is set aside for the doctor, and the sound job beside it is served."""
    ids = [new_job_id(), new_job_id()]
    due = {"promote": {"delay": timedelta(seconds=1)}, "expire": {"expires_in": timedelta(seconds=1)}}[duty]
    await engine.submit(*ids, **due)
    await damage(engine, ids[0], how)
    await engine.pass_time(seconds=2)

    await engine.sweep()

    assert (await engine.job(ids[1])).state is (JobState.PENDING if duty == "promote" else JobState.FAILED)
    assert ids[0].encode() in (await engine.client.lrange(engine.keys("broken"), 0, -1))[0]
    duties = await after_a_second(engine)
    assert (duties.promote, duties.expire) == (False, False)


@pytest.mark.parametrize("how", [*DAMAGES, ("HDEL", "worker")], ids=" ".join)
async def test_a_damaged_record_never_stops_a_recovery(engine: Engine, how: tuple[str, ...]) -> None:
    """The sound job of the same worker runs again, and the worker is forgotten."""
    ids = [new_job_id(), new_job_id()]
    await engine.submit(*ids)
    worker = await engine.worker()
    await engine.claim(worker, 2)
    await damage(engine, ids[0], how)

    await engine.lose(worker)

    assert (await engine.job(ids[1])).state is JobState.PENDING
    assert await engine.store.workers.held(worker) == frozenset()
    assert [gone.worker_id for gone in await engine.store.workers.gone()] == [worker]


@pytest.mark.parametrize("kind", ["payload", "attempts", "error"])
async def test_a_damaged_part_of_a_job_never_stops_a_recovery(engine: Engine, kind: str) -> None:
    """A key of another type than it should be is found out where it is needed."""
    worker, job = await engine.claimed(max_attempts=3)
    key = engine.keys(kind, job.job_id)
    await engine.client.delete(key)
    await engine.client.sadd(key, "not what it was")

    await engine.lose(worker)

    assert (await engine.job(job.job_id)).state is JobState.PENDING


async def test_a_damaged_worker_never_stops_a_recovery(engine: Engine) -> None:
    """The jobs of a worker whose record cannot be read run again like those of any lost one."""
    worker, job = await engine.claimed()
    await engine.sweep()
    key = engine.keys("worker", worker)
    await engine.client.delete(key)
    await engine.client.set(key, "not a hash")

    await engine.tend(LEASE + 2)

    assert (await engine.job(job.job_id)).state is JobState.PENDING
