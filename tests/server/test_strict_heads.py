"""A head that another server may read differently is rejected: what passes its checks would be another request."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import stored_jobs

pytestmark = pytest.mark.anyio

BODY = b'{"job_type":"any.thing","payload":1}'
HOST = b"Host: localhost"
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def request(*fields, line=b"POST /v1/jobs HTTP/1.1", body=BODY):
    return b"\r\n".join([line, b"Content-Type: application/json", b"Connection: close", *fields, b"", body])


async def told(port, text):
    """Send bytes, and return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "text",
    [
        request(b"Host: evil.example", HOST, LENGTH),
        request(HOST, HOST, LENGTH),
        request(HOST, LENGTH, b"Authorization: Bearer a", b"Authorization: Bearer b"),
        request(HOST, LENGTH, line=b"POST http://evil.example/v1/jobs HTTP/1.1"),
        request(HOST, b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
        request(HOST, b"Transfer-Encoding: identity, chunked", body=CHUNKS),
        request(HOST, LENGTH, line=b"POST /v1/jobs HTTP/2.0"),
        request(HOST, b"Transfer-Encoding: chunked", body=CHUNKS[:2] + b";" + b"x" * 300_000 + CHUNKS[2:]),
    ],
    ids=[
        "two hosts",
        "one host twice",
        "two keys",
        "a foreign target",
        "compressed chunks",
        "identity",
        "HTTP/2.0",
        "a long chunk extension",
    ],
)
async def test_an_ambiguous_request_is_answered_400(server, store, text):
    answer = await told(server.port, text)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:emp:problem:invalid-request" in answer
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    "text",
    [
        request(HOST, LENGTH, line=b"POST http://LOCALHOST/v1/jobs HTTP/1.1"),
        request(HOST, LENGTH, b"X-Request-Id: a", b"X-Request-Id: b"),
        request(HOST, b"Transfer-Encoding: Chunked", body=CHUNKS),
        request(HOST, b"Transfer-Encoding: chunked", body=CHUNKS[:2] + b";name=value" + CHUNKS[2:]),
        request(
            HOST,
            b"Transfer-Encoding: chunked",
            body=b"".join(b"1\r\n%c\r\n" % byte for byte in BODY[:-1] + b" " * 20_000 + b"}") + b"0\r\n\r\n",
        ),
    ],
    ids=["our target", "another field twice", "chunks", "a short chunk extension", "chunks of one byte"],
)
async def test_an_unusual_request_is_served(server, store, text):
    answer = await told(server.port, text)

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert await stored_jobs(store) == 1
