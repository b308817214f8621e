"""Share the event loop: what takes long is done in a thread, what is many is done in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

LARGE: Final = 1024 * 1024
"""Bytes from which on reading a body takes longer than others should wait."""
ITEMS_PER_TURN: Final = 50

T = TypeVar("T")


async def apart(read: Callable[[bytes], T], body: bytes) -> T:
    """Read a body, or check it: a large one in a thread, so that the loop goes on meanwhile."""
    return read(body) if len(body) <= LARGE else await asyncio.to_thread(read, body)


async def in_turns(read: Callable[[bytes], Awaitable[T]], items: Sequence[bytes]) -> list[T]:
    """Read many items in order, and let others have a turn every now and then: no read has to wait for anything."""
    done: list[T] = []
    for at, item in enumerate(items, start=1):
        done.append(await read(item))
        if at % ITEMS_PER_TURN == 0:
            await asyncio.sleep(0)
    return done
