"""An event loop that does the same steps in every run, with a real store at its other end.

How a program's steps interleave with the answers of another process depends on which of them is faster. Here the loop
first runs all callbacks that are ready. Then it waits until the store has answered everything that was sent, and takes
the answers together. When there is nothing left to take, the time jumps to the next timer: it passes in no other way.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.instructions.marks import Marks

_PINGS: Final = 4
"""A store that has answered these one by one has answered all that it was sent before, over any connection: one for
each read that a request of up to 48 KiB takes, and one for the answers that are written at the end of a turn."""
_LATE: Final = 0.05
"""Seconds, real ones, that threads of this process may take to wake the loop before the time jumps."""
_START: Final = 1_700_000_000


class Clock:
    """The time of this process, in seconds; it stands still unless the loop moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def install(self) -> None:
        """Become what the module `time` gives; call it before anything else is imported."""
        replaced: dict[str, Callable[..., Any]] = {
            "monotonic": lambda: self.now,
            "perf_counter": lambda: self.now,
            "clock_gettime": lambda _: self.now,
            "time": lambda: _START + self.now,
            "time_ns": lambda: int((_START + self.now) * 1e9),
        }
        for name, function in replaced.items():
            setattr(time, name, function)


class _Selector(selectors.DefaultSelector):
    """Gives events when nothing else is to be done, and moves the clock when there are none."""

    def __init__(self, clock: Clock, wait_for_store: Callable[[], None]) -> None:
        super().__init__()
        self._clock = clock
        self._wait_for_store = wait_for_store

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what can be read or written, all at once; nothing while callbacks are ready (a timeout of 0)."""
        if timeout is not None and timeout <= 0:
            return []
        self._wait_for_store()
        events = super().select(0) or super().select(None if timeout is None else _LATE)
        if not events and timeout is not None:
            self._clock.now += timeout
        return events


class Lockstep(asyncio.SelectorEventLoop):
    """The loop. `store` is the unix socket of the store."""

    def __init__(self, clock: Clock, marks: Marks, store: Path) -> None:
        self._clock = clock
        self._store = socket.socket(socket.AF_UNIX)
        self._store.connect(str(store))
        super().__init__(_Selector(clock, lambda: marks.ping(self._store.fileno(), _PINGS)))

    def time(self) -> float:
        """Return the time of the clock."""
        return self._clock.now

    def close(self) -> None:
        """Close it, and the connection to the store."""
        super().close()
        self._store.close()
