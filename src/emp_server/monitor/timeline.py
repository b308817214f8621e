"""Tell a job's course as a timeline: submitted, each attempt with its waits and its end, and how it stands now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from emp_core.jobs import FINAL_STATES, RUNNING_STATES, Attempt, Job, JobState
from emp_core.store import JobSheet

LEVELS: Final = {"completed": "good", "failed": "bad", "lost": "bad", "retry": "warn", "cancelled": "muted"}


@dataclass(frozen=True, slots=True)
class ErrorShown:
    """An error in its parts."""

    kind: str
    message: str
    code: str
    traceback: str
    output: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the course. `took` is how long it lasted; `waited` how long the job had waited before it."""

    title: str
    at: datetime | None
    level: str = ""
    detail: str = ""
    waited: timedelta | None = None
    took: timedelta | None = None
    worker_id: str = ""
    plugin_version: str = ""
    error: ErrorShown | None = None


def course(sheet: JobSheet, now: datetime) -> list[Step]:
    """Give the steps of a job, the oldest first."""
    job = sheet.job
    steps = [Step("Submitted", job.created_at)]
    free_since: datetime | None = job.created_at
    for attempt in sheet.attempts:
        steps.append(_ended(attempt, free_since))
        free_since = attempt.ended_at
    if job.state in RUNNING_STATES:
        steps.append(_under_way(job, free_since, now))
    elif job.state is JobState.SCHEDULED:
        steps.append(Step("Due", job.scheduled_at, "muted", "waits for its time"))
    elif job.state is JobState.PENDING:
        steps.append(Step("Waits for a worker", free_since, "now", took=_between(free_since, now)))
    elif job.state in FINAL_STATES:
        lasted = _between(job.created_at, job.finished_at)
        steps.append(Step(job.state.capitalize(), job.finished_at, LEVELS[job.state], _why(job), took=lasted))
    return steps


def _why(job: Job) -> str:
    request = job.cancel_request
    if job.state is JobState.CANCELLED and request is not None:
        return f"by {request.by}" + (f": {request.why}" if request.why else "")
    return str(job.reason or "").replace("_", " ")


def _ended(attempt: Attempt, free_since: datetime | None) -> Step:
    return Step(
        title=f"Attempt {attempt.number}: {attempt.outcome}",
        at=attempt.claimed_at,
        level=LEVELS.get(attempt.outcome, ""),
        detail=(attempt.reason or "").replace("_", " "),
        waited=_between(free_since, attempt.claimed_at),
        took=_between(attempt.started_at or attempt.claimed_at, attempt.ended_at),
        worker_id=attempt.worker_id,
        plugin_version=attempt.plugin_version,
        error=read_error(attempt.error),
    )


def _under_way(job: Job, free_since: datetime | None, now: datetime) -> Step:
    return Step(
        title=f"Attempt {job.attempt} of {job.max_attempts}: {'runs' if job.started_at else 'claimed'}",
        at=job.claimed_at,
        level="now",
        detail="somebody asked it to stop" if job.cancel_request else "",
        waited=_between(free_since, job.claimed_at),
        took=_between(job.started_at or job.claimed_at, now),
        worker_id=job.worker_id or "",
        plugin_version=job.plugin_version,
    )


def _between(begin: datetime | None, end: datetime | None) -> timedelta | None:
    return None if begin is None or end is None else max(end - begin, timedelta(0))


def read_error(text: bytes | None) -> ErrorShown | None:
    """Read an error's JSON object; what is not one, or not whole, is shown as it is."""
    if not text:
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        return ErrorShown("", text.decode("utf-8", "replace"), "", "", (), ())
    return ErrorShown(
        kind=str(value.get("kind", "")),
        message=str(value.get("message", "")),
        code=str(value.get("code", "")),
        traceback=str(value.get("traceback", "")),
        output=tuple(str(line) for line in _listed(value.get("output"))),
        faults=tuple(
            (str(fault.get("pointer", "")), str(fault.get("message", "")))
            for fault in _listed(value.get("errors"))
            if isinstance(fault, dict)
        ),
    )


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
