"""Keep the server's background loops alive: one that ends by an unforeseen error is begun again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

PAUSE: Final = 1.0
"""Seconds before a loop that failed is begun again."""

_log = structlog.get_logger()


async def lasting(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop until it ends by itself, however often it fails."""
    while True:
        try:
            await loop()
        except Exception:  # noqa: BLE001 - nobody else would ever see it: the log gets the traceback, and the loop goes on
            _log.exception("loop_failed", loop=name, again_in_seconds=PAUSE)
            await asyncio.sleep(PAUSE)
        else:
            return
