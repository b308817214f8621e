"""Requests written by hand on a connection of one's own, where a client library would tidy them up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.serving import RunningServer

ENVELOPE = b'{"job_type":"any.thing","payload":1}'
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(
    *headers: bytes,
    path: bytes = b"/v1/jobs",
    body: bytes = ENVELOPE,
    length: int | None = None,
    kind: bytes = b"application/json",
) -> bytes:
    """Write a submission."""
    lines = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % (len(body) if length is None else length),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Wire:
    """A connection over which requests are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Give the status, the head and the body of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), head.lower(), await self.reader.readexactly(length)

    async def ended(self) -> bytes:
        """Give what comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 60)


@asynccontextmanager
async def connected(server: RunningServer) -> AsyncIterator[Wire]:
    """Give a connection of one's own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    yield Wire(reader, writer)
    writer.close()
