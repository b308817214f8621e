"""recover: the jobs of a lost worker run again or fail; nobody is lost only because nobody looked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from emp_core.ids import WorkerId, new_job_id
from emp_core.jobs import Failed, JobState, OnWorkerLost, Reason, Retry, Started
from emp_core.store import ClaimWord, LeaseWord, LeaveWord, Reply

from .conftest import OUTCOMES, TYPE, Engine

pytestmark = pytest.mark.anyio

LEASE = 15.0


async def test_a_lost_workers_jobs_are_pending_again(engine: Engine) -> None:
    """The loss is kept as an attempt, and the next one may be made elsewhere."""
    worker, job = await engine.claimed(max_attempts=2)
    await engine.write("start", worker, job.job_id, job.token)

    await engine.lose(worker)

    (again,) = await engine.claim(await engine.worker())
    details = await engine.store.views.details(job.job_id)
    assert (again.job_id, again.attempt, again.losses) == (job.job_id, 2, 1)
    assert details is not None
    (attempt,) = details.attempts
    assert (attempt.outcome, attempt.reason, attempt.worker_id) == ("lost", "worker_lost", worker)
    assert attempt.error is not None
    assert b"SIGKILL" in attempt.error


async def test_a_lost_job_keeps_its_place(engine: Engine) -> None:
    """It was submitted first and is claimed first."""
    worker, job = await engine.claimed()
    later = await engine.submit()

    await engine.lose(worker)

    assert [job.job_id for job in await engine.claim(await engine.worker(), 2)] == [job.job_id, later]


async def test_the_last_attempt_lost_fails_the_job(engine: Engine) -> None:
    """With no attempt left the job says that its worker was lost."""
    worker, claimed = await engine.claimed(max_attempts=1)

    await engine.lose(worker)

    details = await engine.store.views.details(claimed.job_id)
    assert details is not None
    assert (details.job.state, details.job.reason) == (JobState.FAILED, Reason.WORKER_LOST)
    assert [end.outcome for end in details.attempts] == ["lost"]


@pytest.mark.parametrize("max_attempts", [3, 9])
async def test_the_third_loss_is_poison(engine: Engine, max_attempts: int) -> None:
    """A job that took three workers down ends, whatever attempts it has left; poisoned wins over worker_lost."""
    job_id = await engine.submit(max_attempts=max_attempts)

    for _ in range(3):
        worker = await engine.worker()
        (claimed,) = await engine.claim(worker)
        await engine.write("start", worker, job_id, claimed.token)
        await engine.lose(worker)

    job = await engine.job(job_id)
    assert (job.state, job.reason, job.losses) == (JobState.FAILED, Reason.POISONED, 3)


async def test_a_claimed_job_is_suspected_and_not_charged_a_loss(engine: Engine) -> None:
    """Starts are written behind, so its handler may have been called: the attempt counts."""
    worker, job = await engine.claimed()

    await engine.lose(worker)

    (again,) = await engine.claim(await engine.worker())
    assert (again.job_id, again.losses, again.is_suspect, again.attempt) == (job.job_id, 0, True, 2)


@pytest.mark.parametrize("was_running", [True, False], ids=["a loss", "a suspicion"])
async def test_a_job_in_doubt_that_was_only_claimed_is_charged_nothing(engine: Engine, was_running: bool) -> None:
    """Its start would have been confirmed before its handler was called. However often: it keeps its attempts."""
    worker, job = await engine.claimed(max_attempts=2)
    if was_running:
        await engine.write("start", worker, job.job_id, job.token)
    await engine.lose(worker)
    for _ in range(4):
        worker = await engine.worker()
        await engine.claim(worker)
        await engine.lose(worker)

    (again,) = await engine.claim(await engine.worker())
    details = await engine.store.views.details(job.job_id)
    assert details is not None
    assert (again.losses, again.is_suspect, again.attempt) == (int(was_running), not was_running, 2)
    assert [end.outcome for end in details.attempts] == ["lost", *["released"] * 4]
    assert {end.reason for end in details.attempts} == {"worker_lost"}


async def test_a_job_in_a_child_is_charged_the_attempt_and_no_loss(engine: Engine) -> None:
    """Its handler did not run in the process that died; its attempts still bound it."""
    job_id = await engine.submit(max_attempts=4)
    for attempt in range(1, 5):
        worker = await engine.worker()
        (claimed,) = await engine.claim(worker)
        await engine.store.jobs.start(worker, [Started(job_id, claimed.token, in_child=True)])
        await engine.lose(worker)
        assert claimed.attempt == attempt

    job = await engine.job(job_id)
    assert (job.state, job.reason, job.losses) == (JobState.FAILED, Reason.WORKER_LOST, 0)


async def test_where_an_attempt_ran_says_nothing_of_the_next_one(engine: Engine) -> None:
    """A job that runs in the worker's own process is charged, although it ran in a child before."""
    worker, job = await engine.claimed()
    await engine.store.jobs.start(worker, [Started(job.job_id, job.token, in_child=True)])
    await engine.lose(worker)
    worker = await engine.worker()
    (again,) = await engine.claim(worker)
    await engine.write("start", worker, again.job_id, again.token)

    await engine.lose(worker)

    assert (await engine.job(job.job_id)).losses == 1


