"""Hold connections to what a server can bear: the size of a request's head, and the time that its sender takes.

uvicorn's HTTP protocol with limits of its own. A head over its limit is answered 431, a request that does not come in
time 408, and what is not HTTP 400, each with a problem; a client that does not read its answers is cut off, and one
that still sends when its last answer has been written can read it (`lingering.py`). A submission for which there is no
room is shed here: answered 503 with a constant, at a sixth of what an answer costs. One that is here as a whole is
offered to the short way (`short_way.py`), which spares it most of what uvicorn does for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Final, cast

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emp_core.errors import EmpError, HeadTooLarge, InvalidRequest, TooSlow
from emp_server.crowd import PLACE, SMALL_BODY, Crowd
from emp_server.lingering import CycleTransport, Lingering
from emp_server.malformed_log import MalformedLog
from emp_server.parts import Parts
from emp_server.raw_answers import NO_ROOM, SHED, SHED_AND_CLOSED, Underway, default_lines, raw_answer, raw_problem
from emp_server.refusals import Refusals
from emp_server.repeated_head import RepeatedHead
from emp_server.routes.submission import SUBMIT_PATH, SUBMIT_TYPED_PATH
from emp_server.settings import ServerSettings
from emp_server.short_way import ShortWay
from emp_server.strict_heads import VERSIONS, ambiguity
from emp_server.upgrades import without_cut_upgrade, without_upgrade

BODY_BYTES_PER_SECOND: Final = 4096
"""What a body must bring on average, beyond the patience that every request has."""
FIELDS_LIMIT: Final = 100
"""Header fields of a request: each takes a hundred times its bytes in memory."""
QUEUE_LIMIT: Final = 8
"""Requests that wait for their turn on one connection. What is sent beyond is kept unparsed, and no more is read."""
PIECE: Final = 512
"""Bytes of many requests that are parsed at once."""
FRAMING_PER_BYTE: Final = 16
"""Bytes between chunks for each byte in them; as many as in a head are free. Chunks of one byte take 5."""
LINGER: Final = 2.0
"""Seconds in which a client may still send of a body that was answered before its end, if the connection is kept."""

_EVENTS: Final = "/events"
_LIVE: Final = "/ui/live"
_SHORT_WAY_PATH: Final = SUBMIT_PATH.encode()
SUBMIT_PATHS: Final = frozenset({_SHORT_WAY_PATH, b"/v1/jobs/batch"})
_BEFORE_TYPE, _AFTER_TYPE = SUBMIT_TYPED_PATH.encode().split(b"{job_type}")


class PatientProtocol(HttpToolsProtocol):
    """One connection. What takes time is looked at by `sweep`, once a second for all: a timer each would cost more."""

    head_limit: ClassVar[int]
    request_patience: ClassVar[float]
    answer_patience: ClassVar[float]
    refusals: ClassVar[Refusals]
    crowd: ClassVar[Crowd]
    short_way: ClassVar[ShortWay]
    malformed_log: ClassVar[MalformedLog]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._head_size = 0
        self._held = b""
        # The end of the last packet, which is read with the next one.
        self._cut = b""
        self._framing = 0
        self._unfinished = 0
        self._body_size = 0
        self._requests = 0
        self._reading_since: float | None = self.loop.time()
        self._lingers_until: float | None = None
        self._unread_since: float | None = None
        self._refusal: EmpError | None = None
        self._is_shed = False
        # Whether the request is the last one, and answered before all of it has been read.
        self._is_over = False
        self._closing_since: float | None = None
        self._is_offered = False
        self._offered_body = b""
        # Whether the next byte begins a request.
        self._at_start = True
        self._head: RepeatedHead | None = None
        self._taken: Mapping[bytes, bytes] | None = None
        self._idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin with a connection."""
        super().connection_made(transport)
        self._cycle_transport = CycleTransport(transport, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection."""
        super().connection_lost(exc)
        self._held = b""
        # An answer that knows its transport would keep this object until the garbage collector comes.
        self._cycle_transport.close = self.transport.close

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        self._idle_since = None
        if self._held or (len(data) > PIECE and _heads_in(data) > QUEUE_LIMIT):
            self._held += data
            self._read_held()
            return
        if self._at_start and self._head is not None and not self._cut and self._repeats(self._head, data):
            return
        self._read(data)

    def _read_held(self) -> None:
        """Parse what was kept back, as far as there is room for more requests."""
        held, at = self._held, 0
        while at < len(held) and len(self.pipeline) < QUEUE_LIMIT and not self._is_ending():
            self._read(held[at : at + PIECE])
            at += PIECE
        self._held = b"" if self._is_ending() else held[at:]
        if self._held:
            self.flow.pause_reading()

    def _is_ending(self) -> bool:
        return self._is_over or self.transport.is_closing()

    def _read(self, data: bytes) -> None:
        """Parse data."""
        at_start, requests = self._at_start, self._requests
        if self._reading_since is None and (self.cycle is None or self.cycle.response_complete):
            self._reading_since = self.loop.time()
        self._taken = None
        request = requests if self._in_head else -1
        if self._in_head:
            if self._cut or b"\r\n\r\n" not in data:
                data, self._cut = without_cut_upgrade(self._cut + data)
            data = without_upgrade(data)
        body_size = self._body_size
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserError:
            self.send_400_response("")
        if self._is_over:
            self._linger()
            return
        if at_start and self._requests == requests + 1:
            self._remember_head(data)
        if request < 0 and self._requests == requests and not self.transport.is_closing():
            self._count_framing(len(data) - (self._body_size - body_size))
        # A header that has no end yet is kept by the parser, however long it is, and it tells nobody.
        if self._in_head and request == self._requests and not self.transport.is_closing():
            self._unfinished += len(data)
            if self._unfinished > self.head_limit:
                self._refuse(self._head_too_large())

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        super().on_message_begin()
        self._at_start = False
        self._head_size = self._body_size = self._framing = 0

    def on_url(self, url: bytes) -> None:
        """Read a part of the first line."""
        self._head_size += len(url)
        if self._head_size > self.head_limit:
            self._reject_head()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header."""
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self.head_limit or len(self.headers) >= FIELDS_LIMIT:
            self._reject_head()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer a request whose head is here."""
        if self.parser.should_upgrade():
            # The parser reads no body of a request that asks for another protocol.
            self._refusal = InvalidRequest("this server speaks HTTP/1.1 only: send the request without Upgrade")
            raise ValueError("upgrade")
        if self._streams():
            # Nothing is read while a request waits: the end of the client would not be seen, and its stream would stay.
            self._refusal = InvalidRequest("a stream of events is the last answer of its connection")
            raise ValueError("stream")
        self._in_head = False
        self._unfinished = 0
        if self._is_over:
            return
        if self.crowd.is_full and self._is_submission() and self._is_free():
            self._shed()
        elif self._may_be_short() and self._is_free():
            # Most clients send the body in a packet of its own, right after the head.
            self._is_offered = True
        else:
            self._reject_ambiguity()
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        """Read a part of the body."""
        self._body_size += len(body)
        if self._is_offered:
            self._offered_body += body
        elif not self._is_shed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End reading a request; a submission that is here as a whole takes its place."""
        self._in_head = self._at_start = True
        self._requests += 1
        self._unfinished = 0
        self._reading_since = self._lingers_until = None
        if self._is_over:
            self.transport.close()
            return
        if self._is_shed:
            self._is_shed = False
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            return
        if self._is_offered:
            if self._takes_the_short_way():
                return
            self._go_the_long_way()
        if self.cycle.response_complete:
            # uvicorn's timer ended when more of the body came.
            self._idle_since = self.loop.time()
        # One that waits for another on the same connection has not begun, and may never.
        if not self.pipeline and not self.cycle.response_complete and self._is_submission():
            place = self.crowd.enter()
            if place is not None:
                cast("dict[str, Any]", self.cycle.scope)[PLACE] = place
        super().on_message_complete()

    def _reject_ambiguity(self) -> None:
        """Check, inside of a callback of the parser, that there is one way to read the head."""
        self._refusal = ambiguity(self.parser.get_http_version(), self.url, self.headers)
        if self._refusal is not None:
            raise ValueError("ambiguous")

    def _begin_cycle(self) -> None:
        """Have uvicorn answer the request."""
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", self._cycle_transport)

    def _repeats(self, head: RepeatedHead, data: bytes) -> bool:
        """Let a request that is here as a whole, with the head of one before it, go the short way unread, if it can."""
        body = head.body_of(data) if self._is_free() else None
        if body is None:
            return False
        self._unset_keepalive_if_required()
        if not self._goes_the_short_way(head.headers, body, keep_alive=True):
            return False
        self._requests += 1
        return True

    def _remember_head(self, data: bytes) -> None:
        """Keep the head of the one request that has been read, if it went the short way."""
        if self._taken is not None:
            self._head = RepeatedHead.of(data, self._taken)

    def _takes_the_short_way(self) -> bool:
        """Let the request that has been read go the short way, if it can."""
        self._unset_keepalive_if_required()
        version = self.parser.get_http_version()
        keep_alive = self.parser.should_keep_alive() and version == "1.1"
        headers = dict(self.headers)
        if version not in VERSIONS or len(headers) < len(self.headers):
            self._reject_ambiguity()
        if not self._goes_the_short_way(headers, self._offered_body, keep_alive=keep_alive):
            return False
        self._is_offered, self._offered_body = False, b""
        self._taken = headers if keep_alive else None
        return True

    def _goes_the_short_way(self, headers: Mapping[bytes, bytes], body: bytes, *, keep_alive: bool) -> bool:
        before = self.cycle
        self.cycle = under_way = Underway(keep_alive=keep_alive)
        if self.short_way.take(headers, body, partial(self._answer, under_way)):
            return True
        self.cycle = before
        return False

    def _go_the_long_way(self) -> None:
        """Begin what was held back for the short way as any other request."""
        body = self._offered_body
        self._is_offered, self._offered_body = False, b""
        self._begin_cycle()
        if body:
            super().on_body(body)

    def _answer(self, under_way: Underway, status: int, lines: bytes, body: bytes) -> None:
        """Write the answer to what went the short way, as uvicorn writes all others."""
        under_way.response_started = under_way.response_complete = True
        if under_way.disconnected or self.transport.is_closing():
            return
        default = default_lines(tuple(self.server_state.default_headers))
        self.transport.write(raw_answer(status, default + lines, body, keep_alive=under_way.keep_alive))
        if not under_way.keep_alive:
            self.transport.close()
        if self.pipeline or self.transport.is_closing():
            self.on_response_complete()
        else:
            # A timer for each answer, as uvicorn has it, would cost more than to look once a second.
            self.server_state.total_requests += 1
            self._idle_since = self.loop.time()

    def on_response_complete(self) -> None:
        """End answering a request, whether all of it was read or not."""
        if self._is_over:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if not self._in_head:
            self._lingers_until = self.loop.time() + LINGER
        if self._held:
            self.flow.pause_reading()
            # The parser may be at work further up in this call.
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read on after a pause, if the connection is still there."""
        if self.parser is None or self._is_over:
            return
        self._read_held()
        if not self._held and not self.pipeline:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser has refused, or made us refuse."""
        error = self._refusal or InvalidRequest("this is not HTTP/1.1")
        self.malformed_log.add(self.client, error)
        self._refuse(error)

    def look(self, now: float) -> None:
        """Cut off a client that takes too long."""
        if self.transport.is_closing():
            # What it was sent is not read: without this it would stay for as long as the client likes.
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since > self.answer_patience:
                self.transport.abort()
            return
        lingers = self._lingers_until is not None and now > self._lingers_until
        idles = self._idle_since is not None and now > self._idle_since + self.timeout_keep_alive
        if lingers or idles:
            self.transport.close()
        elif self._reading_since is not None and not self.flow.read_paused:
            allowed = self.request_patience + self._body_size / BODY_BYTES_PER_SECOND
            if now - self._reading_since > allowed:
                self._give_up()
        if not self.flow.write_paused:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > self.answer_patience:
            self.transport.abort()

    def shutdown(self) -> None:
        """Stop when the request that has begun to come is answered, and at once if there is none."""
        self._held = b""
        if self._is_offered and not self.transport.is_closing():
            self._go_the_long_way()
        super().shutdown()

    def _give_up(self) -> None:
        """End a request that does not come; one that has not begun has nothing to be answered."""
        if self._in_head and not self._unfinished:
            self.transport.close()
        else:
            self._refuse(TooSlow("the rest of the request did not come in time"))

    def _streams(self) -> bool:
        """Return whether the last request on this connection is answered with a stream of events."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or isinstance(cycle, Underway):
            return False
        path = cycle.scope["path"]
        return cycle.scope["method"] == "GET" and (path.endswith(_EVENTS) or path == _LIVE)

    def _is_submission(self) -> bool:
        """Tell whether jobs are submitted; a path in an unusual spelling is not looked at here."""
        if self.parser.get_method() != b"POST":
            return False
        path = self.url.partition(b"?")[0]
        return path in SUBMIT_PATHS or (path.startswith(_BEFORE_TYPE) and path.endswith(_AFTER_TYPE))

    def _may_be_short(self) -> bool:
        """Tell whether a head is one of a submission whose body is worth waiting for before anything is done."""
        if self.url != _SHORT_WAY_PATH or self.expect_100_continue or self.parser.get_method() != b"POST":
            return False
        return any(name == b"content-length" and int(value) <= SMALL_BODY for name, value in self.headers)

    def _is_free(self) -> bool:
        """Tell whether an answer can be written now: none is under way, and what was written before has been read."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _shed(self) -> None:
        """Answer that there is no room. What is still to come of the request is read and dropped, for a while."""
        self.refusals.count(NO_ROOM)
        goes_on = (
            self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1" and not self.expect_100_continue
        )
        self._is_shed = True
        self.transport.write(SHED if goes_on else SHED_AND_CLOSED)
        if goes_on:
            self._lingers_until = self.loop.time() + LINGER
        else:
            self._is_over = True

    def _reject_head(self) -> None:
        """Reject, inside of a callback of the parser, a head that is over a limit."""
        too_many = len(self.headers) >= FIELDS_LIMIT
        fields = HeadTooLarge(f"a request may have {FIELDS_LIMIT} header fields")
        self._refusal = fields if too_many else self._head_too_large()
        raise ValueError("head")

    def _count_framing(self, size: int) -> None:
        """Count the bytes between the chunks of a body: their sizes, and extensions that are not read."""
        self._framing += size
        if self._framing > self.head_limit + FRAMING_PER_BYTE * self._body_size:
            self._refuse(InvalidRequest("the chunks of the body have too long extensions"))

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"the first line and the headers may have {self.head_limit} bytes")

    def _refuse(self, error: EmpError) -> None:
        """Answer with a problem and close; only close where an answer is under way already."""
        if self._is_over:
            return
        self.refusals.count(error)
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(raw_problem(error, connection="close"))
            self._linger()
        else:
            self.transport.close()

    def _close(self) -> None:
        """Close after the last answer."""
        if self._in_head:  # all of the request has been read
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close after the last answer, while the client may still be sending; ends the work of this object."""
        self._is_over = True
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        Lingering(self.transport, self.connections, self.loop.time()).begin()
        # As if the client had gone: an answer that has not begun is not wanted any more.
        self.connection_lost(ConnectionAbortedError())


def _heads_in(data: bytes) -> int:
    """Return how many requests may begin in data, at most: each head ends with an empty line."""
    return data.count(b"\n\r\n") + data.count(b"\n\n")


def protocol_for(settings: ServerSettings, parts: Parts, short_way: ShortWay) -> type[PatientProtocol]:
    """Give the protocol with a server's limits."""

    class Connection(PatientProtocol):
        head_limit = settings.head_limit_bytes
        request_patience = settings.request_patience.total_seconds()
        answer_patience = settings.answer_patience.total_seconds()

    Connection.refusals = parts.refusals
    Connection.crowd = parts.crowd
    Connection.short_way = short_way
    Connection.malformed_log = MalformedLog()
    return Connection


def sweep(connections: Iterable[object], now: float) -> None:
    """Look at every connection."""
    for connection in list(connections):
        if isinstance(connection, PatientProtocol | Lingering):
            connection.look(now)
