"""A worker's lease as its own process sees it; written by the heartbeat's thread, read by everyone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from emp_core.ids import WorkerId

FRESH_PART = 0.8
"""The part of a lease, counted from when its renewal was sent, in which a handler may still be begun."""


def boot_time() -> float:
    """Give seconds since the machine started, with the time that it was suspended; only Linux counts that."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Lease:
    """One confirmed renewal: under which id, when it was sent (boot time), and how long the lease is."""

    worker_id: WorkerId
    sent_at: float
    length: timedelta

    def is_fresh(self) -> bool:
        """Tell whether nobody can have taken our jobs over yet, whatever has happened since."""
        return boot_time() - self.sent_at < self.length.total_seconds() * FRESH_PART
