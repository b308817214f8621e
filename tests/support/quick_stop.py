"""Uvicorn without its fixed pauses: it looks every 100 ms whether to stop, and every stop waits for another 100 ms.

Importing this module replaces what uvicorn calls `asyncio` in this process; servers in processes of their own keep the
pauses, and so do the end-to-end tests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn.server

LONGEST_PAUSE = 0.005


class QuickAsyncio:
    """The module asyncio, but for `sleep`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay: float) -> None:
        """Sleep, but not for long."""
        await asyncio.sleep(min(delay, LONGEST_PAUSE))


uvicorn.server.asyncio = QuickAsyncio()
