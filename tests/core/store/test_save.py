"""save: a small value that is kept with a job for its later attempts."""

from __future__ import annotations

import pytest

from emp_core.jobs import Handle
from emp_core.store import Reply

from .conftest import Engine

pytestmark = pytest.mark.anyio


@pytest.mark.every_engine
async def test_the_next_attempt_gets_what_was_saved(engine: Engine) -> None:
    """The handle comes with the claim, byte for byte, and the newest one counts."""
    worker, job = await engine.claimed()
    text = '{"id":"ä\u2028","n":0.10}'.encode()

    first = await engine.store.jobs.save(worker, [Handle(job.job_id, job.token, b"1")])
    second = await engine.store.jobs.save(worker, [Handle(job.job_id, job.token, text)])
    await engine.write("release", worker, job.job_id, job.token)
    (again,) = await engine.claim(worker)

    assert (first, second) == ([Reply.OK], [Reply.OK])
    assert (job.handle, again.handle) == (b"", text)


async def test_it_outlives_a_lost_worker_and_a_revival(engine: Engine) -> None:
    """Work done elsewhere is not paid for twice, however the attempt and the round ended."""
    worker, job = await engine.claimed(max_attempts=2)
    await engine.write("save", worker, job.job_id, job.token)
    await engine.lose(worker)
    other = await engine.worker()
    (after_loss,) = await engine.claim(other)
    await engine.write("fail", other, job.job_id, after_loss.token)
    await engine.store.jobs.revive([job.job_id])
    (revived,) = await engine.claim(other)

    assert (after_loss.handle, revived.handle) == (b'{"n":1}', b'{"n":1}')


async def test_an_empty_one_takes_away_what_was(engine: Engine) -> None:
    """Nothing of the handle stays in the record."""
    worker, job = await engine.claimed()
    before = await engine.dump()
    await engine.write("save", worker, job.job_id, job.token)

    await engine.store.jobs.save(worker, [Handle(job.job_id, job.token, b"")])

    assert await engine.dump() == before


async def test_a_handle_under_an_old_token_changes_nothing(engine: Engine) -> None:
    """Whoever lost the job must not send the one who took over to other work."""
    worker, job = await engine.claimed()
    await engine.write("release", worker, job.job_id, job.token)
    (again,) = await engine.claim(worker)
    await engine.write("save", worker, job.job_id, again.token)
    before = await engine.dump()

    late = await engine.store.jobs.save(worker, [Handle(job.job_id, job.token, b'"other"')])

    assert late == [Reply.LEASE_LOST]
    assert await engine.dump() == before


async def test_a_handle_is_stored_when_memory_is_full(engine: Engine) -> None:
    """Running jobs can go on to their ends, and a handle is small."""
    if engine.client.connection_pool.connection_kwargs.get("server"):
        pytest.skip("fakeredis has no memory limit")
    worker, job = await engine.claimed()
    try:
        await engine.client.config_set("maxmemory", "1")
        reply = await engine.write("save", worker, job.job_id, job.token)
    finally:
        await engine.client.config_set("maxmemory", "0")

    assert reply is Reply.OK
