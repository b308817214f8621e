"""Malformed HTTP over raw sockets: each is refused with a problem or cut off, nothing is stored, the server goes on."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from support.serving import stored_jobs

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HOST = b"Host: localhost\r\n"
BODY = b'{"job_type":"any.thing","payload":1}'
TYPE = b"Content-Type: application/json\r\n"
POST = b"POST /v1/jobs HTTP/1.1\r\n" + HOST + TYPE
GET = b"GET /livez HTTP/1.1\r\n" + HOST
LENGTH = b"Content-Length: %d\r\n" % len(BODY)

MALFORMED = {
    "no version": b"GET /livez\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\n\r\n",
    "version 3": b"GET /livez HTTP/3.0\r\n\r\n",
    "version of letters": b"GET /livez HTTP/x.y\r\n\r\n",
    "method of symbols": b"G@T /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "method in Chinese": "获取 /livez HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space before the colon": GET + b"X-A : 1\r\n\r\n",
    "no colon": GET + b"nonsense\r\n\r\n",
    "no name": GET + b": 1\r\n\r\n",
    "null byte in a header": GET + b"X-A: a\0b\r\n\r\n",
    "control characters in a header": GET + b"X-A: a\x01b\r\n\r\n",
    "folded header": GET + b"X-A: a\r\n\tHost: evil.example\r\n\r\n",
    "length of letters": POST + b"Content-Length: abc\r\n\r\n" + BODY,
    "length below 0": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "length with a plus": POST + b"Content-Length: +36\r\n\r\n" + BODY,
    "length in hexadecimal": POST + b"Content-Length: 0x24\r\n\r\n" + BODY,
    "length beyond all": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + BODY,
    "two lengths": POST + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
    "two lengths in one": POST + b"Content-Length: 36, 3\r\n\r\n" + BODY,
    "length and chunks": POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + BODY,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n",
    "chunk of letters": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk below 0": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "chunk beyond all": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
    "chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "foreign host": b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "foreign address": b"GET http://evil.example/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
}


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"request_patience": timedelta(seconds=1)})


async def told(port: int, *parts: bytes) -> bytes:
    """Send bytes, and give all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        while chunk := await asyncio.wait_for(reader.read(65536), 20):
            heard += chunk
    except ConnectionError:
        pass
    finally:
        writer.close()
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", heard)]


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_malformed_is_refused_or_cut_off(server, client, store, sent):
    heard = await told(server.port, sent)

    answered = statuses(heard)
    assert all(status < 500 for status in answered), heard
    assert all(status >= 400 or status == 200 for status in answered[:1]), heard
    if any(status >= 400 for status in answered):
        assert b"application/problem+json" in heard
    assert b"Traceback" not in heard
    assert await stored_jobs(store) == 0
    assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("name", ["two lengths", "length and chunks", "chunks and length", "chunked not last"])
async def test_a_request_whose_end_is_in_doubt_hides_no_other(server, store, name):
    hidden = POST + LENGTH + b"\r\n" + BODY

    heard = await told(server.port, MALFORMED[name] + hidden)

    assert all(status >= 400 for status in statuses(heard)), heard
    assert await stored_jobs(store) == 0


async def test_requests_that_follow_each_other_at_once_are_answered_in_order(server, store):
    again = POST + LENGTH + b"\r\n" + BODY
    last = b"GET /nope HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"

    heard = await told(server.port, again * 3 + GET + b"\r\n" + last)

    assert statuses(heard) == [202, 202, 202, 200, 404]
    assert await stored_jobs(store) == 3


async def test_a_request_may_come_byte_by_byte(server, store):
    text = POST + LENGTH + b"Connection: close\r\n\r\n" + BODY

    heard = await told(server.port, *(text[at : at + 1] for at in range(len(text))))

    assert statuses(heard) == [202]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
async def test_half_a_request_stores_nothing(server, client, store, part):
    text = POST + LENGTH + b"\r\n" + BODY
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)

    writer.write(text[: int(len(text) * part)])
    await writer.drain()
    writer.close()

    assert (await client.get("/livez")).status_code == 200
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    "header", [b"X-Request-Id", b"Idempotency-Key", b"Prefer", b"Accept", b"Authorization", b"Cookie"]
)
async def test_no_header_of_a_request_becomes_one_of_the_answer(server, store, header):
    value = b"a%0d%0aX-Evil: 1\rX-Evil: 1"

    heard = await told(
        server.port, POST + header + b": " + value + b"\r\n" + LENGTH + b"Connection: close\r\n\r\n" + BODY
    )

    head = heard.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"[\r\n]x-evil", head, re.IGNORECASE), head


async def test_an_address_becomes_no_header_of_the_answer(server):
    heard = await told(
        server.port, b"GET /v1/jobs/a%0d%0aX-Evil:%201 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    )

    assert statuses(heard) == [404]
    assert b"\nX-Evil" not in heard.partition(b"\r\n\r\n")[0]