@pytest.mark.parametrize("verb", ["retry", "fail"])
async def test_the_death_of_a_child_is_a_loss_and_confirms_a_suspicion(engine: Engine, verb: str) -> None:
    """The worker saw it, and says so with the outcome; the process that died before was this job's doing, too."""
    worker, job = await engine.claimed()
    await engine.lose(worker)
    other = await engine.worker()
    (again,) = await engine.claim(other)
    outcome = OUTCOMES[verb](job.job_id, again.token)
    assert isinstance(outcome, Retry | Failed)

    await engine.store.jobs.settle(other, [replace(outcome, is_loss=True)])

    assert (await engine.job(job.job_id)).losses == 2
    assert b"suspect" not in await engine.value(engine.keys("job", job.job_id))


@pytest.mark.parametrize("verb", [None, "start"], ids=["claimed", "in_progress"])
async def test_a_job_that_is_to_fail_with_its_worker_does(engine: Engine, verb: str | None) -> None:
    """It is not known how far its handler got, so it does not run again, whatever attempts are left."""
    worker, job = await engine.claimed(on_worker_lost=OnWorkerLost.FAIL, max_attempts=9)
    if verb:
        await engine.write(verb, worker, job.job_id, job.token)

    await engine.lose(worker)

    seen = await engine.job(job.job_id)
    assert job.on_worker_lost is OnWorkerLost.FAIL
    assert (seen.state, seen.reason, seen.attempt) == (JobState.FAILED, Reason.WORKER_LOST, 1)


@pytest.mark.every_engine
async def test_a_silent_worker_is_lost_after_its_lease(engine: Engine) -> None:
    """Not before; and while anybody sweeps, within a second after."""
    await engine.stop_clock()
    worker, job = await engine.claimed()
    await engine.sweep()

    await engine.tend(LEASE - 0.5)
    early = (await engine.job(job.job_id)).state
    await engine.tend(2)

    assert (early, (await engine.job(job.job_id)).state) == (JobState.CLAIMED, JobState.PENDING)
    assert [gone.worker_id for gone in await engine.store.workers.gone()] == [worker]


async def test_a_lost_workers_calls_are_answered_lost(engine: Engine) -> None:
    """From the first call of recover on, also while jobs of it are still to be taken."""
    await engine.submit(*(new_job_id() for _ in range(250)))
    worker = await engine.worker()
    jobs = [*await engine.claim(worker, 200), *await engine.claim(worker, 50)]
    await engine.store.workers.leave(worker, "killed by SIGKILL")

    more = await engine.store.jobs.recover()

    claim = await engine.store.jobs.claim(worker, 99, {TYPE: 1}, 1)
    renewed = await engine.store.workers.renew(worker, 0.0)
    registered = await engine.store.workers.register(worker, {})
    held = await engine.store.workers.held(worker)
    assert (more, len(held)) == (True, 150)
    assert (claim.word, renewed.word, registered.word) == (ClaimWord.LOST, LeaseWord.LOST, LeaseWord.LOST)
    assert {job.job_id for job in jobs} >= held


async def test_recovery_is_bounded_per_call(engine: Engine) -> None:
    """A worker with 250 jobs takes three calls, and is forgotten with the last."""
    await engine.submit(*(new_job_id() for _ in range(250)))
    worker = await engine.worker()
    await engine.claim(worker, 200)
    await engine.claim(worker, 50)
    await engine.store.workers.leave(worker, "killed by SIGKILL")

    counted = []
    for _ in range(3):
        more = await engine.store.jobs.recover()
        counted.append((more, (await engine.counts())["pending"], await engine.store.workers.gone() != []))

    assert counted == [(True, 100, False), (True, 200, False), (False, 250, True)]


