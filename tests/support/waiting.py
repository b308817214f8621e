"""Wait for a fact instead of sleeping for a while."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")
_PAUSE = 0.02


def wait_until(predicate: Callable[[], T], timeout: float = 10.0) -> T:
    """Call the predicate until it gives something true, and give that.

    Raises:
        AssertionError: it did not within `timeout` seconds; the message holds the predicate and what it gave last.
    """
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(_too_late(predicate, value, timeout))
        time.sleep(_PAUSE)
    return value


async def wait_until_async(predicate: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T:
    """Await the predicate until it gives something true, and give that; see `wait_until`."""
    deadline = time.monotonic() + timeout
    while not (value := await predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(_too_late(predicate, value, timeout))
        await anyio.sleep(_PAUSE)
    return value


def _too_late(predicate: Callable[[], object], value: object, timeout: float) -> str:
    try:
        asked = inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        asked = repr(predicate)
    return f"not within {timeout:g} s: {asked}\nthe last value was {value!r}"
