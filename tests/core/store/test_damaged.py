"""Damaged records never stop the janitor: they are set aside, and what is sound is served."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import Failed, Idempotency, JobState, Reason, Submission
from emp_core.store import Duties, SubmitWord

from .conftest import TYPE, Engine

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine]

LEASE = 15.0

DAMAGES = (
    ("DEL",),
    ("SET", "not a hash"),
    ("HSET", "state", "strange"),
    ("HDEL", "no"),
    ("HDEL", "created_at"),
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


async def test_a_damaged_token_never_stops_a_claim(engine: Engine) -> None:
    """The sound job of the same claim is given, and held, as ever."""
    damaged, sound = new_job_id(), new_job_id()
    await engine.submit(damaged)
    await engine.submit(sound)
    await engine.client.hset(engine.keys("job", damaged), "token", "x")
    worker = await engine.worker()

    jobs = await engine.claim(worker, 2)

    assert [job.job_id for job in jobs] == [sound]
    assert await engine.store.workers.held(worker) == {sound}


async def test_a_job_whose_payload_is_gone_fails_and_says_so(engine: Engine) -> None:
    """It cannot run, so it ends, and is counted no longer among those that wait."""
    job_id = await engine.submit()
    await engine.client.delete(engine.keys("payload", job_id))

    await engine.claim(await engine.worker())

    job = await engine.job(job_id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert (await engine.store.views.stats()).counts[TYPE]["pending"] == 0


@pytest.mark.parametrize("kind", ["idem", "job"])
async def test_a_damaged_repeat_costs_other_submissions_nothing(engine: Engine, kind: str) -> None:
    """What stands beside it in the same call is stored and waits in its line."""
    key = Idempotency("", "k", "d")
    await engine.submit(idempotency=key)
    for name in [name for name in await engine.all_keys() if f":{kind}:" in name]:
        await engine.client.delete(name)
        await engine.client.rpush(name, "not what it should be")
    sound = new_job_id()

    answers = await engine.store.jobs.submit(
        [Submission(sound, TYPE, b"1"), Submission(new_job_id(), TYPE, b"{}", idempotency=key)]
    )

    assert answers[0].word is SubmitWord.OK
    assert sound in {job.job_id for job in await engine.claim(await engine.worker(), 5)}


async def test_a_damaged_error_does_not_stop_a_revival(engine: Engine) -> None:
    """Its neighbour in the same call runs again as well."""
    ids = [new_job_id(), new_job_id()]
    await engine.submit(*ids, max_attempts=1)
    worker = await engine.worker()
    jobs = await engine.claim(worker, 2)
    await engine.store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.ERROR, b"{}") for job in jobs])
    await engine.client.delete(engine.keys("error", ids[0]))
    await engine.client.rpush(engine.keys("error", ids[0]), "x")

    await engine.store.jobs.revive(ids)

    assert {job.job_id for job in await engine.claim(worker, 2)} == set(ids)
