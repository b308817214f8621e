"""What a worker says of itself with its renewals and claims: its troubles, that it stops, its plugins' versions."""

from __future__ import annotations

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Trouble, TroubleWord

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def test_a_renewal_says_which_jobs_misbehave(engine: Engine) -> None:
    """They stand with the worker until a renewal does not name them any more."""
    worker = await engine.worker()
    trouble = Trouble(new_job_id(), TYPE, TroubleWord.BLOCKS_LOOP, 2.5)

    await engine.store.workers.renew(worker, 0.0, [trouble])
    (troubled,) = await engine.store.workers.list()
    await engine.store.workers.renew(worker, 0.0)
    (well,) = await engine.store.workers.list()

    assert (troubled.troubles, well.troubles) == ((trouble,), ())


async def test_a_damaged_trouble_hides_no_worker(engine: Engine) -> None:
    """A younger worker may say what this code does not know."""
    worker = await engine.worker()
    await engine.client.hset(engine.keys("worker", worker), "troubles", '[{"what": "sings"}]')

    (info,) = await engine.store.workers.list()

    assert (info.worker_id, info.troubles) == (worker, ())


async def test_a_worker_that_stops_of_itself_is_shown_as_draining(engine: Engine) -> None:
    """Told by a signal, it says so with its next renewal; that is announced once."""
    worker = await engine.worker()
    async with engine.hear("workers") as heard:
        await engine.store.workers.renew(worker, 0.0, draining=True)
        await engine.store.workers.renew(worker, 0.0, draining=True)
        said = [message.status for message in await heard.messages()]

    (info,) = await engine.store.workers.list()
    assert (info.status, said) == ("draining", ["draining"])


async def test_each_attempt_keeps_the_version_of_its_plugin(engine: Engine) -> None:
    """Of those that the job went on after, and of the one that it ended with."""
    job_id = await engine.submit()
    worker = await engine.worker()
    for number, version in enumerate(("1.0", "1.1"), start=1):
        claim = await engine.store.jobs.claim(worker, number, {TYPE: 1}, 1, versions={TYPE: version})
        await engine.write("retry" if number == 1 else "complete", worker, job_id, claim.jobs[0].token)
        await engine.pass_time(seconds=11)
        await engine.sweep()

    details = await engine.store.views.details(job_id)

    assert details is not None
    assert [(end.outcome, end.plugin_version) for end in details.attempts] == [("retry", "1.0"), ("completed", "1.1")]


async def test_a_waiting_job_has_no_version(engine: Engine) -> None:
    """It belongs to the attempt: a job that goes back keeps none."""
    job_id = await engine.submit()
    worker = await engine.worker()
    claim = await engine.store.jobs.claim(worker, 1, {TYPE: 1}, 1, versions={TYPE: "1.0"})

    await engine.write("release", worker, job_id, claim.jobs[0].token)

    assert (await engine.job(job_id)).plugin_version == ""
