"""The first page: is it working, what waits and why, what failed, how the last hour or day went."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict

from emp_core.jobs import JobState, WorkerInfo
from emp_core.store import JobFilter, Minute, eviction_detail
from emp_server.access import TheCaller
from emp_server.monitor.attention import findings
from emp_server.monitor.chart import Chart, Ended, draw
from emp_server.monitor.job_rows import job_rows
from emp_server.monitor.rendering import page
from emp_server.monitor.type_rows import in_minutes, read_recent
from emp_server.parts import Parts, TheParts

FAILED_SHOWN: Final = 8
DAY_STEP: Final = 15
"""Minutes in one bar of the chart of a day."""
DAY: Final = 24 * 60


class Span(BaseModel):
    """The query of the overview."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    span: Literal["hour", "day"] = "hour"


async def show_overview(parts: TheParts, caller: TheCaller, asked: Annotated[Span, Query()]) -> Response:
    """Show whether EMP works, and what needs attention."""
    store = parts.store
    recent, workers, gone, failed, durability, set_aside = await asyncio.gather(
        read_recent(parts),
        store.workers.list(),
        store.workers.gone(),
        store.views.list(JobFilter(state=JobState.FAILED), None, FAILED_SHOWN),
        store.durability(),
        store.views.set_aside(),
    )
    return page(
        "overview.html",
        caller,
        now=recent.now,
        span=asked.span,
        findings=findings(
            recent.rows,
            workers,
            gone,
            recent.now,
            set_aside,
            eviction_detail(durability.policy) if durability.evicts else "",
        ),
        rows=recent.rows,
        waiting=sum(row.pending for row in recent.rows),
        scheduled=sum(row.scheduled for row in recent.rows),
        running=sum(row.running for row in recent.rows),
        completed=in_minutes(recent.minutes, JobState.COMPLETED),
        failed=in_minutes(recent.minutes, JobState.FAILED),
        chart=await _chart(parts, recent.minutes, asked.span),
        failed_jobs=await job_rows(store, failed.jobs),
        durability=durability,
        emptied=parts.watch.emptied,
        **_capacity(workers),
    )


def _capacity(workers: Sequence[WorkerInfo]) -> dict[str, int]:
    """Add up the workers that are there, their slots, and how many of those are taken."""
    online = [worker for worker in workers if worker.status in {"idle", "busy", "draining"}]
    return {
        "workers_online": len(online),
        "slots": sum(worker.slots for worker in online),
        "slots_taken": sum(worker.held for worker in online),
    }


async def _chart(parts: Parts, hour: Sequence[Minute], span: str) -> Chart:
    if span == "hour":
        return draw([_ended([minute]) for minute in hour], timedelta(minutes=1))
    this = int(hour[-1].at.timestamp()) // 60
    # Stretches begin at full quarters of an hour, so that a bar does not change its meaning while one looks.
    last = this // DAY_STEP * DAY_STEP + DAY_STEP
    numbers = range(last - DAY, this + 1 - len(hour))
    minutes = [*await parts.store.history.minutes(numbers), *hour]
    stretches = [minutes[at : at + DAY_STEP] for at in range(0, len(minutes), DAY_STEP)]
    return draw([_ended(stretch) for stretch in stretches], timedelta(minutes=DAY_STEP))


def _ended(stretch: Sequence[Minute]) -> Ended:
    return Ended(stretch[0].at, in_minutes(stretch, JobState.COMPLETED), in_minutes(stretch, JobState.FAILED))
