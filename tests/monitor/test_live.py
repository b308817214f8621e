"""The stream of a page: it says that something has changed, and says so a few times a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from time import monotonic

import httpx2
import pytest
from redis import Redis

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from emp_server.monitor import live
from support.serving import submit
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

READS = ("get", "mget", "getrange", "hgetall", "hmget", "lrange", "smembers")


class Heard:
    """When the stream said that something has changed."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.has_ended = False


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, path: str) -> AsyncIterator[Heard]:
    """Listen to a stream while the body runs."""
    heard = Heard()

    async def listen() -> None:
        async with client.stream("GET", path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line == "event: changed":
                    heard.times.append(monotonic())
        heard.has_ended = True

    listener = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def listeners(server, count: int = 1) -> bool:
    """Tell whether so many listen."""
    return bool(server.listeners == count)


async def test_a_change_is_told_and_many_are_told_as_one(client, server, worker):
    async with listening(client, "/ui/live") as heard:
        await wait_until_async(lambda: listeners(server))
        for _ in range(50):
            await submit(client)

        await wait_until_async(lambda: _as_many(heard, 2))

    assert len(heard.times) < 50
    assert all(later - earlier > live.PAUSE * 0.8 for earlier, later in pairwise(heard.times))


async def test_a_stream_asks_the_store_nothing_however_many_jobs_pass(client, server, worker, redis_url):
    """An open tab costs the store nothing per job: it is told that something has changed, and not what."""
    jobs = worker.store.jobs
    async with listening(client, "/ui/live") as heard:
        await wait_until_async(lambda: listeners(server))
        await jobs.submit([Submission(new_job_id(), "any.thing", b"null")])
        await wait_until_async(lambda: _as_many(heard, 1))
        with Redis.from_url(redis_url) as redis:
            redis.config_resetstat()
            await jobs.submit([Submission(new_job_id(), "any.thing", b"null") for _ in range(500)])
            await wait_until_async(lambda: _as_many(heard, 2))
            asked = redis.info("commandstats")

    # What the server reads now and then for itself is in it; one read a job would be 500.
    assert (
        sum(asked.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in READS) < 50 < asked["cmdstat_hset"]["calls"]
    )


async def _as_many(heard: Heard, count: int) -> bool:
    return len(heard.times) >= count


async def test_the_stream_of_a_job_is_about_that_job(client, server, worker):
    mine = await submit(client)
    async with listening(client, f"/ui/live?job={mine}") as heard:
        await wait_until_async(lambda: listeners(server))
        await worker.complete(await worker.start("any.thing"))
        await wait_until_async(lambda: _as_many(heard, 1))
        told = len(heard.times)
        async with listening(client, "/ui/live") as others:
            await wait_until_async(lambda: listeners(server, 2))
            await submit(client)
            await wait_until_async(lambda: _as_many(others, 1))

    assert told <= len(heard.times) <= told + 1


async def test_a_page_that_is_left_costs_nothing(client, server, store):
    async with listening(client, "/ui/live"):
        await wait_until_async(lambda: listeners(server))

    async def is_forgotten() -> bool:
        return server.listeners == 0

    await wait_until_async(is_forgotten)


async def test_a_server_that_stops_ends_its_streams(client, server, store):
    async with listening(client, "/ui/live") as heard:
        await wait_until_async(lambda: listeners(server))
        server.server.app.stop()

        async def has_ended() -> bool:
            return heard.has_ended

        await wait_until_async(has_ended)


async def test_what_is_no_job_has_no_stream(client, store):
    assert (await client.get("/ui/live?job=nope")).status_code == 404
