"""Offer a server submissions from a process of its own: `python -m benchmarks.offered HOST PORT < plan`.

With a rate the load is open: a request has its time, whatever became of those before, and its answer is measured from
that time, so that what waits because the server is slow is not left out (no coordinated omission). Without a rate, each
connection sends its next request when it has its answer: so a server's capacity is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import msgspec
import uvloop

CONNECTIONS: Final = 250
"""Of one process, opened before an open load: clients that are there. They take turns, so none is closed as idle."""
MOST_CONNECTIONS: Final = 1_000
"""Of one process. A request that finds none free opens one more or, with so many, waits; its time runs."""
ANSWERED_WITHIN: Final = 20.0
"""Seconds after the last request in which answers still count; after that they are lost."""
LOST: Final = 0
"""The status of a request without an answer."""

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ID: Final = re.compile(rb'"id":"([0-9a-z]{26})"')
_RETRY_AFTER: Final = re.compile(rb"(?i)\r\nretry-after: *\d+")


class Span(msgspec.Struct, frozen=True):
    """A part of a plan: so many seconds, with so many requests a second, or as many as so many connections can."""

    name: str
    seconds: float
    rate: float = 0.0
    connections: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What to send, and when; `begins` on the machine's monotonic clock, in seconds."""

    begins: float
    request: bytes
    spans: list[Span]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """When a request was due, in seconds since the plan began, how long until its answer was here, and what it said.

    `late` of it passed before the generator saw to it.
    """

    span: str
    due: float
    took: float
    status: int
    job_id: str = ""
    says_when: bool = False
    late: float = 0.0


class _Due(NamedTuple):
    """A request that is due: for which part of the plan, when, and how much later somebody saw to it."""

    span: str
    at: float
    late: float


class _Connection(asyncio.Protocol):
    """One connection with one request under way at most."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._read = b""
        self.transport: asyncio.Transport
        self.asked: _Due | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one, and does not say so

    def ask(self, due: _Due) -> None:
        """Send a request."""
        self.asked = due
        self.transport.write(self._sender.plan.request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._read, 0, end + 2)
        if length is None or len(self._read) < end + 4 + int(length[1]):
            return
        read, self._read = self._read, b""
        assert self.asked is not None
        self._sender.answered(self, read, end)

    def connection_lost(self, _error: Exception | None) -> None:
        self._sender.lost(self)


class _Sender:
    """Sends what a plan says, and keeps what is answered."""

    def __init__(self, host: str, port: int, plan: Plan) -> None:
        self._host = host
        self._port = port
        self.plan = plan
        self.answers: list[Answer] = []
        self._free: deque[_Connection] = deque()
        self._waiting: deque[_Due] = deque()
        self._connections = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._closed_until = 0.0

    async def run(self) -> None:
        """Carry the plan out."""
        at = self.plan.begins
        if self.plan.spans[0].rate:
            self._connections = CONNECTIONS
            await asyncio.gather(*(self._open() for _ in range(CONNECTIONS)))
        for span in self.plan.spans:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            at += span.seconds
            if span.rate:
                await self._open_load(span, at - span.seconds, at)
            else:
                await self._closed_load(span, at)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWERED_WITHIN):
                await self._idle.wait()

    async def _open_load(self, span: Span, begins: float, ends: float) -> None:
        due, number = begins, 0
        while due < ends:
            now = time.monotonic()
            while due <= now and due < ends:
                self._ask(_Due(span.name, due, time.monotonic() - due))
                number += 1
                due = begins + number / span.rate
            await asyncio.sleep(max(0.001, due - time.monotonic()))

    async def _closed_load(self, span: Span, ends: float) -> None:
        self._closed_until = ends
        for _ in range(span.connections):
            self._ask(_Due(span.name, time.monotonic(), 0.0))
        await asyncio.sleep(ends - time.monotonic())
        await self._idle.wait()

    def _ask(self, due: _Due) -> None:
        self._under_way += 1
        self._idle.clear()
        if self._free:
            self._free.popleft().ask(due)
            return
        self._waiting.append(due)
        if self._connections < MOST_CONNECTIONS:
            self._connections += 1
            task = asyncio.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self._connections -= 1
            if self._waiting:
                self._keep(self._waiting.popleft(), LOST)
        else:
            self._next(connection)

    def _next(self, connection: _Connection) -> None:
        if self._waiting:
            connection.ask(self._waiting.popleft())
        else:
            self._free.append(connection)

    def answered(self, connection: _Connection, read: bytes, end: int) -> None:
        """Keep an answer, and use its connection for the next request."""
        asked, connection.asked = connection.asked, None
        assert asked is not None
        now = time.monotonic()
        if now < self._closed_until:
            self._under_way += 1
            connection.ask(_Due(asked.span, now, 0.0))
        else:
            self._next(connection)
        found = _ID.search(read, end)
        job_id = found[1].decode() if found else ""
        self._keep(asked, int(read[9:12]), job_id, says_when=_RETRY_AFTER.search(read, 0, end + 2) is not None)

    def lost(self, connection: _Connection) -> None:
        """Forget a connection that was closed, and with it the answer of its request."""
        self._connections -= 1
        if connection in self._free:
            self._free.remove(connection)
        if connection.asked is not None:
            self._keep(connection.asked, LOST)

    def _keep(self, asked: _Due, status: int, job_id: str = "", *, says_when: bool = False) -> None:
        took = time.monotonic() - asked.at
        at = asked.at - self.plan.begins
        self.answers.append(Answer(asked.span, at, took, status, job_id, says_when, asked.late))
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()


async def offer(host: str, port: int, plans: Sequence[Plan]) -> list[Answer]:
    """Carry out plans, each in a process of its own; gives all answers.

    Raises:
        RuntimeError: a process failed.
    """
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.offered", host, str(port)]
    processes = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in plans]
    told = await asyncio.gather(
        *(process.communicate(msgspec.json.encode(plan)) for process, plan in zip(processes, plans, strict=True))
    )
    if any(process.returncode for process in processes):
        raise RuntimeError("a load generator failed")
    return [answer for out, _ in told for answer in msgspec.json.decode(out, type=list[Answer])]


def main() -> None:
    """Read a plan, carry it out, write the answers."""
    host, port = sys.argv[1:]
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)

    async def send() -> list[Answer]:
        sender = _Sender(host, int(port), plan)
        await sender.run()
        return sender.answers

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(send())))


if __name__ == "__main__":
    main()
