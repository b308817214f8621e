"""Share the event loop: what takes long is done in a thread, what is many is done in turns."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, TypeVar

LARGE: Final = 1024 * 1024
"""Bytes from which on reading a body takes longer than others should wait."""
SECONDS_PER_TURN: Final = 0.005
"""How long items are read until others have a turn."""

_large_bodies: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body")
"""Reads one large body at a time: what is made of one takes many times its bytes."""

T = TypeVar("T")


async def apart(read: Callable[[bytes], T], body: bytes) -> T:
    """Read a body, or check it: a large one in a thread, after those that came before it, so that the loop goes on."""
    if len(body) <= LARGE:
        return read(body)
    return await asyncio.get_running_loop().run_in_executor(_large_bodies, _read_large, read, body)


def _read_large(read: Callable[[bytes], T], body: bytes) -> T:
    """Read a body without the garbage collector.

    The collector would look at what is made of the body again and again while it is made: reading a million small
    arrays takes eight times as long with it, and holds the interpreter lock throughout.
    """
    gc.disable()
    try:
        return read(body)
    finally:
        gc.enable()


async def in_turns(read: Callable[[bytes], Awaitable[T]], items: Sequence[bytes]) -> list[T]:
    """Read many items in order, and let others have a turn every now and then: no read has to wait for anything."""
    done: list[T] = []
    begun = perf_counter()
    for item in items:
        done.append(await read(item))
        if perf_counter() - begun > SECONDS_PER_TURN:
            await asyncio.sleep(0)
            begun = perf_counter()
    return done
