"""Close a connection whose client may still be sending, so that the client can read the last answer.

A socket that is closed while data arrives is reset, and a reset discards what the client has not read yet: a client
that sends a large body would never learn why it was rejected. RFC 9112 (section 9.6) describes the remedy: end the own
direction, read and discard what still comes, then close. Nothing that comes is kept, and three limits bound how long it
may go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

IDLE_LIMIT: Final = 2.0
"""Seconds in which nothing comes; the client has read the answer by then, or has gone."""
TIME_LIMIT: Final = 30.0
"""Seconds in all."""
BYTES_LIMIT: Final = 64 * 1024 * 1024


class CycleTransport:
    """The part of a transport that uvicorn uses for an answer, with a `close` of our own."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Lingering(asyncio.Protocol):
    """Takes over a connection after its last answer. The sweep of all connections looks at it, too."""

    def __init__(self, transport: asyncio.Transport, connections: set[Any], now: float) -> None:
        self._transport = transport
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._ends_at = now + TIME_LIMIT
        self._heard_at = now
        self._bytes_left = BYTES_LIMIT

    def begin(self) -> None:
        """Take over the connection and send its end after what has been written."""
        self._connections.add(self)
        self._transport.set_protocol(self)
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Discard data."""
        self._heard_at = self._loop.time()
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection. The client has ended it, or a limit was reached."""
        self._connections.discard(self)

    def look(self, now: float) -> None:
        """End the connection if its time is up, even if the client has not read the answer."""
        if now > min(self._ends_at, self._heard_at + IDLE_LIMIT):
            self._transport.abort()

    def shutdown(self) -> None:
        """Close the connection because the server stops."""
        self._transport.close()
