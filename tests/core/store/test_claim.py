"""claim: order, limits, numbers, leases."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Backoff, JobState
from emp_core.store import ClaimWord, Pool

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def test_the_most_urgent_come_first_then_the_order_of_submission(engine: Engine) -> None:
    """Higher priority first; the same priority in the order of submission."""
    low = await engine.submit(priority=-1000)
    first = await engine.submit()
    second = await engine.submit()
    high = await engine.submit(priority=1000)

    jobs = await engine.claim(await engine.worker(), 10)

    assert [job.job_id for job in jobs] == [high, first, second, low]


@pytest.mark.every_engine
async def test_the_most_urgent_across_types_come_first(engine: Engine) -> None:
    """One claim serves all types that the worker handles, by urgency and not by type."""
    wanted = [(-(n % 3), await engine.submit(job_type=f"test.t{n % 7}", priority=n % 3)) for n in range(30)]
    wanted.sort(key=lambda entry: entry[0])

    jobs = await engine.claim(await engine.worker(), 30, *(f"test.t{n}" for n in range(7)))

    assert [job.job_id for job in jobs] == [job_id for _, job_id in wanted]


async def test_a_type_gets_no_more_than_its_room(engine: Engine) -> None:
    """A type's own limit holds although the worker has more room in all."""
    for _ in range(5):
        await engine.submit(job_type="test.a", priority=1)
        await engine.submit(job_type="test.b")
    worker = await engine.worker()

    claim = await engine.store.jobs.claim(worker, 1, {"test.a": 2, "test.b": 9}, 4)

    assert [job.job_type for job in claim.jobs] == ["test.a", "test.a", "test.b", "test.b"]
    assert claim.more


async def test_a_claimed_job_names_its_holder(engine: Engine) -> None:
    """The claim is visible: state, worker, attempt."""
    worker, claimed = await engine.claimed()

    job = await engine.job(claimed.job_id)

    assert (job.state, job.worker_id, job.attempt) == (JobState.CLAIMED, worker, 1)
    assert job.claimed_at is not None
    assert await engine.store.workers.held(worker) == {job.job_id}


async def test_the_same_number_is_answered_with_the_same_jobs(engine: Engine) -> None:
    """An answer that was lost must not strand its jobs with a worker that does not know them."""
    for _ in range(3):
        await engine.submit()
    worker = await engine.worker()
    first = await engine.store.jobs.claim(worker, 1, {TYPE: 2}, 2)

    again = await engine.store.jobs.claim(worker, 1, {TYPE: 2}, 2)

    assert again.jobs == first.jobs


async def test_a_lower_number_takes_nothing(engine: Engine) -> None:
    """A claim that thaws late must not take jobs that nobody waits for."""
    await engine.submit()
    worker = await engine.worker()
    await engine.store.jobs.claim(worker, 5, {"test.none": 1}, 1)

    late = await engine.store.jobs.claim(worker, 4, {TYPE: 1}, 1)

    assert (late.word, late.jobs) == (ClaimWord.OLD, ())


async def test_a_worker_without_a_lease_takes_nothing(engine: Engine) -> None:
    """Only register creates a lease."""
    await engine.submit()

    claim = await engine.store.jobs.claim(new_worker_id(), 1, {TYPE: 1}, 1)

    assert (claim.word, claim.jobs) == (ClaimWord.LOST, ())


async def test_a_draining_worker_takes_nothing(engine: Engine) -> None:
    """A drain asked from afar holds at the next claim."""
    await engine.submit()
    worker = await engine.worker()
    await engine.store.workers.drain(worker)

    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 1}, 1)

    assert (claim.word, claim.jobs) == (ClaimWord.DRAINING, ())


async def test_an_overdue_lease_takes_nothing_until_it_is_renewed(engine: Engine) -> None:
    """A worker whose lease is over may lose its jobs any moment; it renews first."""
    await engine.submit()
    worker = await engine.worker()
    await engine.pass_time(seconds=16)

    late = await engine.store.jobs.claim(worker, 1, {TYPE: 1}, 1)
    await engine.store.workers.renew(worker, 0.0)
    after = await engine.store.jobs.claim(worker, 2, {TYPE: 1}, 1)

    assert late.word is ClaimWord.LATE
    assert len(after.jobs) == 1


async def test_an_expired_job_is_never_claimed(engine: Engine) -> None:
    """A claim that meets one too late ends it, even before the janitor does."""
    job_id = await engine.submit(expires_in=timedelta(seconds=5))
    worker = await engine.worker()
    await engine.pass_time(seconds=6)

    jobs = await engine.claim(worker)

    assert jobs == ()
    assert (await engine.job(job_id)).reason == "expired"


async def test_a_paused_type_is_not_claimed(engine: Engine) -> None:
    """Pause holds within the claim itself; resume lets the job go."""
    await engine.submit()
    worker = await engine.worker()
    await engine.store.types.pause(TYPE)

    paused = await engine.claim(worker)
    await engine.store.types.resume(TYPE)
    resumed = await engine.claim(worker)

    assert (len(paused), len(resumed)) == (0, 1)


