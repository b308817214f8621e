"""Hold each API key to its submissions a second: a bucket per key that fills as time passes.

A server process counts by itself: the processes of one `emp server` share the limit evenly, two servers grant it twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from emp_core.errors import RateLimited
from emp_server.callers import Caller
from emp_server.problems import rate_headers
from emp_server.refusals import Refusals

_NO_LIMIT: Mapping[str, str] = {}


class Rates:
    """The buckets of one server process. A bucket holds a second's worth, and may be overdrawn by one batch."""

    def __init__(
        self, limit: int, processes: int, refusals: Refusals, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._processes = processes
        self._refusals = refusals
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def charge(self, caller: Caller, jobs: int = 1) -> Mapping[str, str]:
        """Charge a caller for submissions, and give the headers that say what is left.

        Raises:
            RateLimited: the bucket is empty; nothing is charged.
        """
        limit = (caller.key.rate if caller.key else None) or self._limit
        if not limit:
            return _NO_LIMIT
        share = limit / self._processes
        now = self._clock()
        left, at = self._buckets.get(caller.idempotency_scope, (share, now))
        left = min(share, left + (now - at) * share)
        room = min(share, 1.0)
        if left < room - 1e-6:  # a tenth of ten is not quite one
            seconds = max(1, math.ceil((room - left) / share))
            error = RateLimited(f"this key may submit {limit} jobs a second", limit=limit, retry_after=seconds)
            self._refusals.count(error)
            raise error
        left -= jobs
        self._buckets[caller.idempotency_scope] = left, now
        return rate_headers(limit, max(0, int(left)), 1)
