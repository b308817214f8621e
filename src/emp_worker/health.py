"""Answer a worker's health over HTTP: `/livez` and `/readyz` on a loopback port, for whatever starts it."""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from emp_core.errors import SettingsError

_READ_WITHIN = 5.0


@asynccontextmanager
async def serve_health(port: int, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Answer while the body runs: `/livez` 200, `/readyz` 200 or 503, anything else 404.

    Raises:
        SettingsError: the port cannot be used.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
                status, text = _answer(head, is_ready)
                body = f"{text}\n".encode()
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError):
            return  # a client that says nothing sensible is owed nothing
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=8192)
    except OSError as error:
        raise SettingsError(f"health_port {port} of 127.0.0.1 cannot be used: {error.strerror}") from error
    async with server:
        yield


def _answer(head: bytes, is_ready: Callable[[], bool]) -> tuple[http.HTTPStatus, str]:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in {b"GET", b"HEAD"}:
        return http.HTTPStatus.METHOD_NOT_ALLOWED, "GET /livez or /readyz"
    if path == b"/livez":
        return http.HTTPStatus.OK, "alive"
    if path == b"/readyz":
        return (http.HTTPStatus.OK, "ready") if is_ready() else (http.HTTPStatus.SERVICE_UNAVAILABLE, "not ready")
    return http.HTTPStatus.NOT_FOUND, "GET /livez or /readyz"
