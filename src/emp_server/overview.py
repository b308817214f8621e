"""List all jobs: what runs, what waits, what ended. No one index holds them, so one is read after another."""

from __future__ import annotations

from typing import Final

from emp_core.errors import InvalidRequest
from emp_core.jobs import Job, JobState
from emp_core.store import JobFilter, Page, Views

RUNNING: Final = "running"
OVERVIEW: Final = (
    RUNNING,
    JobState.PENDING.value,
    JobState.SCHEDULED.value,
    JobState.FAILED.value,
    JobState.CANCELLED.value,
    JobState.COMPLETED.value,
)
"""The lists in their order; together they hold every job once."""


async def overview(views: Views, cursor: str | None, limit: int) -> Page:
    """Give a page of all jobs; its cursor names the list in which the next page begins, and the place there.

    A job that changes its state between two pages may be in both, or in neither.

    Raises:
        InvalidRequest: the cursor is not one that a page gave.
    """
    begin, _, place = (cursor or f"{RUNNING}:").partition(":")
    if begin not in OVERVIEW:
        raise InvalidRequest("the cursor is not one that a page gave")
    jobs: list[Job] = []
    for state in OVERVIEW[OVERVIEW.index(begin) :]:
        # The page was full when the list before this one ended.
        if len(jobs) == limit:
            return Page(tuple(jobs), f"{state}:")
        page = await views.list(JobFilter(state=state), place or None, limit - len(jobs))
        jobs += page.jobs
        if page.next_cursor is not None:
            return Page(tuple(jobs), f"{state}:{page.next_cursor}")
        place = ""
    return Page(tuple(jobs), None)
