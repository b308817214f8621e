"""What a worker and its child processes say to each other: a JSON header and raw bytes, each with its length before it.

Payloads, results and log lines travel as they are, beside the header. Nothing is pickled, and nothing that comes out of
a child is called or imported.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from emp_core.jobs import PAYLOAD_LIMIT, RESULT_LIMIT

_LENGTHS: Final = struct.Struct("!II")
_HEADER_LIMIT: Final = 4 * 1024 * 1024
_BODY_LIMIT: Final = max(PAYLOAD_LIMIT, RESULT_LIMIT)


class Start(msgspec.Struct, frozen=True, tag=True):
    """To a new child: where to find the plugins, which of them to load, what to log (see `emp_core.logs`) and trace."""

    sys_path: tuple[str, ...]
    only: tuple[str, ...] | None
    disabled: tuple[str, ...]
    prefer: Mapping[str, str]
    log_level: str
    log_format: str = "console"
    tracing: bool = False


class Perform(msgspec.Struct, frozen=True, tag=True):
    """To a child: perform this attempt; the body is the payload. The handler is found by the type's name alone."""

    number: int
    job_id: str
    job_type: str
    attempt: int
    max_attempts: int
    priority: int
    worker_id: str
    deadline: str | None
    memory_limit: int | None
    handle: str = ""
    trace: str = ""


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """To a child: the attempt of this number should end; `handed_over` says whether another one goes on."""

    number: int
    handed_over: bool


class Saved(msgspec.Struct, frozen=True, tag=True):
    """To a child: what became of the handle of this serial number; `why` it is not stored, or nothing."""

    number: int
    serial: int
    why: str = ""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To an idle child: exit the lifespans and end."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a child: the plugins are loaded; the digest of each job type that it knows."""

    types: Mapping[str, str]


class Begun(msgspec.Struct, frozen=True, tag=True):
    """From a child: it has taken up the attempt, and what happens from now on is the handler's doing."""

    number: int


class Progress(msgspec.Struct, frozen=True, tag=True):
    """From a child: what the handler reported."""

    number: int
    fraction: float | None
    message: str | None


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """From a child: one line of the job's log; the body is its JSON."""

    number: int


class Save(msgspec.Struct, frozen=True, tag=True):
    """From a child: keep a handle, and say what became of it; the body is its JSON."""

    number: int
    serial: int


class Condition(msgspec.Struct, frozen=True):
    """How a child is after an attempt: the bytes of memory that it holds, and why it is not to be used again, if so."""

    memory: int
    spoiled: str = ""


class Returned(msgspec.Struct, frozen=True, tag=True):
    """From a child: the handler returned; the body is the result."""

    number: int
    condition: Condition


RaisedKind = Literal["payload_refused", "result_refused", "result_too_large", "cancelled", "error"]


class Raised(msgspec.Struct, frozen=True, tag=True):
    """From a child: the attempt raised; the body is the JSON object that is kept with the job."""

    number: int
    kind: RaisedKind
    condition: Condition
    retryable: bool = True
    retry_after: float | None = None


ToChild = Start | Perform | Cancel | Saved | Stop
FromChild = Ready | Begun | Progress | LogLine | Save | Returned | Raised

_to_child = msgspec.json.Decoder(ToChild)
_from_child = msgspec.json.Decoder(FromChild)
_encoder = msgspec.json.Encoder()


class FrameRefused(ValueError):
    """What arrived is no frame: something else has written to the connection."""


def packed(frame: ToChild | FromChild, body: bytes = b"") -> bytes:
    """Write a frame."""
    header = _encoder.encode(frame)
    return b"".join((_LENGTHS.pack(len(header), len(body)), header, body))


async def read_from_child(reader: asyncio.StreamReader) -> tuple[FromChild, bytes]:
    """Read the next frame on the worker's side.

    Raises:
        FrameRefused: it is none.
        asyncio.IncompleteReadError, ConnectionError: the connection has ended.
    """
    header, body = _lengths(await reader.readexactly(_LENGTHS.size))
    frame = await reader.readexactly(header)
    rest = await reader.readexactly(body) if body else b""
    try:
        return _from_child.decode(frame), rest
    except msgspec.MsgspecError as error:
        raise FrameRefused(f"a header that cannot be read: {error}") from error


def read_to_child(connection: socket.socket) -> tuple[ToChild, bytes]:
    """Read the next frame on the child's side; EOFError when the worker has gone."""
    header, body = _lengths(_exactly(connection, _LENGTHS.size))
    frame = _exactly(connection, header)
    return _to_child.decode(frame), bytes(_exactly(connection, body))


def _lengths(prefix: bytes | bytearray) -> tuple[int, int]:
    header, body = _LENGTHS.unpack(prefix)
    if header > _HEADER_LIMIT or body > _BODY_LIMIT:
        raise FrameRefused(f"a frame of {header:,} and {body:,} bytes")
    return header, body


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the worker has gone")
        view = view[count:]
    return data
