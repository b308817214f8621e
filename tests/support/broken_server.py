"""An HTTP server over raw sockets that does what a test tells it, such as cutting its answers off."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HANG_UP = b""
"""The answer of a server that reads the request and closes the connection."""


@dataclass
class BrokenServer:
    """Gives one scripted answer per connection, in order, and keeps what it was sent."""

    url: str
    requests: list[Request] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, document: Any, **headers: str) -> bytes:
    """Write a whole JSON answer; underscores in the names of headers stand for dashes."""
    body = json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream(*events: tuple[str, Any]) -> bytes:
    """Write the beginning of an event stream; the connection is cut after it, in the middle of a chunk."""
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n%s\r\n" % (len(text), text) if text else b"") + b"ff\r\n: cut"


@contextmanager
def broken_server(answers: Sequence[bytes]) -> Iterator[BrokenServer]:
    """Run the server until its script or the test is over; then nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = BrokenServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_play, args=(listener, server, answers))
        thread.start()
        try:
            yield server
        finally:
            # Wakes the thread where it still waits for a connection; it has closed the socket where its script is over.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _play(listener: socket.socket, server: BrokenServer, answers: Sequence[bytes]) -> None:
    for scripted in answers:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            server.requests.append(_read(connection))
            connection.sendall(scripted)
    listener.close()


def _read(connection: socket.socket) -> Request:
    with connection.makefile("rb") as stream:
        line = stream.readline().decode().strip()
        headers = {}
        while header := stream.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return Request(line, headers, stream.read(int(headers.get("content-length", 0))))
