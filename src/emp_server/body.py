"""Read a request's body, within its limit and only if it is of a kind that EMP reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from starlette.types import Receive

from emp_core.errors import InvalidRequest, TooLarge, UnsupportedMediaType
from emp_server import media
from emp_server.strict_json import refuse_many_values
from emp_server.turns import apart

JSON_BODY: Final = frozenset({media.JSON.encode()})
LINES_BODY: Final = frozenset({media.JSON_LINES.encode(), b"application/x-ndjson"})


def media_type(headers: Mapping[bytes, bytes], allowed: frozenset[bytes]) -> bytes:
    """Give the body's media type.

    Requiring one also keeps web pages out: a form of a foreign page cannot send JSON without asking first.

    Raises:
        UnsupportedMediaType: it is not an allowed one, not in UTF-8, or the body is compressed.
    """
    named = headers.get(b"content-type", b"")
    if named in allowed and b"content-encoding" not in headers:
        return named
    kind, _, parameters = named.partition(b";")
    kind = kind.strip().lower()
    names = b" or ".join(sorted(allowed)).decode()
    if kind not in allowed:
        raise UnsupportedMediaType(f"send {names}")
    charset = parameters.strip().lower().replace(b'"', b"")
    if charset not in {b"", b"charset=utf-8"}:
        raise UnsupportedMediaType(f"send {names} in UTF-8, without other parameters")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedMediaType("send the body without a content encoding")
    return kind


async def read_json_body(
    headers: Mapping[bytes, bytes], receive: Receive, limit_bytes: int, limit_values: int
) -> bytes:
    """Read the whole body, of which nothing has been decoded yet, but its values are counted.

    Raises:
        TooLarge: it is over a limit.
        InvalidRequest: the client left before it had sent all of it.
    """
    body = await read_body(headers, receive, limit_bytes)
    await apart(partial(refuse_many_values, limit=limit_values), body)
    return body


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Read the whole body.

    Raises:
        TooLarge: it is over the limit; what follows is not read. Said at once where the client announces it.
        InvalidRequest: the client left before it had sent all of it.
    """
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body did")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit} bytes", limit=limit)
