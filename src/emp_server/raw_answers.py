"""Whole answers as bytes, for a connection that answers by itself: refusals, and what has gone the short way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from emp_core.errors import EmpError, Overloaded
from emp_server import media
from emp_server.crowd import FULL
from emp_server.problems import problem_document


def raw_problem(error: EmpError, *, connection: str) -> bytes:
    """Write a whole answer with a problem."""
    body = msgspec.json.encode(problem_document(error, {}))
    head = {
        "content-type": media.PROBLEM,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "connection": connection,
    }
    if isinstance(error, Overloaded):
        head["retry-after"] = str(error.retry_after)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return STATUS_LINE[error.status] + lines.encode() + b"\r\n" + body


NO_ROOM: Final = Overloaded(FULL)
SHED: Final = raw_problem(NO_ROOM, connection="keep-alive")
SHED_AND_CLOSED: Final = raw_problem(NO_ROOM, connection="close")


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write headers, of which each holds what a header may."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


@lru_cache(maxsize=4)
def default_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Write the headers that uvicorn puts into every answer: they change once a second."""
    return header_lines(headers)


def raw_answer(status: int, lines: bytes, body: bytes, *, keep_alive: bool) -> bytes:
    """Write a whole answer, of which the headers are lines already, all but those that frame it."""
    close = b"" if keep_alive else b"connection: close\r\n"
    return b"%bcontent-length: %d\r\n%b%b\r\n%b" % (STATUS_LINE[status], len(body), lines, close, body)


_UNHEARD: Final = asyncio.Event()


class Underway(RequestResponseCycle):
    """What uvicorn's protocol asks of an answer that is under way, for one that is not its own."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = self.response_started = self.response_complete = False
        # Set when the connection is lost; nobody waits for it.
        self.message_event = _UNHEARD
