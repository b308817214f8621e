"""An answer that is bytes already: on the path of submissions, starlette's Response costs too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.types import Receive, Scope, Send

from emp_server import media

_JSON: Final = (b"content-type", media.JSON.encode())


class PlainJson:
    """A JSON document with its status; an ASGI application, as starlette's responses are."""

    __slots__ = ("_headers", "body", "status")

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.body = body
        self._headers = [_JSON, (b"content-length", b"%d" % len(body))]
        self.add(headers)

    def add(self, headers: Mapping[str, str]) -> None:
        """Add headers."""
        self._headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self.body})
