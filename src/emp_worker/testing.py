"""Perform a handler in a test of a plugin: the real path of an attempt, without a store, a server or a worker.

from emp_worker.testing import run_job

def test_words_are_counted():
    run = run_job(WORDCOUNT, {"text": "one two"})

    assert run.result == {"words": 2}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Cancelled, ClaimedJob, Completed, Failed, Outcome, Released, Retry
from emp_worker.context import JobContext
from emp_worker.failures import AttemptTimedOut, JobCancelled
from emp_worker.isolation import Runners
from emp_worker.jobtypes import JobType
from emp_worker.outcome import outcome_of

__all__ = [
    "Cancelled",
    "Completed",
    "Failed",
    "JobRun",
    "LogLine",
    "Outcome",
    "Progress",
    "Released",
    "Retry",
    "run_job",
    "run_job_async",
]

Payload = Mapping[str, Any] | BaseModel | str | bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """One call of `job.progress`."""

    fraction: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of `job.log`."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class JobRun:
    """What one attempt did: how it ended, its result (the JSON value that a client gets), and what it said.

    `error` is the JSON object that is kept of an attempt that failed, else None.
    """

    outcome: Outcome
    result: Any
    error: dict[str, Any] | None
    progress: tuple[Progress, ...]
    log: tuple[LogLine, ...]


def run_job(job_type: JobType, payload: Payload, **options: Any) -> JobRun:
    """Perform one attempt and wait for its end; the options are those of `run_job_async`."""
    return asyncio.run(run_job_async(job_type, payload, **options))


async def run_job_async(
    job_type: JobType,
    payload: Payload,
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    priority: int = 0,
    cancel_at: float | None = None,
) -> JobRun:
    """Perform one attempt of a job: lifespan, handler, time limit, result, outcome, as a worker does it.

    A handler of `isolation="process"` runs in this process, where the test can reach it, and without its memory limit.

    `payload` is a mapping, a model, or JSON text. `cancel_at` calls the job off as soon as its progress reaches this
    fraction.
    """
    claimed = _claimed(job_type, payload, attempt, max_attempts or job_type.max_attempts, priority)
    recorder = _Recorder(cancel_at)
    context = JobContext(
        job_id=claimed.job_id,
        job_type=job_type.name,
        attempt=attempt,
        max_attempts=claimed.max_attempts,
        priority=priority,
        worker_id=new_worker_id(),
        deadline=None if job_type.timeout is None else datetime.now(UTC) + job_type.timeout,
        reporter=recorder,
    )
    outcome = await _perform(job_type, claimed, context, recorder)
    return JobRun(
        outcome=outcome,
        result=json.loads(outcome.result) if isinstance(outcome, Completed) else None,
        error=json.loads(outcome.error) if isinstance(outcome, Failed | Retry) else None,
        progress=tuple(recorder.said),
        log=tuple(LogLine(line["level"], line["message"]) for line in map(json.loads, recorder.lines)),
    )


async def _perform(job_type: JobType, claimed: ClaimedJob, context: JobContext, recorder: _Recorder) -> Outcome:
    seconds = None if job_type.timeout is None else job_type.timeout.total_seconds()
    async with Runners(threads=1) as runners:
        work = asyncio.create_task(runners.run(job_type, claimed.payload, context))
        recorder.on_cancel(context, asyncio.get_running_loop(), work)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                result = await work
        except (Exception, asyncio.CancelledError, JobCancelled) as error:
            if limit.expired():
                timed_out = AttemptTimedOut(f"the attempt ran longer than its timeout of {seconds:g} s")
                return outcome_of(timed_out, claimed, job_type, 0.5)
            if not isinstance(error, asyncio.CancelledError):
                return outcome_of(error, claimed, job_type, 0.5)
            if not context.cancelled:
                raise
            return Cancelled(claimed.job_id, claimed.token)
        return Completed(claimed.job_id, claimed.token, result)


def _claimed(job_type: JobType, payload: Payload, attempt: int, max_attempts: int, priority: int) -> ClaimedJob:
    if isinstance(payload, BaseModel):
        text = payload.model_dump_json().encode()
    elif isinstance(payload, Mapping):
        text = json.dumps(payload).encode()
    else:
        text = payload.encode() if isinstance(payload, str) else payload
    return ClaimedJob(
        job_id=new_job_id(),
        job_type=job_type.name,
        payload=text,
        token="1-test",  # noqa: S106 - a fencing token, no secret
        attempt=attempt,
        max_attempts=max_attempts,
        priority=priority,
        losses=0,
        schema_digest=job_type.digest,
        refusals=0,
        timeout=job_type.timeout,
        progress_timeout=job_type.progress_timeout,
        backoff=job_type.backoff,
        created_at=datetime.now(UTC),
    )


class _Recorder:
    """Keeps what an attempt says, and calls it off at the progress that the test names."""

    def __init__(self, cancel_at: float | None) -> None:
        self.said: list[Progress] = []
        self.lines: list[bytes] = []
        self._cancel_at = cancel_at
        self._cancel: Callable[[], None] = lambda: None

    def on_cancel(self, context: JobContext, loop: asyncio.AbstractEventLoop, work: asyncio.Task[bytes]) -> None:
        def cancel() -> None:
            context.request_cancel()
            loop.call_soon_threadsafe(work.cancel)

        self._cancel = cancel

    def progress(self, fraction: float | None, message: str | None) -> None:
        self.said.append(Progress(fraction, message))
        if self._cancel_at is not None and fraction is not None and fraction >= self._cancel_at:
            self._cancel_at = None
            self._cancel()

    def log(self, line: bytes) -> None:
        self.lines.append(line)
