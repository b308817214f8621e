"""Decide what on the overview needs somebody's attention, worst first. Pure: the facts come in, findings go out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from emp_core.jobs import Trouble, TroubleWord, WorkerInfo
from emp_server.monitor.type_rows import TypeRow
from emp_server.monitor.wording import about, percent, plural, span

LONG_WAIT: Final = timedelta(minutes=5)
LATE_LOOP: Final = 1.0
"""Seconds of lag from which a worker's event loop is called blocked."""
FAILURES: Final = 5
FAILURE_RATE: Final = 0.1
LOST_LATELY: Final = timedelta(hours=1)


class Level(StrEnum):
    """How bad a finding is: work stands still, or it does not go as it should."""

    BAD = "bad"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: what is wrong, in words, and the page that tells more."""

    level: Level
    what: str
    why: str
    path: str


def findings(
    rows: Sequence[TypeRow],
    workers: Sequence[WorkerInfo],
    gone: Sequence[WorkerInfo],
    now: datetime,
    set_aside: int = 0,
    evicting: str = "",
) -> list[Finding]:
    """Return everything that needs attention, the worst first.

    `set_aside` counts records that could not be read; `evicting` says what is wrong with a store that evicts.
    """
    found = [*_of_workers(workers, gone, now), *(each for row in rows for each in _of_type(row, workers, now))]
    if set_aside:
        why = "their records could not be read, so no worker gets them; `emp doctor` names them and says what to do"
        found.append(Finding(Level.BAD, f"{plural(set_aside, 'job')} set aside", why, "/system"))
    if evicting:
        found.append(Finding(Level.BAD, "The store may discard jobs", evicting, "/system"))
    return sorted(found, key=lambda finding: finding.level is not Level.BAD)


def _of_type(row: TypeRow, workers: Sequence[WorkerInfo], now: datetime) -> Iterator[Finding]:
    path = f"/types/{row.name}"
    waits = plural(row.pending, "job")
    if row.is_unserved:
        yield Finding(Level.BAD, f"{row.name}: no worker", f"{waits} waiting, and no worker serves this type", path)
    elif row.is_paused and row.pending:
        yield Finding(Level.WARN, f"{row.name}: paused", f"{waits} waiting until somebody resumes the type", path)
    elif row.oldest_pending is not None and now - row.oldest_pending > LONG_WAIT:
        serving = [worker for worker in workers if row.name in worker.types and worker.status in {"idle", "busy"}]
        free = sum(max(worker.slots - worker.held, 0) for worker in serving)
        state = f"{plural(free, 'slot')} free" if free else "every slot is taken"
        waited = about(now - row.oldest_pending)
        why = f"{waits} waiting, the oldest for {waited}; {plural(len(serving), 'worker')}, {state}"
        yield Finding(Level.WARN, f"{row.name}: overloaded", why, path)
    rate = row.failure_rate
    if rate is not None and row.failed >= FAILURES and rate >= FAILURE_RATE:
        why = f"{percent(rate)} of the jobs that ended in the last hour ({plural(row.failed, 'job')})"
        yield Finding(Level.WARN, f"{row.name}: failing", why, f"/jobs?state=failed&job_type={row.name}")


def _of_workers(workers: Sequence[WorkerInfo], gone: Sequence[WorkerInfo], now: datetime) -> Iterator[Finding]:
    alive = [worker for worker in workers if worker.status != "lost"]
    if not alive:
        yield Finding(Level.BAD, "No worker is online", "nothing is performed until one is started", "/workers")
    for worker in workers:
        path = f"/workers/{worker.worker_id}"
        if worker.status == "lost":
            why = f"no sign of life for {about(now - worker.renewed_at)}; its jobs are taken back"
            yield Finding(Level.WARN, f"{worker.name}: lost", why, path)
        if worker.loop_lag >= LATE_LOOP:
            late = span(timedelta(seconds=worker.loop_lag))
            yield Finding(Level.WARN, f"{worker.name}: event loop blocked", f"{late} late when it last said so", path)
        yield from (_of_trouble(worker, trouble) for trouble in worker.troubles)
        broken = [str(plugin.get("distribution", "?")) for plugin in worker.plugins if plugin.get("state") == "failed"]
        if broken:
            why = f"not loaded: {', '.join(sorted(broken))}"
            yield Finding(Level.WARN, f"{worker.name}: plugins failed", why, path)
    lost = [worker for worker in gone if worker.status == "lost" and now - worker.renewed_at < LOST_LATELY]
    if lost:
        last = f"{lost[0].name}: {lost[0].reason or 'nobody knows why'}"
        why = f"{plural(len(lost), 'worker')} in the last hour; the last was {last}"
        yield Finding(Level.WARN, "Workers were lost", why, "/workers")


def _of_trouble(worker: WorkerInfo, trouble: Trouble) -> Finding:
    seconds = span(timedelta(seconds=trouble.seconds))
    match trouble.what:
        case TroubleWord.BLOCKS_LOOP:
            why = f"a job has blocked the event loop for {seconds}"
        case TroubleWord.IGNORES_END:
            why = f"a job goes on {seconds} after it was told to end"
    return Finding(Level.WARN, f"{trouble.job_type} on {worker.name}", why, f"/jobs/{trouble.job_id}")
