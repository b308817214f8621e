"""Gather what there is to say about each job type: what waits, who serves it, how the last hour went."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from emp_core.jobs import JobState
from emp_core.store import Minute
from emp_server.catalog import KnownType
from emp_server.monitor.durations import gathered, percentile
from emp_server.parts import Parts

HOUR = 60


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A job type as it stands now, and its last hour. `known` is None where nobody has announced it."""

    name: str
    known: KnownType | None
    pending: int
    scheduled: int
    running: int
    oldest_pending: datetime | None
    completed: int
    failed: int
    median: timedelta | None
    slowest: timedelta | None

    @property
    def workers_online(self) -> int:
        """How many workers serve it."""
        return self.known.workers_online if self.known else 0

    @property
    def is_paused(self) -> bool:
        """Whether its jobs are held back."""
        return self.known is not None and self.known.paused

    @property
    def is_unserved(self) -> bool:
        """Whether jobs of it wait and nobody is there to take them."""
        return self.pending > 0 and not self.workers_online and not self.is_paused

    @property
    def failure_rate(self) -> float | None:
        """The share of its ended jobs that failed; None where none ended."""
        ended = self.completed + self.failed
        return self.failed / ended if ended else None


@dataclass(frozen=True, slots=True)
class Recent:
    """The counts of all types, the minutes of the last hour, and the types by what needs a look first."""

    now: datetime
    minutes: Sequence[Minute]
    rows: Sequence[TypeRow]


async def read_recent(parts: Parts) -> Recent:
    """Read the store once for all that is said about job types.

    Raises:
        StoreUnavailable: it cannot be read now.
    """
    store = parts.store
    now = await store.history.now()
    this = int(now.timestamp()) // 60
    counts, minutes, types = await asyncio.gather(
        store.views.counts(), store.history.minutes(range(this - HOUR + 1, this + 1)), parts.catalog.types()
    )
    oldest = await store.views.oldest_pending(counts)
    names = sorted({*counts, *types})
    rows = [_row(name, types.get(name), counts.get(name, {}), oldest.get(name), minutes) for name in names]
    return Recent(now, minutes, sorted(rows, key=lambda row: (not row.is_unserved, not row.pending, row.name)))


def _row(
    name: str,
    known: KnownType | None,
    counts: Mapping[str, int],
    oldest: datetime | None,
    minutes: Sequence[Minute],
) -> TypeRow:
    ran: Counter[int] = gathered(minutes, "run", name)
    return TypeRow(
        name=name,
        known=known,
        pending=counts.get(JobState.PENDING, 0),
        scheduled=counts.get(JobState.SCHEDULED, 0),
        running=counts.get(JobState.CLAIMED, 0) + counts.get(JobState.IN_PROGRESS, 0),
        oldest_pending=oldest,
        completed=in_minutes(minutes, JobState.COMPLETED, name),
        failed=in_minutes(minutes, JobState.FAILED, name),
        median=percentile(ran, 0.5),
        slowest=percentile(ran, 0.95),
    )


def in_minutes(minutes: Sequence[Minute], what: str, job_type: str | None = None) -> int:
    """Count what happened in these minutes, to jobs of one type or of all."""
    counts = (minute.counts.get(what, {}) for minute in minutes)
    return sum(sum(each.values()) if job_type is None else each.get(job_type, 0) for each in counts)
