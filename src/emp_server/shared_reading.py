"""Read something of the store once for all who ask at the same time, and again before what is known is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from emp_core.errors import StoreError

AHEAD: Final = 0.5
"""The share of its time after which what is known is read again, by a server that is asked for it all the time."""

T = TypeVar("T")


class SharedReading(Generic[T]):
    """At most one reading at a time. `under_way` is the last one that was begun; it may have ended."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._read = read
        self.under_way: asyncio.Task[T] | None = None

    def ahead(self) -> None:
        """Read again before what is known is too old, so that a busy server never has to wait for it."""
        if self.under_way is None or self.under_way.done():
            self._begin().add_done_callback(_let_pass)

    async def again(self) -> T:
        """Read again, or wait for the reading that somebody has begun.

        Raises:
            StoreError: the store is away.
        """
        reading = self.under_way
        if reading is None or reading.done():
            reading = self._begin()
        try:
            # Shielded: one of the askers may give up while the others still wait for the same reading.
            return await asyncio.shield(reading)
        except StoreError as error:
            # Whatever the asker was about to do, it has not begun.
            raise error.of(may_have_run=False) from error

    def _begin(self) -> asyncio.Task[T]:
        self.under_way = asyncio.create_task(self._read())
        return self.under_way


def _let_pass(reading: asyncio.Task[Any]) -> None:
    """Hear how a task ended that nobody waits for: whoever needs what it was to read will try by itself, and say so."""
    if not reading.cancelled():
        reading.exception()
