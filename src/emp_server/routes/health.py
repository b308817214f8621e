"""Say whether the server lives, and whether it can do its work."""

from __future__ import annotations

import msgspec
from fastapi import Response

from emp_server import media
from emp_server.documents import HealthAnswer
from emp_server.parts import TheParts


async def livez() -> Response:
    """Say that the server lives; the store is not asked."""
    return Response(msgspec.json.encode(HealthAnswer("ok")), media_type=media.JSON)


async def readyz(parts: TheParts) -> Response:
    """Make a round trip to the store: 200, or 503 while it is away."""
    await parts.store.ping()
    answer = HealthAnswer("ready", await parts.store.epoch())
    return Response(msgspec.json.encode(answer), media_type=media.JSON)
