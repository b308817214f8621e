"""The janitor does what a sweep found due, and outlives a store that is away."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import redis
from structlog.testing import capture_logs

from emp_core.ids import new_job_id
from emp_core.janitor import Janitor
from emp_core.jobs import JobState, Submission
from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore
from support.waiting import wait_until_async

from .conftest import Engine

pytestmark = pytest.mark.anyio


async def test_one_turn_does_every_duty(engine: Engine) -> None:
    """What is due, too late, orphaned or over is worked off in one step, however many there are."""
    worker, held = await engine.claimed()
    await engine.store.workers.leave(worker, "killed")
    due = [await engine.submit(delay=timedelta(seconds=5)) for _ in range(3)]
    late = [await engine.submit(expires_in=timedelta(seconds=5)) for _ in range(250)]
    await engine.pass_time(seconds=6)

    await Janitor(engine.store).step()

    assert {(await engine.job(job_id)).state for job_id in [*due, held.job_id]} == {JobState.PENDING}
    assert {(await engine.job(job_id)).state for job_id in late} == {JobState.FAILED}


async def test_two_janitors_take_turns(engine: Engine) -> None:
    """The second one just after the first does nothing."""
    await Janitor(engine.store).step()
    job_id = await engine.submit(delay=timedelta(milliseconds=1))
    await engine.pass_time(milliseconds=100)

    await Janitor(engine.store).step()

    assert (await engine.job(job_id)).state is JobState.SCHEDULED


async def test_records_that_were_set_aside_are_logged_once(engine: Engine) -> None:
    """By every process that sweeps: how many are new, and how many wait for the doctor."""
    janitor, other = Janitor(engine.store), Janitor(engine.store)
    await janitor.step()
    await engine.client.hdel(engine.keys("job", await engine.submit()), "type")
    await engine.claim(await engine.worker())

    with capture_logs() as logs:
        for _ in range(2):
            await engine.pass_time(seconds=1)
            await janitor.step()
            await other.step()

    assert [(line["log_level"], line["event"], line["new"], line["waiting"]) for line in logs] == [
        ("warning", "records_set_aside", 1, 1)
    ] * 2


async def test_records_that_the_doctor_has_settled_are_not_logged(engine: Engine) -> None:
    """A process that starts later has nothing to warn of."""
    await engine.client.hdel(engine.keys("job", await engine.submit()), "type")
    await engine.claim(await engine.worker())
    await engine.client.delete(engine.keys("broken"))

    with capture_logs() as logs:
        await Janitor(engine.store).step()

    assert logs == []


async def test_a_store_that_begins_to_evict_is_logged_once(namespace: str) -> None:
    """In the log of every server and worker, and once more when it keeps all again."""
    with EmbeddedStore(port=0) as server:
        async with open_store(server.url, namespace) as store:
            janitor = Janitor(store)
            with redis.Redis.from_url(server.url) as operator, capture_logs() as logs:
                for now, policy in (
                    (0.0, "noeviction"),
                    (20.0, "allkeys-lru"),
                    (40.0, "allkeys-lru"),
                    (60.0, "noeviction"),
                ):
                    operator.config_set("maxmemory-policy", policy)
                    await janitor.look_at_eviction(now)
                    await janitor.look_at_eviction(now + 1)

    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("store_evicts", "warning"),
        ("store_keeps_all", "info"),
    ]


async def test_a_store_that_is_away_is_waited_for(namespace: str) -> None:
    """The loop goes on sweeping when the store is back."""
    with EmbeddedStore(port=0) as server:
        async with open_store(server.url, namespace) as store:
            janitor = Janitor(store, interval=0.05)
            sweeping = asyncio.create_task(janitor.run())
            server.kill()
            await asyncio.sleep(0.2)  # it meets the store's absence
            await asyncio.to_thread(server.start)
            job_id = new_job_id()
            await store.jobs.submit([Submission(job_id, "test.work", b"{}", delay=timedelta(seconds=0.1))])

            async def is_pending() -> bool:
                (job,) = await store.views.get([job_id])
                return job is not None and job.state is JobState.PENDING

            await wait_until_async(is_pending)
            janitor.stop()
            await sweeping