async def test_many_lost_workers_are_recovered_over_calls(engine: Engine) -> None:
    """More workers than one call looks at are all found."""
    for _ in range(130):
        worker = await engine.worker()
        await engine.submit()
        await engine.claim(worker)
        await engine.store.workers.leave(worker, "killed")

    while await engine.store.jobs.recover():
        pass

    assert (await engine.counts())["pending"] == 130
    assert await engine.store.workers.list() == []


async def test_a_lost_worker_may_finish_what_has_not_been_taken(engine: Engine) -> None:
    """Until recover takes the job, its token stands and the work is not thrown away."""
    worker, job = await engine.claimed()
    await engine.store.workers.leave(worker, "said to be dead")

    reply = await engine.write("complete", worker, job.job_id, job.token)

    await engine.sweep()
    assert reply is Reply.OK
    assert (await engine.job(job.job_id)).state is JobState.COMPLETED


async def test_after_an_outage_nobody_is_lost_for_a_lease(engine: Engine) -> None:
    """Time in which nobody swept does not count: every lease looks old, though its worker lives."""
    worker, job = await engine.claimed()
    await engine.sweep()
    await engine.tend(LEASE - 1)
    await engine.store.workers.renew(worker, 0.0)
    await engine.tend(3)

    await engine.pass_time(minutes=10)
    await engine.tend(LEASE - 1)
    early = (await engine.job(job.job_id)).state
    renewed = await engine.store.workers.renew(worker, 0.0)
    await engine.tend(LEASE - 1)
    kept = (await engine.job(job.job_id)).state
    await engine.tend(3)

    assert (early, renewed.word, kept) == (JobState.CLAIMED, LeaseWord.OK, JobState.CLAIMED)
    assert (await engine.job(job.job_id)).state is JobState.PENDING


@pytest.mark.parametrize(("gap", "is_lost"), [(2.9, True), (3.2, False)])
async def test_three_seconds_without_a_sweep_are_an_outage(engine: Engine, gap: float, is_lost: bool) -> None:
    """A janitor that is a little late is none."""
    await engine.stop_clock()
    _, job = await engine.claimed()
    await engine.sweep()
    await engine.tend(LEASE - 1)

    await engine.pass_time(seconds=gap)
    await engine.sweep()

    assert ((await engine.job(job.job_id)).state is JobState.PENDING) is is_lost


async def test_a_reported_death_is_recovered_at_once_also_after_an_outage(engine: Engine) -> None:
    """Who saw the process die need not wait for any lease."""
    worker, job = await engine.claimed()
    await engine.pass_time(minutes=10)

    word = await engine.store.workers.leave(worker, "killed by SIGKILL")
    await engine.sweep()

    assert word is LeaveWord.LOST
    assert (await engine.job(job.job_id)).state is JobState.PENDING


async def test_a_fleet_overdue_after_an_outage_does_not_keep_the_janitor_busy(engine: Engine) -> None:
    """There is nothing to do again at once, however many leases look old."""
    for _ in range(120):
        await engine.worker()
    await engine.pass_time(minutes=10)
    await engine.store.jobs.sweep()

    more = await engine.store.jobs.recover()

    assert more is False
    assert len(await engine.store.workers.list()) == 120


async def test_a_clock_that_went_back_makes_nobody_lost(engine: Engine) -> None:
    """Leases given by the old clock are cut to one lease, and one lease is waited for."""
    await engine.stop_clock()
    worker, job = await engine.claimed()
    await engine.pass_time(hours=1)
    await engine.sweep()
    await engine.store.workers.renew(worker, 0.0)

    await engine.pass_time(hours=-1)
    await engine.sweep()
    cut = await engine.client.zscore(engine.keys("workers"), worker)
    await engine.tend(LEASE - 1)
    early = (await engine.job(job.job_id)).state
    await engine.tend(2)

    now = int((await engine.client.time())[0]) * 1000
    assert cut < now + (LEASE + 60) * 1000
    assert (early, (await engine.job(job.job_id)).state) == (JobState.CLAIMED, JobState.PENDING)


async def test_losses_are_counted_for_all_to_see(engine: Engine) -> None:
    """A total of lost attempts that only grows."""
    worker: WorkerId = (await engine.claimed())[0]

    await engine.lose(worker)

    assert (await engine.counts())["lost"] == 1
