"""What tests of handlers share: a context whose reports are kept, and a claimed job."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import ClaimedJob
from emp_worker.context import JobContext

JOB_ID = JobId("01hzzzzzzzzzzzzzzzzzzzzz00")


@dataclass
class KeptReports:
    """A reporter that keeps what it hears."""

    progresses: list[tuple[float | None, str | None]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    handles: list[bytes] = field(default_factory=list)

    def progress(self, fraction: float | None, message: str | None) -> None:
        self.progresses.append((fraction, message))

    def log(self, line: bytes) -> None:
        self.lines.append(json.loads(line))

    def save(self, handle: bytes) -> Future[None]:
        self.handles.append(handle)
        stored: Future[None] = Future()
        stored.set_result(None)
        return stored


def a_context(reporter: KeptReports | None = None, **fields: Any) -> JobContext:
    """Make the context of a first attempt; fields say what is different."""
    usual: dict[str, Any] = {
        "job_id": JOB_ID,
        "job_type": "text.echo",
        "attempt": 1,
        "max_attempts": 3,
        "priority": 0,
        "worker_id": WorkerId("01hyyyyyyyyyyyyyyyyyyyyyyy"),
        "deadline": None,
        "reporter": reporter or KeptReports(),
    }
    return JobContext(**{**usual, **fields})


def a_claimed_job(**fields: Any) -> ClaimedJob:
    """Make a claimed job in its first of three attempts; fields say what is different."""
    usual: dict[str, Any] = {
        "job_id": JOB_ID,
        "job_type": "text.echo",
        "payload": b"{}",
        "token": "7-abc",
        "attempt": 1,
        "max_attempts": 3,
        "priority": 0,
        "losses": 0,
        "schema_digest": "",
        "refusals": 0,
        "timeout": None,
        "progress_timeout": None,
        "backoff": None,
    }
    return ClaimedJob(**{**usual, **fields})
