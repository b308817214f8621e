"""Say whether the server lives, and whether it can do its work."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import Response

from emp_core.errors import StoreUnavailable
from emp_core.store import eviction_detail
from emp_server import media
from emp_server.documents import DurabilityAnswer, HealthAnswer
from emp_server.parts import TheParts


async def livez() -> Response:
    """Say that the server lives; the store is not asked."""
    return Response(msgspec.json.encode(HealthAnswer("ok")), media_type=media.JSON)


async def readyz(parts: TheParts) -> Response:
    """Make a round trip to the store, and say what it keeps: 200, or 503 if it is unreachable or may discard jobs."""
    store = parts.store
    durability, epoch, set_aside = await asyncio.gather(store.durability(), store.identify(), store.views.set_aside())
    if durability.evicts:
        raise StoreUnavailable(eviction_detail(durability.policy))
    answer = HealthAnswer(
        "ready",
        epoch,
        parts.watch.emptied,
        DurabilityAnswer(str(durability.level), durability.why, durability.replicas),
        set_aside,
    )
    return Response(msgspec.json.encode(answer), media_type=media.JSON)
