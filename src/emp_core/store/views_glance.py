"""Read what people look at, and no more than they can: heads of long texts, tails of logs, how many jobs are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emp_core.ids import JobId
from emp_core.jobs import FINAL_STATES, Attempt, Job, JobState
from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys
from emp_core.store.records import last_attempt, read_attempt, read_job, unix_milliseconds

ATTEMPTS_SHOWN: Final = 20
LINES_SHOWN: Final = 200
ERROR_BYTES: Final = 64 * 1024
LAST_ID: Final = "7" + "z" * 25
"""No id comes after this one."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a text, and how many bytes all of it has."""

    text: bytes
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left off."""
        return len(self.text) == self.size


@dataclass(frozen=True, slots=True)
class JobSheet:
    """A job with as much of what belongs to it as fits on a page: its last attempts, the last lines of its log."""

    job: Job
    position: int | None
    attempts: tuple[Attempt, ...]
    payload: Head | None
    result: Head | None
    log: tuple[bytes, ...]
    log_length: int


class Glances:
    """Bounded reads of one partition. Every call may raise StoreUnavailable."""

    def __init__(self, pipeline: Pipeline, keys: Keys) -> None:
        self._pipeline = pipeline
        self._keys = keys

    async def kept(self, job_type: str | None = None) -> dict[JobState, int]:
        """Count the ended jobs that are kept, by state; of one type if it is given."""
        states = sorted(FINAL_STATES)
        suffix = () if job_type is None else (job_type,)
        counts = await asyncio.gather(
            *(self._pipeline.send(("ZCARD", self._keys("finished", state, *suffix))) for state in states)
        )
        return dict(zip(states, map(int, counts), strict=True))

    async def sheet(self, job_id: JobId, *, payload_bytes: int, result_bytes: int) -> JobSheet | None:
        """Read a job and at most so many bytes of its payload and result; None if there is no such job."""
        key, send = self._keys, self._pipeline.send
        fields, records, log, log_length, error, payload, result = await asyncio.gather(
            send(("HGETALL", key("job", job_id))),
            send(("LRANGE", key("attempts", job_id), -ATTEMPTS_SHOWN, -1)),
            send(("LRANGE", key("log", job_id), -LINES_SHOWN, -1)),
            send(("LLEN", key("log", job_id))),
            send(("GETRANGE", key("error", job_id), 0, ERROR_BYTES - 1)),
            self._head("payload", job_id, payload_bytes),
            self._head("result", job_id, result_bytes),
        )
        job = read_job(job_id, fields)
        if job is None:
            return None
        position = None
        if job.state is JobState.PENDING:
            position = await send(("ZRANK", key("pending", job.job_type), job_id))
        ended = [attempt for attempt in map(read_attempt, records) if attempt is not None]
        last = last_attempt(job, error or None) if job.state in FINAL_STATES else None
        attempts = (*ended, last) if last else tuple(ended)
        return JobSheet(job, position, attempts[-ATTEMPTS_SHOWN:], payload, result, tuple(log), int(log_length))

    async def error_heads(self, job_ids: Sequence[JobId], size: int) -> list[bytes]:
        """Read the beginnings of jobs' last errors, in order; empty for a job without one."""
        send = self._pipeline.send
        return list(
            await asyncio.gather(*(send(("GETRANGE", self._keys("error", id_), 0, size - 1)) for id_ in job_ids))
        )

    async def _head(self, kind: str, job_id: JobId, size: int) -> Head | None:
        key = self._keys(kind, job_id)
        text, whole = await asyncio.gather(
            self._pipeline.send(("GETRANGE", key, 0, size - 1)), self._pipeline.send(("STRLEN", key))
        )
        return Head(text, int(whole)) if whole else None


def cursor_before(moment: datetime) -> str:
    """Give the cursor of a newest-first list that begins with what happened before a moment."""
    return f"{unix_milliseconds(moment)},{LAST_ID}"
