"""Ten thousand streams that hear nothing and never go: the server has room for others, and gets back all it gave."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.crowds import open_files, serving
from support.plain_http import asking
from support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

STREAMS = 10_000
AT_ONCE = 200
KIB_EACH = 60
"""Memory of the server for each stream: a connection, a request, a place among the listeners."""
ANSWERED_WITHIN = 5.0
"""Seconds for another's submission while all are open; a busy machine takes most of them."""


class Stream(asyncio.Protocol):
    """A client that opens a stream, hears that it is open, and does nothing more."""

    opened = 0

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 200"):
            Stream.opened += 1


@pytest.fixture
def many_files():
    """Let this process have a socket for each."""
    with open_files(STREAMS + 500):
        yield


@pytest.fixture
async def served(start_process, redis_url, namespace, store):
    async with serving(start_process, redis_url, namespace, EMP_STREAMS_PER_CLIENT=str(2 * STREAMS)) as served:
        yield served


@pytest.mark.usefixtures("many_files")
async def test_ten_thousand_idle_streams_keep_nobody_from_submitting(served, worker):
    """They cost bounded memory and no connection to the store, and when they go their descriptors are free."""
    loop = asyncio.get_running_loop()
    connections, memory, files = await served.connections(), served.memory_kib(), served.open_files()
    Stream.opened = 0
    streams: list[Stream] = []

    for _ in range(0, STREAMS, AT_ONCE):
        opened = await asyncio.gather(
            *(loop.create_connection(Stream, "127.0.0.1", served.port) for _ in range(AT_ONCE))
        )
        streams += [stream for _, stream in opened]
    await wait_until_async(lambda: asyncio.sleep(0, Stream.opened == STREAMS), timeout=200)
    more_connections = await served.connections() - connections
    kib_each = (served.memory_kib() - memory) / STREAMS
    async with asking(served.url, timeout=60) as client:
        began = time.monotonic()
        submitted = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": None})
        took = time.monotonic() - began
    for stream in streams:
        stream.transport.close()
    await wait_until_async(lambda: asyncio.sleep(0, served.open_files() <= files + 10), timeout=100)

    assert submitted.status_code == 202
    assert took < ANSWERED_WITHIN
    assert more_connections <= 2
    assert kib_each < KIB_EACH
