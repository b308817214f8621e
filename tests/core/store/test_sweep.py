"""sweep: one janitor at a time, and what it finds due."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.store import Duties

from .conftest import Engine

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine]

LEASE = 15.0
NOTHING = Duties(promote=False, expire=False, recover=False, retain=False)


async def test_one_process_sweeps_at_a_time(engine: Engine) -> None:
    """Within 0.9 s of a turn everybody else finds nothing to do."""
    await engine.submit(delay=timedelta(milliseconds=1))
    await engine.pass_time(milliseconds=2)

    first = await engine.store.jobs.sweep()
    second = await engine.store.jobs.sweep()
    await engine.pass_time(milliseconds=950)
    third = await engine.store.jobs.sweep()

    assert (first.promote, second, third.promote) == (True, NOTHING, True)


async def test_a_turn_names_the_duties_that_have_work(engine: Engine) -> None:
    """An idle store costs one call a second."""
    idle = await engine.store.jobs.sweep()
    await engine.submit(delay=timedelta(seconds=1))
    await engine.submit(expires_in=timedelta(seconds=1))
    _, done = await engine.claimed(job_type="test.done", retention=timedelta(seconds=1))
    holder = (await engine.job(done.job_id)).worker_id
    assert holder is not None
    await engine.write("complete", holder, done.job_id, done.token)
    await engine.pass_time(seconds=LEASE + 1)

    busy = await engine.store.jobs.sweep()

    assert idle == NOTHING
    assert busy == Duties(promote=True, expire=True, recover=True, retain=True)
