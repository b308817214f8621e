"""Who may write about a job: its holder, also twice; nobody else changes anything, nor costs another item its write."""

from __future__ import annotations

from collections import Counter

import pytest

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import JobState
from emp_core.store import Reply

from .conftest import AFTER, OUTCOMES, WRITES, Engine

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("verb", ["complete", "fail", "retry", "release", "refuse"])
async def test_the_same_finish_twice_is_ok_and_changes_nothing(engine: Engine, verb: str) -> None:
    """A client that timed out cannot know whether its call ran."""
    worker, job = await engine.claimed()
    await engine.write(verb, worker, job.job_id, job.token)
    before = await engine.dump()
    await engine.pass_time(seconds=1)

    async with engine.hear() as updates, engine.hear("workers") as workers:
        again = await engine.write(verb, worker, job.job_id, job.token)
        said = [*await updates.messages(), *await workers.messages()]

    assert (again, said) == (Reply.OK, [])
    assert await engine.dump() == before


@pytest.mark.parametrize("other", ["complete", "fail", "retry", "release", "cancel"])
async def test_another_finish_after_the_first_is_refused(engine: Engine, other: str) -> None:
    """One outcome of an attempt is recorded and then never changes."""
    first = "fail" if other == "complete" else "complete"
    worker, job = await engine.claimed()
    await engine.write(first, worker, job.job_id, job.token)
    before = await engine.dump()

    reply = await engine.write(other, worker, job.job_id, job.token)

    assert reply is Reply.LEASE_LOST
    assert await engine.dump() == before


@pytest.mark.parametrize("verb", WRITES)
async def test_an_old_token_changes_nothing(engine: Engine, verb: str) -> None:
    """A worker that lost its job and thaws is refused and counted; no key changes and nobody hears of it."""
    old_worker, old = await engine.claimed()
    await engine.lose(old_worker)
    new_worker = await engine.worker()
    (new,) = await engine.claim(new_worker)
    await engine.write("start", new_worker, new.job_id, new.token)
    await engine.ask_cancel(new.job_id)
    before = await engine.dump()

    async with engine.hear() as updates, engine.hear("workers") as workers:
        replies = [
            await engine.write(verb, old_worker, old.job_id, old.token),
            await engine.write(verb, new_worker, old.job_id, old.token),
        ]
        said = [*await updates.messages(), *await workers.messages()]

    assert (replies, said) == ([Reply.LEASE_LOST, Reply.LEASE_LOST], [])
    assert await engine.dump() == before
    assert (await engine.counts())["refused"] == 2


@pytest.mark.parametrize("verb", WRITES)
async def test_the_right_token_of_another_worker_is_refused(engine: Engine, verb: str) -> None:
    """A claim is worker and token; one without the other holds nothing."""
    _, job = await engine.claimed()
    other = await engine.worker()
    await engine.ask_cancel(job.job_id)
    before = await engine.dump()

    reply = await engine.write(verb, other, job.job_id, job.token)

    assert reply is Reply.LEASE_LOST
    assert await engine.dump() == before


@pytest.mark.parametrize("verb", WRITES)
async def test_a_job_that_is_gone_is_not_found(engine: Engine, verb: str) -> None:
    """A write about no job creates none."""
    worker = await engine.worker()
    before = await engine.dump()

    reply = await engine.write(verb, worker, new_job_id(), "1-ab")

    assert reply is Reply.NOT_FOUND
    assert await engine.dump() == before


@pytest.mark.parametrize("verb", WRITES)
async def test_a_claim_nobody_made_is_refused(engine: Engine, verb: str) -> None:
    """A pending job has no holder, whatever token one shows."""
    job_id = await engine.submit()
    before = await engine.dump()

    replies = [await engine.write(verb, new_worker_id(), job_id, token) for token in ("1-ab", "0")]

    assert set(replies) == {Reply.LEASE_LOST}
    assert await engine.dump() == before


@pytest.mark.parametrize("verb", list(AFTER))
async def test_one_items_refusal_never_costs_another(engine: Engine, verb: str) -> None:
    """Between a job that is gone, an old token and a damaged record, the good ones are written."""
    ids = [new_job_id() for _ in range(4)]
    await engine.submit(*ids)
    worker = await engine.worker()
    jobs = await engine.claim(worker, 4)
    for job_id in ids:
        await engine.ask_cancel(job_id)
    await engine.client.delete(engine.keys("job", ids[1]))
    await engine.client.set(engine.keys("job", ids[1]), "not a hash")
    tokens = [jobs[0].token, jobs[1].token, "0-old", jobs[3].token, "1-none"]

    replies = await engine.store.jobs.settle(
        worker, [OUTCOMES[verb](job_id, token) for job_id, token in zip([*ids, new_job_id()], tokens, strict=True)]
    )

    assert replies == [Reply.OK, Reply.NOT_FOUND, Reply.LEASE_LOST, Reply.OK, Reply.NOT_FOUND]
    states = [(await engine.job(job_id)).state for job_id in (ids[0], ids[2], ids[3])]
    ended = JobState.COMPLETED if verb == "complete" else JobState.CANCELLED
    assert states == [ended, JobState.CLAIMED, ended]


@pytest.mark.parametrize("verb", ["complete", "fail", "retry", "release"])
async def test_the_same_job_twice_in_a_batch_is_settled_once(engine: Engine, verb: str) -> None:
    """The second is the repeat of the first."""
    worker, job = await engine.claimed()

    replies = await engine.store.jobs.settle(worker, [OUTCOMES[verb](job.job_id, job.token)] * 2)

    counts = await engine.counts()
    assert replies == [Reply.OK, Reply.OK]
    assert counts == {"submitted": 1, AFTER[verb]: 1} | ({"retried": 1} if verb == "retry" else {})


async def test_only_one_of_two_outcomes_of_a_job_in_one_batch_counts(engine: Engine) -> None:
    """Two outcomes of one attempt exclude each other."""
    worker, job = await engine.claimed()

    replies = await engine.store.jobs.settle(
        worker, [OUTCOMES["fail"](job.job_id, job.token), OUTCOMES["complete"](job.job_id, job.token)]
    )

    assert Counter(replies) == {Reply.OK: 1, Reply.LEASE_LOST: 1}
