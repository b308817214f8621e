"""Log requests that are not HTTP, or not HTTP as this server speaks it, without a line for each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from emp_core.errors import EmpError

INTERVAL: Final = 1.0
"""Seconds between two lines: anybody can send such requests, without a key and as many as the network carries."""

_log = structlog.get_logger()


class MalformedLog:
    """The log of one server process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._unlogged = 0

    def add(self, client: tuple[str, int] | None, error: EmpError) -> None:
        """Log a request with the address of its client; count it if the last line was written just now."""
        now = self._clock()
        if now < self._next:
            self._unlogged += 1
            return
        address = f"{client[0]}:{client[1]}" if client else "unknown"
        _log.warning("malformed_request", client=address, detail=error.detail, unlogged=self._unlogged)
        self._next = now + INTERVAL
        self._unlogged = 0
