"""Connections over raw sockets: heads that are too large, requests that never come, another protocol asked for."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import pytest

from emp_server.connections import PatientProtocol
from support.waiting import wait_until

from .conftest import ANYTHING, running, stored_jobs, submit

pytestmark = pytest.mark.anyio

ENVELOPE = b'{"job_type":"any.thing","payload":1}'


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"request_patience": timedelta(seconds=1), "head_limit_bytes": 8192})


@pytest.fixture
def packets(monkeypatch):
    """Return the sizes of the packets that the server has read."""
    sizes = []
    read = PatientProtocol.data_received
    monkeypatch.setattr(
        PatientProtocol, "data_received", lambda self, data: read(self, data) or sizes.append(len(data))
    )
    return sizes


async def told(port: int, *parts: bytes) -> bytes:
    """Send bytes, and give all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def post(*headers: bytes, body: bytes = ENVELOPE, length: int | None = None) -> bytes:
    """Write a submission."""
    lines = [
        b"POST /v1/jobs HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Content-Length: %d" % (len(body) if length is None else length),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 2000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000,
    ],
    ids=["line", "header", "headers", "no end"],
)
async def test_a_head_over_its_limit_is_answered_431(server, head):
    answer = await told(server.port, head)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"urn:emp:problem:head-too-large" in answer


async def test_a_head_within_its_limit_is_read_in_any_pieces(server, store):
    text = post(b"X: " + b"a" * 7000, b"Connection: close")

    answer = await told(server.port, *(text[at : at + 500] for at in range(0, len(text), 500)))

    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_a_large_body_is_no_large_head(server, store):
    body = b'{"job_type":"any.thing","payload":"' + b"a" * 300_000 + b'"}'
    text = post(body=body) + post(b"Connection: close")

    assert (await told(server.port, text)).count(b"HTTP/1.1 202 ") == 2


@pytest.mark.parametrize("cut", [1, 20, 60, -5])
async def test_a_request_that_does_not_come_is_answered_408(server, store, cut):
    answer = await told(server.port, post()[:cut])

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:emp:problem:too-slow" in answer
    assert await stored_jobs(store) == 0


async def test_a_connection_that_asks_for_nothing_is_closed(server):
    assert await told(server.port) == b""


async def test_what_is_not_http_is_answered_400_with_a_problem(server):
    answer = await told(server.port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:emp:problem:invalid-request" in answer


async def test_who_asks_for_http2_keeps_the_body(server, store):
    asks = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    writer.write(post(*asks))
    line = await reader.readline()
    writer.close()

    assert line.startswith(b"HTTP/1.1 202 ")
    assert await stored_jobs(store) == 1


async def test_a_wish_for_http2_in_pieces_loses_no_body(server, store, packets):
    text = post(b"Connection: Upgrade, close", b"Upgrade: h2c", b"X-After: 1")
    begin, end = text.index(b"\r\nUpgrade: h2c"), text.index(b"X-After")

    answers = [await in_two_packets(server, packets, text, cut) for cut in range(begin, end + 1)]

    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 202 "}
    assert await stored_jobs(store) == len(answers)


async def test_a_head_in_pieces_is_read_as_a_whole(server, store, packets):
    text = post(b"Connection: close")

    answers = [await in_two_packets(server, packets, text, cut) for cut in range(1, len(text) - len(ENVELOPE) + 2)]

    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 202 "}


async def in_two_packets(server, packets, text, cut):
    """Send a request in two packets that the server reads one by one, and return the answer."""
    packets.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(text[:cut])
    await asyncio.to_thread(wait_until, lambda: sum(packets) == cut)
    writer.write(text[cut:])
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_a_body_that_goes_on_after_its_refusal_is_cut_off(server, store):
    answer = await told(server.port, post(body=b"{", length=10**9))

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_idle_connection_is_closed_after_an_early_rejection(server, store):
    server.server.config.timeout_keep_alive = 0.1
    body = b"a" * 17_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    writer.write(post(body=b"", length=len(body)))
    answer = await asyncio.wait_for(reader.readline(), 20)
    writer.write(body)
    await asyncio.wait_for(reader.read(), 20)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_does_not_read_is_cut_off(settings, store):
    impatient = settings.model_copy(update={"answer_patience": timedelta(seconds=1)})
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(impatient) as server, socket.create_connection(("127.0.0.1", server.port)) as deaf:
        state = server.server.server_state
        deaf.sendall(ask * 500)
        await asyncio.to_thread(wait_until, lambda: state.total_requests)

        await asyncio.to_thread(wait_until, lambda: not state.connections)

        assert state.total_requests < 500


async def test_a_client_that_does_not_read_its_last_answer_is_cut_off(settings, store, client, worker):
    impatient = settings.model_copy(update={"answer_patience": timedelta(seconds=1)})
    job_id = await submit(client)
    await worker.complete(await worker.start(ANYTHING.job_type), b'"%b"' % (b"a" * 15_000_000))
    ask = b"GET /v1/jobs/%b/result HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % job_id.encode()
    with running(impatient) as server, socket.create_connection(("127.0.0.1", server.port)) as deaf:
        state = server.server.server_state
        deaf.sendall(ask)
        await asyncio.to_thread(wait_until, lambda: state.total_requests)
        assert state.connections

        await asyncio.to_thread(wait_until, lambda: not state.connections)
