"""A client that is still sending when it is rejected reads why; and it cannot hold its connection by going on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.error
import urllib.request

import pytest

from emp_server import lingering

from .conftest import RunningServer, running, stored_jobs

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
CLOSE = b"Connection: close"


def head(*headers: bytes, length: int, path: bytes = b"/v1/jobs") -> bytes:
    """Write the head of a submission; without a length the body is chunked."""
    lines = [
        b"POST %b HTTP/1.1" % path,
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Transfer-Encoding: chunked" if length < 0 else b"Content-Length: %d" % length,
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def sent(port: int, *parts: bytes) -> bytes:
    """Send all of it before reading anything, as simple clients do; return what was answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def is_idle(server: RunningServer) -> bool:
    assert server.server is not None
    return not server.server.server_state.connections


@pytest.mark.parametrize("mebibytes", [17, 40])
async def test_urllib_reads_why_a_large_body_was_rejected(server, mebibytes):
    body = b'{"job_type":"any.thing","payload":"' + b"a" * mebibytes * MEBIBYTE + b'"}'
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/jobs", body, headers)  # noqa: S310 - loopback

    def submit() -> tuple[int, bytes]:
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(request, timeout=30)  # noqa: S310 - loopback
        with told.value as answer:
            return answer.code, answer.read()

    for _ in range(3):
        status, problem = await asyncio.to_thread(submit)

        assert status == 413
        assert b"urn:emp:problem:too-large" in problem


@pytest.mark.parametrize("connection", [CLOSE, b"Connection: keep-alive"])
@pytest.mark.parametrize("mebibytes", [17, 40])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_a_raw_client_reads_why_a_large_body_was_rejected(server, connection, mebibytes, is_chunked):
    body = b"a" * mebibytes * MEBIBYTE
    parts = [head(connection, length=-1 if is_chunked else len(body)), body]
    if is_chunked:
        parts[1:] = [b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n"]
    server.server.config.timeout_keep_alive = 0.1  # of the connection that is kept

    answer = await asyncio.to_thread(sent, server.port, *parts)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"}")


async def test_every_early_rejection_can_be_read(server, store):
    body = b"a" * 10 * MEBIBYTE
    for early, status in [
        (head(CLOSE, length=len(body), path=b"/nowhere"), 404),
        (head(CLOSE, b"X: " + b"a" * 100_000, length=len(body)), 431),
    ]:
        answer = await asyncio.to_thread(sent, server.port, early, body)

        assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_what_follows_a_last_request_is_not_done(server, store):
    job = b'{"job_type":"any.thing","payload":1}'
    large = head(CLOSE, length=17 * MEBIBYTE) + b"a" * 17 * MEBIBYTE

    answer = await asyncio.to_thread(sent, server.port, large, head(CLOSE, length=len(job)) + job)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    ("limit", "value", "piece"),
    [("IDLE_LIMIT", 0.1, 0), ("TIME_LIMIT", 0.1, 1), ("BYTES_LIMIT", MEBIBYTE, MEBIBYTE)],
    ids=["idle", "time", "bytes"],
)
async def test_a_client_that_never_ends_is_cut_off(server, monkeypatch, limit, value, piece):
    monkeypatch.setattr(lingering, limit, value)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(CLOSE, length=10**9))
    answer = await asyncio.wait_for(reader.read(), 10)

    async def go_on() -> None:
        with contextlib.suppress(ConnectionError):
            while not is_idle(server):
                writer.write(b"a" * piece)
                await writer.drain()
                await asyncio.sleep(0.01)

    await asyncio.wait_for(go_on(), 10)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_server_that_stops_does_not_wait_for_it(settings, store):
    with running(settings) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(head(CLOSE, length=10**9))
        while client.recv(65536):
            pass

        started = asyncio.get_running_loop().time()
        await asyncio.to_thread(server.stop)

        assert asyncio.get_running_loop().time() - started < lingering.IDLE_LIMIT