async def test_a_claim_says_when_the_next_job_is_due(engine: Engine) -> None:
    """An idle worker sleeps just as long."""
    await engine.submit(delay=timedelta(seconds=3))
    worker = await engine.worker()

    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 1}, 1)

    assert claim.next_due is not None
    assert timedelta(seconds=2) < claim.next_due <= timedelta(seconds=3)


async def test_tokens_rise_and_differ(engine: Engine) -> None:
    """Every claim of a job has a token of its own."""
    _, first = await engine.claimed(max_attempts=3)
    holder = (await engine.job(first.job_id)).worker_id
    assert holder is not None
    await engine.lose(holder)

    (second,) = await engine.claim(await engine.worker())

    assert int(first.token.split("-")[0]) < int(second.token.split("-")[0])
    assert first.token.split("-")[1] != second.token.split("-")[1]


async def test_large_payloads_are_given_within_the_bytes_of_a_call(engine: Engine) -> None:
    """A claim gives no more than 8 MiB, but always one job."""
    for _ in range(3):
        await engine.submit(payload=b'"' + b"x" * 5 * 1024 * 1024 + b'"')
    worker = await engine.worker()

    taken = [len(await engine.claim(worker, 3)) for _ in range(3)]

    assert taken == [1, 1, 1]


@pytest.mark.parametrize(
    "damage",
    [
        ("DEL", "job"),
        ("SET", "job", "not a hash"),
        ("HSET", "job", "state", "completed"),
        ("HDEL", "job", "no"),
        ("HSET", "job", "type", "test.other"),
        ("HDEL", "job", "created_at"),
        ("HSET", "job", "created_at", "yesterday"),
        ("HSET", "job", "expires_at", "soon"),
        ("DEL", "payload"),
        ("LPUSH", "payload", "not a string"),
    ],
    ids=" ".join,
)
async def test_a_damaged_record_never_stops_a_claim(engine: Engine, damage: tuple[str, ...]) -> None:
    """It leaves its line for the list of broken records, and the next job is served."""
    broken, sound = new_job_id(), new_job_id()
    await engine.submit(broken)
    await engine.submit(sound)
    command, kind, *rest = damage
    if command in {"SET", "LPUSH"}:
        await engine.client.delete(engine.keys(kind, broken))
    await engine.client.execute_command(command, engine.keys(kind, broken), *rest)

    jobs = await engine.claim(await engine.worker(), 2)

    assert [job.job_id for job in jobs] == [sound]
    assert broken.encode() in (await engine.client.lrange(engine.keys("broken"), 0, -1))[0]


async def test_a_damaged_option_never_stops_a_claim(engine: Engine) -> None:
    """Limits that cannot be read are none: the worker is given the job."""
    job_id = await engine.submit(timeout=timedelta(seconds=1), backoff=Backoff())
    await engine.client.hset(
        engine.keys("job", job_id), mapping={"timeout": "1e999", "progress_timeout": "x", "backoff": "2 much"}
    )

    (job,) = await engine.claim(await engine.worker())

    assert (job.timeout, job.progress_timeout, job.backoff) == (None, None, None)


async def test_a_claim_without_room_takes_nothing(engine: Engine) -> None:
    """Room for no job is not room for all."""
    await engine.submit(new_job_id(), new_job_id())
    worker = await engine.worker()

    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 0}, 0)

    assert (claim.jobs, claim.more) == ((), True)


async def test_types_may_share_a_pool_of_slots(engine: Engine) -> None:
    """The pool's room bounds its types together; a type of its own is not touched."""
    for name in ("test.a", "test.b", "test.c"):
        await engine.submit(new_job_id(), new_job_id(), job_type=name)
    worker = await engine.worker()
    shared = Pool("threads", 3)

    claim = await engine.store.jobs.claim(
        worker, 1, {"test.a": 2, "test.b": 2, "test.c": 2}, 9, {"test.a": shared, "test.b": shared}
    )

    assert Counter(job.job_type for job in claim.jobs) == {"test.a": 2, "test.b": 1, "test.c": 2}


async def test_a_repeated_claim_leaves_out_what_has_been_settled(engine: Engine) -> None:
    """The same number again gives the jobs that are still as that claim left them."""
    await engine.submit(new_job_id(), new_job_id())
    worker = await engine.worker()
    first = await engine.store.jobs.claim(worker, 1, {TYPE: 2}, 2)
    await engine.write("complete", worker, first.jobs[0].job_id, first.jobs[0].token)

    again = await engine.store.jobs.claim(worker, 1, {TYPE: 2}, 2)

    assert again.jobs == first.jobs[1:]


async def test_a_claim_counts_how_long_the_job_waited(engine: Engine) -> None:
    """Bucket b holds waits shorter than 2^b milliseconds, counted from when the job was due."""
    await engine.submit(delay=timedelta(minutes=1))
    await engine.pass_time(seconds=65)
    await engine.sweep()

    await engine.claim(await engine.worker())

    minutes = [await engine.value(key) for key in await engine.all_keys() if ":minute:" in key]
    assert f"wait:13:{TYPE}".encode() in {name for minute in minutes for name in minute}
