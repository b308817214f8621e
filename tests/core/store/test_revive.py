"""revive: a failed or cancelled job runs again in a new round, because a person wants it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import JobId, WorkerId, new_job_id
from emp_core.jobs import Job, JobState, Reason, Report, Started
from emp_core.store import JobFilter, ReviveWord

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def poisoned(engine: Engine) -> JobId:
    """Make a job that has lost three workers; it has log lines, attempts, an expiry and a tag."""
    job_id = await engine.submit(max_attempts=9, expires_in=timedelta(hours=1), tags=("red",))
    for _ in range(3):
        worker = await engine.worker()
        (job,) = await engine.claim(worker)
        await engine.write("start", worker, job.job_id, job.token)
        await engine.store.jobs.report(worker, [Report(job.job_id, job.token, 0.5, "half", (b"{}",))])
        await engine.lose(worker)
    return job_id


async def failed(engine: Engine) -> tuple[WorkerId, Job]:
    """Make a job that failed at its first attempt."""
    worker, job = await engine.claimed()
    await engine.write("fail", worker, job.job_id, job.token)
    return worker, await engine.job(job.job_id)


async def test_a_revived_job_waits_like_a_new_one(engine: Engine) -> None:
    """Attempts and losses begin at 0, and nothing of the last end is left in it."""
    job_id = await poisoned(engine)
    before = await engine.job(job_id)

    words = await engine.store.jobs.revive([job_id])

    job = await engine.job(job_id)
    assert (before.state, before.reason, before.losses) == (JobState.FAILED, Reason.POISONED, 3)
    assert (words, job.state, job.attempt, job.losses, job.round) == ([ReviveWord.OK], JobState.PENDING, 0, 0, 2)
    assert (job.reason, job.worker_id, job.message, job.fraction) == (None, None, "", 0.0)
    assert (job.claimed_at, job.started_at, job.finished_at, job.expires_at) == (None, None, None, None)


async def test_nothing_is_known_against_a_revived_job(engine: Engine) -> None:
    """It was suspected, and failed in a child process; its next claim says neither."""
    worker, job = await engine.claimed()
    await engine.lose(worker)
    other = await engine.worker()
    (again,) = await engine.claim(other)
    await engine.store.jobs.start(other, [Started(again.job_id, again.token, in_child=True)])
    await engine.write("fail", other, again.job_id, again.token)
    record = await engine.value(engine.keys("job", job.job_id))

    await engine.store.jobs.revive([job.job_id])

    (revived,) = await engine.claim(other)
    assert {b"suspect", b"place"} <= record.keys()
    assert not {b"suspect", b"place"} & (await engine.value(engine.keys("job", job.job_id))).keys()
    assert not revived.is_in_doubt


async def test_a_revived_job_names_no_plugin(engine: Engine) -> None:
    """The version stands with the attempt that it performed, and the job waits for another one."""
    await engine.submit(job_id := new_job_id())
    worker = await engine.worker()
    (job,) = (await engine.store.jobs.claim(worker, 1, {TYPE: 1}, 1, versions={TYPE: "1.0"})).jobs
    await engine.write("fail", worker, job_id, job.token)

    await engine.store.jobs.revive([job_id])

    details = await engine.store.views.details(job_id)
    assert details is not None
    assert (details.job.plugin_version, details.attempts[0].plugin_version) == ("", "1.0")


async def test_a_revived_job_is_claimed_with_the_next_token(engine: Engine) -> None:
    """The token goes on over the rounds, so that no old one is valid again."""
    _, job = await engine.claimed()
    holder = (await engine.job(job.job_id)).worker_id
    assert holder is not None
    await engine.write("fail", holder, job.job_id, job.token)
    await engine.store.jobs.revive([job.job_id])

    (again,) = await engine.claim(holder)

    assert (again.job_id, again.attempt) == (job.job_id, 1)
    assert int(again.token.split("-")[0]) > int(job.token.split("-")[0])


async def test_the_history_is_kept(engine: Engine) -> None:
    """Every attempt of the last round is listed as it was before, and the log is there."""
    job_id = await poisoned(engine)
    before = await engine.store.views.details(job_id)

    await engine.store.jobs.revive([job_id])

    after = await engine.store.views.details(job_id)
    assert before is not None
    assert after is not None
    assert [end.outcome for end in after.attempts] == ["lost", "lost", "lost"]
    assert after.attempts == before.attempts
    assert len(await engine.store.views.log(job_id)) == 3


async def test_a_job_cancelled_while_it_waited_gets_no_attempt_it_never_had(engine: Engine) -> None:
    """Only what a worker did is history."""
    worker, job = await engine.claimed()
    await engine.write("retry", worker, job.job_id, job.token)
    await engine.ask_cancel(job.job_id)

    await engine.store.jobs.revive([job.job_id])

    details = await engine.store.views.details(job.job_id)
    assert details is not None
    assert [(end.number, end.outcome) for end in details.attempts] == [(1, "retry")]


async def test_no_key_of_a_revived_job_has_a_time_to_live(engine: Engine) -> None:
    """Retention ends with the final state; the job may wait for years."""
    job_id = await poisoned(engine)

    await engine.store.jobs.revive([job_id])

    lives = {kind: await engine.ttl(kind, job_id) for kind in ("job", "payload", "attempts", "log")}
    assert set(lives.values()) == {None}
    await engine.pass_time(days=30)
    await engine.sweep()
    assert (await engine.job(job_id)).state is JobState.PENDING


async def test_a_revived_job_is_in_the_indexes_of_a_waiting_one(engine: Engine) -> None:
    """It has left the lists of the failed, and stands in its line and under its tag."""
    job_id = await poisoned(engine)

    await engine.store.jobs.revive([job_id])

    found = {
        name: [job.job_id for job in (await engine.store.views.list(wanted, None, 9)).jobs]
        for name, wanted in {
            "failed": JobFilter(state="failed"),
            "failed of type": JobFilter(state="failed", job_type=TYPE),
            "pending": JobFilter(state="pending", job_type=TYPE),
            "tag": JobFilter(tag="red"),
        }.items()
    }
    assert found == {"failed": [], "failed of type": [], "pending": [job_id], "tag": [job_id]}


async def test_a_cancelled_job_revived_is_no_longer_asked_to_cancel(engine: Engine) -> None:
    """The old request does not end the new round."""
    job_id = await engine.submit()
    await engine.ask_cancel(job_id)
    await engine.store.jobs.revive([job_id])
    worker = await engine.worker()
    (job,) = await engine.claim(worker)

    await engine.write("retry", worker, job.job_id, job.token)

    seen = await engine.job(job_id)
    assert (seen.state, seen.cancel_request) == (JobState.SCHEDULED, None)


async def test_what_is_not_failed_or_cancelled_is_not_revived(engine: Engine) -> None:
    """Each job of the batch is answered by itself; the second wish for one meets it pending."""
    worker, done = await engine.claimed()
    await engine.write("complete", worker, done.job_id, done.token)
    _, job = await failed(engine)
    pending = await engine.submit()

    words = await engine.store.jobs.revive([done.job_id, pending, new_job_id(), job.job_id, job.job_id])

    assert words == [ReviveWord.CONFLICT, ReviveWord.CONFLICT, ReviveWord.NOT_FOUND, ReviveWord.OK, ReviveWord.CONFLICT]


async def test_totals_of_final_states_only_grow(engine: Engine) -> None:
    """A revived failure stays counted as a failure."""
    _, job = await failed(engine)

    await engine.store.jobs.revive([job.job_id])

    assert await engine.counts() == {"submitted": 1, "failed": 1, "pending": 1, "revived": 1}


async def test_a_late_finish_of_the_last_round_is_refused(engine: Engine) -> None:
    """Who ended the last round has no say in the new one."""
    worker, claimed = await engine.claimed()
    await engine.write("fail", worker, claimed.job_id, claimed.token)
    await engine.store.jobs.revive([claimed.job_id])

    reply = await engine.write("fail", worker, claimed.job_id, claimed.token)

    assert reply == "LEASE_LOST"
    assert (await engine.job(claimed.job_id)).state is JobState.PENDING
