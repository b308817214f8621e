"""Work in the background: loops that are begun again when they fail, and readings that may fail without loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

PAUSE: Final = 1.0
"""Seconds before a loop that failed is begun again."""
AHEAD: Final = 0.5
"""The share of its time after which what is known is read again, by a server that is asked for it all the time."""

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


def let_pass(reading: asyncio.Task[Any]) -> None:
    """Hear how a task ended that nobody waits for: whoever needs what it was to read will try by itself, and say so."""
    if not reading.cancelled():
        reading.exception()
