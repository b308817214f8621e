"""A TCP proxy that swallows the answers to one kind of call: the server has done it, and nobody hears so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Swallower:
    """Passes everything on, but for the answers on a connection from the call on that `wanted` was seen in.

    `swallowed` counts those calls; with `wanted` None nothing more is swallowed on new connections.
    """

    def __init__(self, target_port: int, wanted: bytes) -> None:
        self._target_port = target_port
        self.wanted: bytes | None = wanted
        self.port = 0
        self.swallowed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        deaf = asyncio.Event()

        async def forward() -> None:
            while data := await reader.read(1 << 16):
                if self.wanted is not None and self.wanted in data:
                    deaf.set()
                    self.swallowed += 1
                server_writer.write(data)
            server_writer.close()

        async def back() -> None:
            while data := await server_reader.read(1 << 16):
                if not deaf.is_set():
                    writer.write(data)
            writer.close()

        with suppress(ConnectionError):
            await asyncio.gather(forward(), back())


@asynccontextmanager
async def swallowing(target_port: int, wanted: str) -> AsyncIterator[Swallower]:
    """Run one in the test's own event loop."""
    swallower = Swallower(target_port, wanted.encode())
    server = await asyncio.start_server(swallower.serve, "127.0.0.1", 0)
    swallower.port = server.sockets[0].getsockname()[1]
    async with server:
        yield swallower
