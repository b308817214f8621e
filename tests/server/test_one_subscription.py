"""However many listen to a server, it has one subscription to the store, and a handful of connections."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from support.serving import RunningServer
from support.waiting import wait_until_async

from .conftest import submit

pytestmark = pytest.mark.anyio

OF_EACH = 60
LISTENERS = 6 * OF_EACH


class Listeners:
    """Many connections, each with one stream or wait."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: Counter[str] = Counter()
        self._listening: set[asyncio.Task[None]] = set()

    async def open(self, path: str, mark: bytes) -> None:
        """Listen; how often `mark` is heard is counted by the path."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        self._listening.add(asyncio.create_task(self._listen(path, mark, reader, writer)))

    async def _listen(self, path: str, mark: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            if mark in line:
                self.heard[path] += 1
        writer.close()

    async def ended(self) -> None:
        """Wait until the server has ended all of them."""
        await asyncio.wait_for(asyncio.gather(*self._listening), 20)


async def subscriptions(redis: Redis, namespace: str) -> dict[bytes, int]:
    """Give the channels of a namespace with their subscriptions."""
    channels = await redis.pubsub_channels(f"*{namespace}*")
    return dict(await redis.pubsub_numsub(*channels))


async def subscribers_of(redis: Redis) -> set[str]:
    """Give the connections that listen to some channel."""
    return {each["id"] for each in await redis.client_list() if int(each["sub"])}


async def test_hundreds_of_listeners_of_every_kind_share_one_subscription(
    settings, server: RunningServer, store, worker, client
):
    """And when the server stops, it ends all of them and leaves no subscription behind."""
    job_id = await submit(client)
    async with Redis.from_url(settings.redis_url) as redis:
        subscribed, connections = await subscriptions(redis, settings.namespace), len(await redis.client_list())
        subscribers = await subscribers_of(redis)
        listeners = Listeners(server.port)
        paths = {
            "/v1/events": b"completed",
            "/v1/events?state=completed": b"completed",
            "/v1/events?job_type=any.thing": b"completed",
            f"/v1/jobs/{job_id}/events": b'"status":"completed"',
            f"/v1/jobs/{job_id}?wait=60": b'"state":"completed"',
            "/ui/live": b"event: changed",
        }
        for path, mark in paths.items():
            await asyncio.gather(*(listeners.open(path, mark) for _ in range(OF_EACH)))
        await wait_until_async(lambda: are_as_many(server, LISTENERS))

        assert await subscriptions(redis, settings.namespace) == subscribed
        assert set(subscribed.values()) == {1}
        # A server of a test before may still be leaving.
        assert await subscribers_of(redis) <= subscribers
        assert len(await redis.client_list()) - connections <= 2

        await worker.complete(await worker.start("any.thing"))
        await wait_until_async(lambda: has_everybody_heard(listeners, paths))
        await asyncio.to_thread(server.stop)
        await listeners.ended()

        assert await subscriptions(redis, settings.namespace) == {}


async def are_as_many(server: RunningServer, count: int) -> bool:
    """Tell whether so many listen."""
    return server.listeners == count


async def has_everybody_heard(listeners: Listeners, paths: dict[str, bytes]) -> bool:
    """Tell whether each listener of every kind has heard of the end."""
    return all(listeners.heard[path] >= OF_EACH for path in paths)
