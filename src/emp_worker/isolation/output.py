"""What a child process prints: read line by line, and passed on as fast as it may print."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

LINE_LIMIT: Final = 4096
"""Bytes of a line; a longer one comes in parts."""
KEPT_LINES: Final = 30
"""Dropped lines that are still passed on, the last of each read: they may say why the process ends."""
DROPS_TOLD_EVERY: Final = 1.0
READ_AT_ONCE: Final = 1024 * 1024
READ_PAUSE: Final = 0.05
"""Seconds for which nothing is read after `READ_AT_ONCE` bytes; a process that prints without end waits meanwhile."""


@dataclass(slots=True)
class Allowance:
    """Lines and bytes that may be passed on: `burst` at once, and `rate` a second after that."""

    rate: float
    burst: float
    _left: float = field(init=False)
    _at: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._left = self.burst

    def has(self, amount: float) -> bool:
        """Return whether so much may be passed on now."""
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        return self._left >= amount

    def take(self, amount: float) -> None:
        """Use up what `has` has allowed."""
        self._left -= amount


class Listener(Protocol):
    """Receives what a child prints."""

    def printed(self, line: str) -> None:
        """Receive a line."""

    def kept(self, lines: Sequence[str]) -> None:
        """Receive the last of the lines that are dropped, which are not logged."""

    def dropped(self, lines: int, size: int) -> None:
        """Receive how many lines and bytes were dropped since the last call."""


class Output(asyncio.Protocol):
    """Reads lines up to a rate, drops what is printed faster, and says how much that was.

    `silent` is set when no more will come.
    """

    def __init__(self, listener: Listener, silent: asyncio.Future[None]) -> None:
        self._listener = listener
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.ReadTransport | None = None
        self._lines = Allowance(rate=100, burst=1000)
        self._bytes = Allowance(rate=64 * 1024, burst=512 * 1024)
        self._part = b""
        self._read = 0
        self._dropped_lines = self._dropped_bytes = 0
        self._telling: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._pace(len(data))
        text = self._part + data
        if self._may_pass(0):
            lines = text.split(b"\n")
            self._part = lines.pop()
            for at, line in enumerate(lines):
                if not self._may_pass(len(line)):
                    self._drop(len(lines) - at, sum(map(len, lines[at:])), lines[at:][-KEPT_LINES:])
                    break
                self._pass(line)
        else:
            *last, self._part = text.rsplit(b"\n", KEPT_LINES)
            if last:  # the first of them is all that stands before the last lines
                last[0] = last[0].rpartition(b"\n")[2]
                self._drop(text.count(b"\n"), len(text) - len(self._part), last)
        if len(self._part) > LINE_LIMIT:
            line, self._part = self._part, b""
            if self._may_pass(len(line)):
                self._pass(line)
            else:
                self._drop(1, len(line), [line])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if self._part:
            self._pass(self._part)
        self._tell()
        if not self._silent.done():
            self._silent.set_result(None)

    def _may_pass(self, size: int) -> bool:
        return self._lines.has(1) and self._bytes.has(size)

    def _pass(self, line: bytes) -> None:
        self._lines.take(1)
        self._bytes.take(len(line))
        self._listener.printed(_text(line))

    def _drop(self, lines: int, size: int, last: Sequence[bytes]) -> None:
        self._dropped_lines += lines
        self._dropped_bytes += size
        self._listener.kept([_text(line) for line in last])
        if self._telling is None:
            self._telling = self._loop.call_later(DROPS_TOLD_EVERY, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
            self._listener.dropped(self._dropped_lines, self._dropped_bytes)
            self._dropped_lines = self._dropped_bytes = 0

    def _pace(self, size: int) -> None:
        """Read no more for a moment after much was read: the loop has other children and handlers to serve."""
        self._read += size
        if self._read >= READ_AT_ONCE and self._transport is not None:
            self._read = 0
            self._transport.pause_reading()
            self._loop.call_later(READ_PAUSE, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _text(line: bytes) -> str:
    return line[:LINE_LIMIT].decode("utf-8", "backslashreplace")
