"""One job: its course, payload, result, errors and log, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from fastapi import Response

from emp_core.jobs import FINAL_STATES
from emp_server.access import TheCaller
from emp_server.monitor.excerpts import excerpt
from emp_server.monitor.job_rows import JobRow
from emp_server.monitor.rendering import page
from emp_server.monitor.timeline import course
from emp_server.parts import TheParts
from emp_server.waiting import known_form, not_found

PAYLOAD_READ: Final = 512 * 1024
RESULT_READ: Final = 4 * 1024 * 1024
LINE_SHOWN: Final = 4000


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a handler logged."""

    at: datetime | None
    level: str
    message: str
    attempt: str


async def show_job(parts: TheParts, caller: TheCaller, job_id: str) -> Response:
    """Show one job."""
    sheet, now, types = await asyncio.gather(
        parts.store.glances.sheet(known_form(job_id), payload_bytes=PAYLOAD_READ, result_bytes=RESULT_READ),
        parts.store.history.now(),
        parts.catalog.types(),
    )
    if sheet is None:
        raise not_found(job_id)
    known = types.get(sheet.job.job_type)
    return page(
        "job.html",
        caller,
        now=now,
        job=sheet.job,
        row=JobRow(sheet.job, sheet.job.message),
        position=sheet.position,
        is_final=sheet.job.state in FINAL_STATES,
        steps=course(sheet, now),
        payload=excerpt(sheet.payload) if sheet.payload else None,
        result=excerpt(sheet.result) if sheet.result else None,
        log=log_lines(sheet.log),
        log_length=sheet.log_length,
        known=known,
        is_served=known is not None and known.workers_online > 0,
    )


def log_lines(lines: Sequence[bytes]) -> list[LogLine]:
    """Read log lines; one that cannot be read is shown as it is."""
    return [_line(line) for line in lines]


def _line(line: bytes) -> LogLine:
    try:
        value = msgspec.json.decode(line, type=dict[str, object])
        at = value.get("at")
        return LogLine(
            at=datetime.fromtimestamp(at, tz=UTC) if isinstance(at, int | float) else None,
            level=str(value.get("level", "")),
            message=str(value.get("message", "")),
            attempt=str(value.get("attempt", "")),
        )
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
        return LogLine(None, "", line.decode("utf-8", "replace"), "")
