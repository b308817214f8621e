"""Wait for the first of several reasons to act."""

from __future__ import annotations

import asyncio
from typing import Any


async def first_of(
    *events: asyncio.Event, also: asyncio.Task[Any] | None = None, patience: float | None = None
) -> None:
    """Wait until one of the events is set, or the task is done, or for `patience` seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        all_of_them = [*waits, also] if also is not None else waits
        await asyncio.wait(all_of_them, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
