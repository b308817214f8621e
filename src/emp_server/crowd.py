"""Bound what is done at once: submissions, bodies in memory, open streams. What is beyond is refused at once.

A server that takes all it is offered answers nobody in time. One that sheds the rest answers whom it takes in time, as
long as shedding costs little: a submission that finds no room is shed where its head is read (`connections.py`), before
anything is made of it. That takes a sixth of the processor time of an answer; taken apart first it took more than half,
and twice the capacity was more than a server could refuse (measured: docs/explanation/performance.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from emp_core.errors import Overloaded, TooManyStreams
from emp_server import media
from emp_server.callers import Caller, caller_in
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings

PLACE: Final = "emp.place"
"""The member of an ASGI scope under which the connection keeps the place of a submission that is here as a whole."""
FULL: Final = "the server has more submissions to do than it can; try again in a second"
SMALL_BODY: Final = 64 * 1024
"""Bytes up to which a body is not counted: as much waits in a connection's own buffer."""


class Place:
    """The place of one submission among those that are worked on, until it is stored or refused."""

    __slots__ = ("_crowd", "_is_left")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._is_left = False
        crowd.submissions += 1

    def leave(self) -> None:
        """Give it back; again does nothing."""
        if not self._is_left:
            self._is_left = True
            self._crowd.submissions -= 1


class Crowd:
    """Counts what one server process has under way."""

    def __init__(self, settings: ServerSettings, refusals: Refusals) -> None:
        self._at_once = settings.submissions_at_once
        self._bodies_limit = settings.bodies_limit_bytes
        self._streams_per_client = settings.streams_per_client
        self._refusals = refusals
        self._streams: Counter[str] = Counter()
        self.submissions = 0
        self.body_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether as many submissions are worked on as may."""
        return self.submissions >= self._at_once

    def enter(self) -> Place | None:
        """Take a place for a submission whose body is here: nobody slow keeps one. None where none is free."""
        return None if self.is_full else Place(self)

    @contextmanager
    def working(self, scope: Scope) -> Iterator[None]:
        """Work on a submission until it is stored, in its place if it has one already.

        Raises:
            Overloaded: as many are worked on as may.
        """
        place = scope.get(PLACE) or self.enter()
        if place is None:
            raise self._overloaded(FULL)
        try:
            yield
        finally:
            place.leave()

    def stream(self, scope: Scope, events: AsyncIterator[bytes], headers: Mapping[str, str]) -> Response:
        """Give the answer that streams events, counted as one of its client's until it ends.

        Raises:
            TooManyStreams: it has as many as it may.
        """
        client = client_of(caller_in(scope), scope)
        if self._streams[client] >= self._streams_per_client:
            error = TooManyStreams(f"{self._streams_per_client} streams are open already")
            self._refusals.count(error)
            raise error
        self._streams[client] += 1
        answer = _CountedStream(events, media_type=media.EVENT_STREAM, headers=headers)
        answer.ended = partial(self._stream_ended, client)
        return answer

    def _stream_ended(self, client: str) -> None:
        self._streams[client] -= 1
        if not self._streams[client]:
            del self._streams[client]

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.total()

    @contextmanager
    def body(self, headers: Mapping[bytes, bytes], receive: Receive) -> Iterator[Receive]:
        """Give a `receive` that counts a large body, while it and its request are in memory.

        That `receive` raises Overloaded when all bodies together have no more room.
        """
        announced = headers.get(b"content-length", b"")
        is_small = announced.isdigit() and int(announced[:20]) <= SMALL_BODY
        if is_small or (not announced and b"transfer-encoding" not in headers):
            yield receive
            return
        held = 0

        async def counted() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if self.body_bytes + size > self._bodies_limit:
                raise self._overloaded("too many large bodies come in at once; try again in a second")
            held += size
            self.body_bytes += size
            return message

        try:
            yield counted
        finally:
            self.body_bytes -= held

    def _overloaded(self, detail: str) -> Overloaded:
        error = Overloaded(detail)
        self._refusals.count(error)
        return error


def client_of(caller: Caller, scope: Scope) -> str:
    """Give what tells clients apart: the key, or the address where no key is asked for."""
    if caller.key is not None:
        return caller.key.key_id
    address = scope.get("client")
    return address[0] if address else "unknown"


class _CountedStream(StreamingResponse):
    """A stream of events that says when it has ended."""

    ended: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream. The end is told from here: a generator that was never begun never ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.ended()
