"""The list of jobs: by state, type, tag, worker or time, whatever an index serves; a page is never a scan."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import RedirectResponse

from emp_core.errors import InvalidRequest
from emp_core.ids import is_job_id, is_job_type_name
from emp_core.jobs import FINAL_STATES, RUNNING_STATES, TAG_LENGTH, JobState
from emp_core.store import JobFilter, Page, cursor_before
from emp_server.access import TheCaller
from emp_server.monitor.job_rows import job_rows
from emp_server.monitor.rendering import page
from emp_server.overview import RUNNING, overview
from emp_server.parts import Parts, TheParts

TABS: Final = (
    ("", "All"),
    (RUNNING, "Running"),
    (JobState.PENDING.value, "Waiting"),
    (JobState.SCHEDULED.value, "Scheduled"),
    (JobState.FAILED.value, "Failed"),
    (JobState.CANCELLED.value, "Cancelled"),
    (JobState.COMPLETED.value, "Completed"),
)
_INDEXED_BY_TYPE: Final = frozenset({JobState.PENDING, *FINAL_STATES})
_LIVE: Final = {
    RUNNING: tuple(RUNNING_STATES),
    JobState.PENDING.value: (JobState.PENDING,),
    JobState.SCHEDULED.value: (JobState.SCHEDULED,),
}


class JobQuery(BaseModel):
    """The filters of the list, as they stand in its address; empty fields of the form are as good as none."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(default="", max_length=100)
    state: str = Field(default="", max_length=32)
    job_type: str = Field(default="", max_length=128)
    tag: str = Field(default="", max_length=TAG_LENGTH)
    worker: str = Field(default="", max_length=64)
    before: datetime | None = None
    cursor: str = Field(default="", max_length=200)

    @field_validator("before", mode="before")
    @classmethod
    def _no_time(cls, value: Any) -> Any:
        return value or None

    @field_validator("before")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        """Take a time without an offset for UTC, which is what the pages show."""
        return value if value is None or value.tzinfo is not None else value.replace(tzinfo=UTC)

    def address(self, **changes: str) -> str:
        """Give the address of the list with some filters changed; without a cursor it begins at the first page."""
        given = {**self.model_dump(exclude={"cursor", "before", "id"}), "before": _written(self.before), **changes}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"/jobs?{query}" if query else "/jobs"


@dataclass(frozen=True, slots=True)
class Tab:
    """One state to choose, its address, and how many jobs are in it (None: not counted under this filter)."""

    label: str
    path: str
    count: int | None
    is_chosen: bool


async def show_jobs(parts: TheParts, caller: TheCaller, asked: Annotated[JobQuery, Query()]) -> Response:
    """Show a page of jobs."""
    wanted_id = asked.id.strip().lower()
    if wanted_id:
        if not is_job_id(wanted_id):
            raise InvalidRequest(f"{asked.id[:100]!r} is not the id of a job: 26 letters and digits")
        return RedirectResponse(f"/jobs/{wanted_id}", 303)
    _check(asked)
    found, tabs, types, now = await asyncio.gather(
        _page(parts, asked), _tabs(parts, asked), parts.catalog.types(), parts.store.history.now()
    )
    return page(
        "jobs.html",
        caller,
        now=now,
        asked=asked,
        before=_written(asked.before),
        tabs=tabs,
        types=sorted({*types, *([asked.job_type] if asked.job_type else [])}),
        rows=await job_rows(parts.store, found.jobs),
        next_page=asked.address(cursor=found.next_cursor) if found.next_cursor else None,
        is_partial=_is_sifted(asked),
    )


def _check(asked: JobQuery) -> None:
    """Check names before they become part of a key.

    Raises:
        InvalidRequest: one of them cannot be; or no index serves the combination.
    """
    if asked.job_type and not is_job_type_name(asked.job_type):
        raise InvalidRequest("this is not the name of a job type")
    if asked.worker and not is_job_id(asked.worker):
        raise InvalidRequest("this is not the id of a worker")
    if asked.tag and not asked.tag.isprintable():
        raise InvalidRequest("a tag has printable characters only")
    if asked.state not in {value for value, _ in TABS}:
        raise InvalidRequest("there is no such state")
    if asked.before and not (asked.tag or asked.state in {RUNNING, *FINAL_STATES}):
        raise InvalidRequest("choose a state that jobs are in for some time (running, failed, ...) to begin at a time")


def _is_sifted(asked: JobQuery) -> bool:
    """Whether a page is sifted after it was read, because no index has this type in this state."""
    return bool(asked.job_type) and not (asked.tag or asked.worker) and asked.state not in _INDEXED_BY_TYPE


async def _page(parts: Parts, asked: JobQuery) -> Page:
    limit, views = parts.settings.page_default_items, parts.store.views
    cursor = asked.cursor or (cursor_before(asked.before) if asked.before else None)
    if asked.worker:
        return await views.list(JobFilter(worker=asked.worker), cursor, limit)
    if asked.tag:
        return await views.list(JobFilter(tag=asked.tag), cursor, limit)
    if _is_sifted(asked):
        return await _sifted(parts, asked, cursor)
    if not asked.state:
        return await overview(views, cursor, limit)
    return await views.list(JobFilter(state=asked.state, job_type=asked.job_type or None), cursor, limit)


async def _sifted(parts: Parts, asked: JobQuery, cursor: str | None) -> Page:
    """Read as many jobs as a page may have, and keep those of the type."""
    limit, views = parts.settings.page_limit_items, parts.store.views
    if asked.state:
        found = await views.list(JobFilter(state=asked.state), cursor, limit)
    else:
        found = await overview(views, cursor, limit)
    return Page(tuple(job for job in found.jobs if job.job_type == asked.job_type), found.next_cursor)


async def _tabs(parts: Parts, asked: JobQuery) -> list[Tab]:
    counts, kept = await asyncio.gather(parts.store.views.counts(), parts.store.glances.kept(asked.job_type or None))
    of_types = [counts.get(asked.job_type, {})] if asked.job_type else list(counts.values())
    totals = {value: _live(of_types, states) for value, states in _LIVE.items()} | {
        state.value: count for state, count in kept.items()
    }
    totals[""] = sum(totals.values())
    is_counted = not (asked.tag or asked.worker)
    return [
        Tab(
            label,
            asked.address(state=value, tag="", worker="", before=""),
            totals[value],
            is_chosen=value == asked.state and is_counted,
        )
        for value, label in TABS
    ]


def _live(of_types: Sequence[Mapping[str, int]], states: tuple[JobState, ...]) -> int:
    return sum(counts.get(state, 0) for counts in of_types for state in states)


def _written(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
