"""A TCP proxy of our own that does to a connection what networks do: cut, stall, delay, split, half-open.

It runs on a thread of its own, so that tests may block; every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

Direction = Literal["up", "down"]
"""From the client to the server, or from the server to the client."""

_CHUNK: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends a reset


@dataclass(frozen=True, slots=True)
class Line:
    """How the line is now. `cut_after` counts the bytes of each new connection in the direction `cut`."""

    delay: float = 0.0
    piece: int = _CHUNK
    cut: Direction | None = None
    cut_after: int = 0
    stalled: frozenset[Direction] = frozenset()
    is_refusing: bool = False


GOOD: Final = Line()
"""A line that passes everything on at once."""


@dataclass(slots=True)
class Trap:
    """Waits for bytes in one direction. `sprung` is called once, before they are passed on; False: they never are."""

    direction: Direction
    matches: Callable[[bytes], bool]
    sprung: Callable[[], bool]


class _Pair:
    """One connection of a client with its own connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = {"down": client, "up": server}
        self.passed = {"up": 0, "down": 0}

    def reset(self) -> None:
        for writer in self.writers.values():
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def lose_server(self) -> None:
        """Take the server's side away; the client is told nothing."""
        self.writers["up"].transport.abort()


class Proxy:
    """Passes connections on to a server; use it as a context manager."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self.opened = 0
        self._target_port = target_port
        self._line = GOOD
        self._changed = asyncio.Event()
        self._trap: Trap | None = None
        self._pairs: set[_Pair] = set()
        self._runs: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, line: Line) -> None:
        """Let the line be like this from now on, for connections that are open, too."""
        self._call(self._set(line))

    def heal(self) -> None:
        """Let the line be good, without a trap; connections that were stalled go on."""
        self._call(self._set(GOOD))

    def cut(self) -> int:
        """Reset every connection that is open; gives how many."""
        return self._call(self._cut())

    def half_open(self) -> int:
        """Take the server away from every connection, and let the clients believe that it is there."""
        return self._call(self._half_open())

    def catch(self, trap: Trap | None) -> None:
        """Set a trap, or take it away."""
        self._trap = trap

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _set(self, line: Line) -> None:
        self._line = line
        if line == GOOD:
            self._trap = None
        self._changed.set()
        self._changed = asyncio.Event()

    async def _cut(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)
        return len(pairs)

    async def _half_open(self) -> int:
        self._line = Line(stalled=frozenset({"up", "down"}))
        for pair in self._pairs:
            pair.lose_server()
        return len(self._pairs)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        for run in list(self._runs):
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    def _end(self, pair: _Pair) -> None:
        if pair in self._pairs:
            self._pairs.discard(pair)
            self.cuts += 1
        pair.reset()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        run = asyncio.create_task(self._serve(reader, writer))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._line.is_refusing:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self.opened += 1
        pair = _Pair(writer, server_writer)
        self._pairs.add(pair)
        ways = (self._pass(pair, "up", reader), self._pass(pair, "down", server_reader))
        try:
            await asyncio.gather(*ways)
        finally:
            self._pairs.discard(pair)
            pair.reset()

    async def _pass(self, pair: _Pair, way: Direction, reader: asyncio.StreamReader) -> None:
        writer = pair.writers[way]
        with contextlib.suppress(OSError):
            while True:
                data = await reader.read(_CHUNK)
                await self._wait_while_stalled(way)
                if not data:
                    break
                if not await self._springs(pair, way, data):
                    return
                await self._send(pair, way, writer, data)
            if not writer.transport.is_closing():
                writer.write_eof()

    async def _wait_while_stalled(self, way: Direction) -> None:
        while way in self._line.stalled:
            await self._changed.wait()

    async def _springs(self, pair: _Pair, way: Direction, data: bytes) -> bool:
        """Spring the trap if this is what it waits for; False if the data must not go on."""
        trap = self._trap
        if trap is None or trap.direction != way or not trap.matches(data):
            return True
        self._trap = None
        passes = await asyncio.to_thread(trap.sprung)
        if not passes:
            self._end(pair)
        return passes

    async def _send(self, pair: _Pair, way: Direction, writer: asyncio.StreamWriter, data: bytes) -> None:
        at = 0
        while at < len(data):
            line = self._line
            piece = data[at : at + line.piece]
            if line.cut == way:
                piece = piece[: max(0, line.cut_after - pair.passed[way])]
            if line.delay:
                await asyncio.sleep(line.delay)
            writer.write(piece)
            await writer.drain()
            pair.passed[way] += len(piece)
            at += len(piece)
            if line.cut == way and pair.passed[way] >= line.cut_after:
                self._end(pair)
                return
