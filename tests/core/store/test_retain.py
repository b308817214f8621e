"""retain: a final job goes with everything that is its own, when its retention is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import Report

from .conftest import OUTCOMES, Engine

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
FINALS = ("complete", "fail", "cancel")


async def settled(engine: Engine, verb: str, **fields: object) -> JobId:
    """Make a job with a lost and a retried attempt, log lines and tags, and end it with an outcome."""
    job_id = await engine.submit(max_attempts=9, tags=("red", "blue"), **fields)
    for outcome in ("lose", "retry", verb):
        worker = await engine.worker()
        (job,) = await engine.claim(worker)
        await engine.store.jobs.report(worker, [Report(job_id, job.token, log=(b"{}",))])
        if outcome == "lose":
            await engine.lose(worker)
            continue
        if outcome == "cancel":
            await engine.ask_cancel(job_id)
        await engine.store.jobs.settle(worker, [OUTCOMES[outcome](job_id, job.token)])
        await engine.store.workers.leave(worker, "done")
        await engine.pass_time(seconds=15)
        await engine.sweep()
    return job_id


def traces(stored: dict[str, object], job_id: JobId) -> set[str]:
    """Give the keys in which a job is named, in the key or in what it holds."""
    return {key for key, value in stored.items() if job_id in key or job_id in str(value)}


@pytest.mark.parametrize("verb", FINALS)
async def test_nothing_is_left_of_a_job_after_its_retention(engine: Engine, verb: str) -> None:
    """All its keys and all its entries in indexes go."""
    job_id = await settled(engine, verb)
    before = traces(await engine.dump(), job_id)

    await engine.pass_time(days=8)
    await engine.sweep()

    assert len(before) >= 9
    assert traces(await engine.dump(), job_id) == set()


@pytest.mark.parametrize(("verb", "kept"), [("complete", 1), ("fail", 7), ("cancel", 7)])
async def test_a_job_is_kept_as_long_as_its_state_says(engine: Engine, verb: str, kept: int) -> None:
    """Completed ones a day, others a week."""
    job_id = await settled(engine, verb)

    await engine.pass_time(days=kept, seconds=-60)
    await engine.sweep()
    (just_before,) = await engine.store.views.get([job_id])
    await engine.pass_time(minutes=2)
    await engine.sweep()

    assert just_before is not None
    assert await engine.store.views.get([job_id]) == [None]


@pytest.mark.parametrize("verb", FINALS)
async def test_a_submission_may_say_how_long_its_job_is_kept(engine: Engine, verb: str) -> None:
    """Its own retention stands instead of the state's."""
    job_id = await settled(engine, verb, retention=timedelta(minutes=10))

    await engine.pass_time(minutes=9)
    await engine.sweep()
    (just_before,) = await engine.store.views.get([job_id])
    await engine.pass_time(minutes=2)
    await engine.sweep()

    assert just_before is not None
    assert await engine.store.views.get([job_id]) == [None]


@pytest.mark.parametrize(("verb", "kept"), [("complete", 1), ("fail", 7), ("cancel", 7)])
async def test_what_is_large_of_a_final_job_lives_a_day_longer_at_most(engine: Engine, verb: str, kept: int) -> None:
    """Where no janitor runs, the times to live clean up."""
    job_id = await settled(engine, verb)

    own = {key for key in await engine.all_keys() if job_id in key} - {engine.keys("job", job_id)}
    lives = {key: await engine.client.pttl(key) / DAY.total_seconds() / 1000 for key in own}

    assert {key.removeprefix(engine.keys("")).split(":")[0] for key in own} >= {"payload", "attempts", "log"}
    assert all(kept + 0.9 < days <= kept + 1 for days in lives.values()), lives


async def test_an_attempt_before_a_cancelled_wait_has_a_time_to_live_too(engine: Engine) -> None:
    """A job with one attempt behind it that is called off while it waits has a history that must go."""
    worker, job = await engine.claimed()
    await engine.write("retry", worker, job.job_id, job.token)

    await engine.ask_cancel(job.job_id)

    assert await engine.ttl("attempts", job.job_id) is not None


async def test_a_job_that_never_ran_has_times_to_live(engine: Engine) -> None:
    """Also one that expired or was cancelled before any claim."""
    job_id = await engine.submit(expires_in=timedelta(seconds=1))
    await engine.pass_time(seconds=2)

    await engine.sweep()

    assert None not in {await engine.ttl(kind, job_id) for kind in ("payload", "error")}


async def test_a_live_job_is_never_deleted(engine: Engine) -> None:
    """A job may wait for a year."""
    job_id = await engine.submit(delay=timedelta(days=365))

    await engine.pass_time(days=364)
    await engine.sweep()

    assert (await engine.job(job_id)).job_id == job_id
    assert {await engine.ttl(kind, job_id) for kind in ("job", "payload")} == {None}


async def test_a_janitor_that_comes_late_still_finds_every_index_entry(engine: Engine) -> None:
    """After the times to live are over the small hash is still there to say where the job is listed."""
    job_id = await settled(engine, "complete")
    own = {key for key in await engine.all_keys() if job_id in key}
    await engine.client.delete(*own - {engine.keys("job", job_id)})  # what the times to live would have taken

    await engine.pass_time(days=30)
    await engine.sweep()

    left = await engine.all_keys()
    assert not [key for key in left if job_id in key or "finished" in key or "tag:" in key]


async def test_deletion_is_bounded_per_call(engine: Engine) -> None:
    """No call of the janitor holds the store up; at its limit it is called again."""
    ids = [new_job_id() for _ in range(250)]
    await engine.submit(*ids, expires_in=timedelta(seconds=1))
    await engine.pass_time(seconds=2)
    await engine.sweep()
    await engine.pass_time(days=8)

    more = [await engine.store.jobs.retain() for _ in range(3)]

    assert more == [True, True, False]
    assert await engine.store.views.get(ids) == [None] * 250


@pytest.mark.parametrize("how", ["gone", "spoiled"])
async def test_a_damaged_record_never_stops_retention(engine: Engine, how: str) -> None:
    """Its keys go all the same, and so does the sound job beside it."""
    ids = [new_job_id(), new_job_id()]
    await engine.submit(*ids)
    for job_id in ids:
        await engine.ask_cancel(job_id)
    await engine.client.delete(engine.keys("job", ids[0]))
    if how == "spoiled":
        await engine.client.set(engine.keys("job", ids[0]), "not a hash")

    await engine.pass_time(days=8)
    await engine.sweep()

    assert {key for key in await engine.all_keys() if ids[0] in key or ids[1] in key} == set()
