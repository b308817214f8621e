"""What one connection may ask for: a bounded number of requests and of header fields, and nothing behind a stream."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from emp_core.errors import InvalidRequest
from emp_server.connections import FIELDS_LIMIT, PIECE, QUEUE_LIMIT
from emp_server.malformed_log import INTERVAL, MalformedLog
from support.waiting import wait_until_async

from .conftest import submit

pytestmark = pytest.mark.anyio

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
QUEUED_AT_MOST = QUEUE_LIMIT + PIECE // len(LIVE) + 1


async def told(port: int, text: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_many_pipelined_requests_are_all_answered(server):
    answer = await told(server.port, LIVE * 5000 + LAST)

    assert answer.count(b"HTTP/1.1 200 ") == 5001


async def test_many_pipelined_submissions_are_all_answered(server, store):
    body = b'{"job_type":"any.thing","payload":"' + b"x" * 300 + b'"}'
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    answer = await told(server.port, (head % len(body) + body) * 300 + LAST)

    assert answer.count(b"HTTP/1.1 202 ") == 300
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_pipelined_requests_behind_a_slow_one_are_kept_unparsed(client, server, store):
    slow = b"GET /v1/jobs/%s?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n" % (await submit(client)).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    before = set(server.server.server_state.connections)
    writer.write(slow + LIVE * 5000)

    async def paused():
        return [each for each in before | set(server.server.server_state.connections) if each.flow.read_paused]

    [connection] = await wait_until_async(paused)

    assert QUEUE_LIMIT <= len(connection.pipeline) <= QUEUED_AT_MOST
    writer.close()


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["whole", "without an end"])
async def test_a_head_of_too_many_fields_is_answered_431(server, end):
    answer = await told(
        server.port, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * (FIELDS_LIMIT + 1) + end
    )

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"urn:emp:problem:head-too-large" in answer


async def test_a_head_may_have_as_many_fields_as_the_limit(server):
    fields = b"a: 1\r\n" * (FIELDS_LIMIT - 2)

    answer = await told(
        server.port, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + fields + b"\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_request_behind_a_stream_ends_the_connection_and_the_stream(server, store):
    crowd = server.server.app.parts.crowd
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert crowd.streams == 1

    writer.write(LIVE)
    await asyncio.wait_for(reader.read(), 20)

    await wait_until_async(lambda: asyncio.sleep(0, not crowd.streams))
    writer.close()


def test_malformed_requests_are_logged_with_their_address_once_a_second():
    now = 0.0
    log = MalformedLog(lambda: now)

    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            log.add(("192.0.2.1", 4711), InvalidRequest("this is not HTTP/1.1"))
        now = INTERVAL
        log.add(("192.0.2.2", 4712), InvalidRequest("this is not HTTP/1.1"))

    assert [(line["client"], line["unlogged"]) for line in lines] == [("192.0.2.1:4711", 0), ("192.0.2.2:4712", 999)]
