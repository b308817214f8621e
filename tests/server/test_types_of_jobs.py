"""A stream that is cut to a type has to know the types of jobs: each job is read once for all streams."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from emp_core.store import open_store
from emp_server.types_of_jobs import TypesOfJobs

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job_id(store):
    [submitted] = await store.jobs.submit([Submission(new_job_id(), "any.thing", b"1")])
    return submitted.job_id


async def test_a_job_is_read_once_however_many_ask(settings, store, job_id):
    types = TypesOfJobs(store)
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.config_resetstat()

        told = await asyncio.gather(*(types.of(job_id) for _ in range(100)))
        told.append(await types.of(job_id))

        assert (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"] == 1
    assert set(told) == {"any.thing"}


async def test_who_gives_up_takes_the_answer_from_nobody(store, job_id):
    types = TypesOfJobs(store)
    first, second = (asyncio.create_task(types.of(job_id)) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == "any.thing"


async def test_a_job_that_is_not_there_has_no_type(store):
    assert await TypesOfJobs(store).of(new_job_id()) == ""


async def test_while_the_store_is_away_nobody_knows(namespace):
    async with open_store("redis://127.0.0.1:1", namespace) as nowhere:
        assert await TypesOfJobs(nowhere).of(new_job_id()) is None


async def test_what_could_not_be_read_is_read_again(store, job_id, monkeypatch):
    """A cut does not make a type unknown for good."""
    types = TypesOfJobs(store)
    async with open_store("redis://127.0.0.1:1", "nowhere") as nowhere:
        monkeypatch.setattr(types, "_store", nowhere)
        assert await types.of(job_id) is None
    monkeypatch.setattr(types, "_store", store)

    assert await types.of(job_id) == "any.thing"
