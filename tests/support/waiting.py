"""Wait for a fact instead of sleeping for a while."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import anyio

T = TypeVar("T")
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02


def wait_until(predicate: Callable[[], T], timeout: float = 10.0) -> T:
    """Call the predicate until it gives something true, and give that.

    Raises:
        AssertionError: it did not within `timeout` seconds; the message holds the predicate and what it gave last.
    """
    deadline = time.monotonic() + timeout
    pauses = _pauses()
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(_too_late(predicate, value, timeout))
        time.sleep(next(pauses))
    return value


async def wait_until_async(predicate: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T:
    """Await the predicate until it gives something true, and give that; see `wait_until`."""
    deadline = time.monotonic() + timeout
    pauses = _pauses()
    while not (value := await predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(_too_late(predicate, value, timeout))
        await anyio.sleep(next(pauses))
    return value


def _pauses() -> Iterator[float]:
    """Yield the seconds between two calls: short at first, as most facts come soon."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _too_late(predicate: Callable[[], object], value: object, timeout: float) -> str:
    try:
        asked = inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        asked = repr(predicate)
    return f"not within {timeout:g} s: {asked}\nthe last value was {value!r}"
