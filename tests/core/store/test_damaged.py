"""Damaged records never stop the janitor: they are set aside, and what is sound is served."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import Completed, Failed, Idempotency, JobState, Reason, Submission
from emp_core.store import Duties, LeaseWord, SubmitWord

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


@pytest.mark.parametrize(
    "name", ["counts", "totals", "seq", "paused", "expiring", "tag:red", f"pending:{TYPE}", f"wake:{TYPE}"]
)
async def test_a_key_of_another_type_does_not_stop_a_submission(engine: Engine, name: str) -> None:
    """The job is stored whole, the key is begun anew, and the doctor reads that it was damaged."""
    await engine.submit(tags=("red",), expires_in=timedelta(hours=1))
    key = engine.keys(name)
    is_list = await engine.client.type(key) == b"list"
    await engine.client.delete(key)
    await (engine.client.set(key, "x") if is_list else engine.client.rpush(key, "x"))

    job_id = await engine.submit(tags=("red",), expires_in=timedelta(hours=1))
    jobs = await engine.claim(await engine.worker(), 2)

    assert job_id in {job.job_id for job in jobs}
    assert await engine.client.zscore(engine.keys("tag", "red"), job_id) is not None
    assert b"another type" in (await engine.client.lrange(engine.keys("broken"), 0, -1))[0]


@pytest.mark.parametrize("value", ["many", "", b"\xff", "9" * 30])
async def test_a_counter_that_is_no_number_begins_anew(engine: Engine, value: str | bytes) -> None:
    """The submission is counted, and stored."""
    await engine.client.hset(engine.keys("counts"), f"pending:{TYPE}", value)
    await engine.client.hset(engine.keys("counts"), f"scheduled:{TYPE}", value)

    await engine.submit()

    assert await engine.counts() == {"pending": 1, "submitted": 1}
    assert len(await engine.claim(await engine.worker())) == 1


@pytest.mark.parametrize("value", ["many", "", b"\xff", "9" * 30, str(2**60), "-7"])
async def test_a_damaged_sequence_goes_on_above_all_that_it_has_given(engine: Engine, value: str | bytes) -> None:
    """Jobs keep their order: those that wait come before the new ones."""
    ids = [new_job_id() for _ in range(4)]
    await engine.submit(*ids[:2])
    await engine.client.set(engine.keys("seq"), value)

    await engine.submit(ids[2])
    await engine.submit(ids[3])

    assert [job.job_id for job in await engine.claim(await engine.worker(), 4)] == ids


async def test_a_damaged_place_in_time_ends_nothing_early(engine: Engine) -> None:
    """The record says when a job is due, expires, or is deleted; its place in the index is put right."""
    due, waiting = new_job_id(), new_job_id()
    await engine.submit(due, delay=timedelta(hours=1))
    await engine.submit(waiting, expires_in=timedelta(hours=1))
    worker, ended = await engine.claimed(job_type="test.other")
    await engine.store.jobs.complete(worker, [Completed(ended.job_id, ended.token, b"1")])
    places = [("scheduled", due), ("expiring", waiting), ("retained", ended.job_id)]
    before = [await engine.client.zscore(engine.keys(index), job_id) for index, job_id in places]
    for index, job_id in places:
        await engine.client.zadd(engine.keys(index), {job_id: -7})

    await engine.sweep()

    assert (await engine.job(due)).state is JobState.SCHEDULED
    assert (await engine.job(waiting)).state is JobState.PENDING
    assert (await engine.job(ended.job_id)).state is JobState.COMPLETED
    assert [await engine.client.zscore(engine.keys(index), job_id) for index, job_id in places] == before


async def test_an_id_that_is_no_text_is_noted_so_that_it_can_be_read(engine: Engine) -> None:
    """It leaves its index, and the note of it is JSON."""
    await engine.client.zadd(engine.keys("scheduled"), {b'"\xff\x00': 0})

    await engine.sweep()

    (note,) = await engine.client.lrange(engine.keys("broken"), 0, -1)
    assert json.loads(note)["id"] == '"\\xff\\x00'


@pytest.mark.parametrize("name", ["sweep", "workers", "running", "scheduled", "retained", "lost", "epoch"])
async def test_a_key_of_another_type_stops_no_worker_and_no_janitor(engine: Engine, name: str) -> None:
    """Leases are given, jobs end, workers are lost and forgotten as ever."""
    await engine.store.jobs.sweep()
    key = engine.keys(name)
    await engine.client.delete(key)
    await engine.client.hset(key, "x", "1") if name == "lost" else await engine.client.rpush(key, "x")

    worker, job = await engine.claimed()
    await engine.sweep()
    assert (await engine.store.workers.renew(worker, 0.0)).word is LeaseWord.OK
    await engine.store.jobs.complete(worker, [Completed(job.job_id, job.token, b"1")])
    await engine.store.workers.leave(worker, "drained")

    assert (await engine.job(job.job_id)).state is JobState.COMPLETED
    assert [gone.worker_id for gone in await engine.store.workers.gone()] == [worker]


@pytest.mark.parametrize("bell", ["wake", "bell"])
async def test_a_bell_of_another_type_is_cleared_away(engine: Engine, bell: str) -> None:
    """Else every wait would end at once."""
    worker = await engine.worker()
    key = engine.keys(bell, TYPE if bell == "wake" else worker)
    await engine.client.set(key, "x")

    assert await engine.store.doorbell.wait(worker, [TYPE], 0.01) is None

    assert await engine.client.exists(key) == 0
