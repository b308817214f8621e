"""Estimate percentiles of durations from counts by size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from emp_core.store import Minute


def gathered(minutes: Iterable[Minute], what: str, job_type: str) -> Counter[int]:
    """Add up how many durations of a type there were by size."""
    total: Counter[int] = Counter()
    for minute in minutes:
        total.update(minute.durations.get(what, {}).get(job_type, {}))
    return total


def percentile(buckets: Counter[int], share: float) -> timedelta | None:
    """Estimate the duration that this share of all stays below; None where there are none.

    Within a bucket (2^(b-1) to 2^b milliseconds) durations are taken as evenly spread, so the estimate is off by half
    its size at most.
    """
    wanted = buckets.total() * share
    passed = 0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if count and passed + count >= wanted:
            low, high = (2 ** (bucket - 1), 2**bucket) if bucket else (0, 1)
            return timedelta(milliseconds=low + (high - low) * (wanted - passed) / count)
        passed += count
    return None
