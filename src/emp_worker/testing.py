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
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from emp_core.finite import non_finite_pointers, refused_places
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Cancelled, ClaimedJob, Completed, Failed, Outcome, Released, Retry
from emp_worker.context import JobContext, Reporter
from emp_worker.failures import AttemptTimedOut, JobCancelled
from emp_worker.handles import written
from emp_worker.isolation import Runners
from emp_worker.jobtypes import JobType
from emp_worker.outcome import outcome_of

__all__ = [
    "Cancelled",
    "Completed",
    "Failed",
    "FakeContext",
    "JobRun",
    "LogLine",
    "Outcome",
    "Payload",
    "Progress",
    "Released",
    "Retry",
    "as_json",
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

    `error` is the JSON object that is kept of an attempt that failed, else None; `handle` is what
    the next attempt would find.
    """

    outcome: Outcome
    result: Any
    error: dict[str, Any] | None
    progress: tuple[Progress, ...]
    log: tuple[LogLine, ...]
    handle: Any = None


def as_json(payload: Payload) -> bytes:
    """Write a payload, given in any of its forms, as a client sends it.

    Raises:
        ValueError: a mapping or a model holds NaN or Infinity, which a client refuses to send.
    """
    if isinstance(payload, BaseModel):
        text = payload.model_dump_json().encode()
        if pointers := non_finite_pointers(payload, text, payload.__pydantic_core_schema__):
            raise ValueError(f"the payload cannot be sent as JSON: {refused_places(pointers)}")
        return text
    if isinstance(payload, Mapping):
        return json.dumps(payload, allow_nan=False).encode()
    return payload.encode() if isinstance(payload, str) else payload


def run_job(job_type: JobType, payload: Payload, **options: Any) -> JobRun:
    """Perform one attempt and wait for its end; the options are those of `run_job_async`."""
    return asyncio.run(run_job_async(job_type, payload, **options))


async def run_job_async(  # noqa: PLR0913 - each says one thing of the attempt
    job_type: JobType,
    payload: Payload,
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    priority: int = 0,
    handle: Any = None,
    cancel_at: float | None = None,
    cancel_after: float | None = None,
    reporter: Reporter | None = None,
) -> JobRun:
    """Perform one attempt of a job: lifespan, handler, time limit, result, outcome, as a worker does it.

    A handler of `isolation="process"` runs in this process, where the test can reach it, and without its memory limit.

    `payload` is a mapping, a model, or JSON text. `handle` is what an attempt before has saved. `cancel_at` calls the
    job off as soon as its progress reaches this fraction, `cancel_after` after so many seconds. `reporter` hears of
    progress, log lines (JSON) and handles as they come. To cancel the call itself calls the job off, too, and waits for
    its end.
    """
    claimed = _claimed(job_type, payload, attempt, max_attempts or job_type.max_attempts, priority)
    recorder = _Recorder(cancel_at, reporter)
    context = JobContext(
        job_id=claimed.job_id,
        job_type=job_type.name,
        attempt=attempt,
        max_attempts=claimed.max_attempts,
        priority=priority,
        worker_id=new_worker_id(),
        deadline=None if job_type.timeout is None else datetime.now(UTC) + job_type.timeout,
        reporter=recorder,
        saved=written(handle),
    )
    outcome = await _perform(job_type, claimed, context, recorder, cancel_after)
    return JobRun(
        outcome=outcome,
        result=json.loads(outcome.result) if isinstance(outcome, Completed) else None,
        error=json.loads(outcome.error) if isinstance(outcome, Failed | Retry) else None,
        progress=tuple(recorder.said),
        log=tuple(recorder.lines),
        handle=context.handle,
    )


async def _perform(
    job_type: JobType, claimed: ClaimedJob, context: JobContext, recorder: _Recorder, cancel_after: float | None
) -> Outcome:
    seconds = None if job_type.timeout is None else job_type.timeout.total_seconds()
    loop = asyncio.get_running_loop()
    async with Runners(threads=1) as runners:
        work = asyncio.create_task(runners.run(job_type, claimed.payload, context))

        def call_off() -> None:
            context.request_cancel()
            loop.call_soon_threadsafe(work.cancel)

        recorder.on_cancel(call_off)
        timer = None if cancel_after is None else loop.call_later(cancel_after, call_off)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                result = await _end_of(work, context)
        except (Exception, asyncio.CancelledError, JobCancelled) as error:
            if limit.expired():
                timed_out = AttemptTimedOut(f"the attempt ran longer than its timeout of {seconds:g} s")
                return outcome_of(timed_out, claimed, job_type, 0.5)
            if not isinstance(error, asyncio.CancelledError):
                return outcome_of(error, claimed, job_type, 0.5)
            if not work.cancelled() or _is_being_cancelled():
                raise
            return Cancelled(claimed.job_id, claimed.token)
        finally:
            if timer is not None:
                timer.cancel()
        return Completed(claimed.job_id, claimed.token, result)


async def _end_of(work: asyncio.Task[bytes], context: JobContext) -> bytes:
    """Wait for an attempt; who stops waiting calls it off, so that a handler in a thread hears of it."""
    try:
        await asyncio.wait({work})
    except asyncio.CancelledError:
        context.request_cancel()
        work.cancel()
        await asyncio.wait({work})
        raise
    return work.result()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _claimed(job_type: JobType, payload: Payload, attempt: int, max_attempts: int, priority: int) -> ClaimedJob:
    return ClaimedJob(
        job_id=new_job_id(),
        job_type=job_type.name,
        payload=as_json(payload),
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
    )


class _Recorder:
    """Keeps what an attempt says, and calls it off at the progress that the test names."""

    def __init__(self, cancel_at: float | None = None, also: Reporter | None = None) -> None:
        self.said: list[Progress] = []
        self.lines: list[LogLine] = []
        self._cancel_at = cancel_at
        self._also = also
        self._cancel: Callable[[], None] = lambda: None

    def on_cancel(self, call_off: Callable[[], None]) -> None:
        self._cancel = call_off

    def progress(self, fraction: float | None, message: str | None) -> None:
        self.said.append(Progress(fraction, message))
        if self._also is not None:
            self._also.progress(fraction, message)
        if self._cancel_at is not None and fraction is not None and fraction >= self._cancel_at:
            self._cancel_at = None
            self._cancel()

    def log(self, line: bytes) -> None:
        written = json.loads(line)
        self.lines.append(LogLine(written["level"], written["message"]))
        if self._also is not None:
            self._also.log(line)

    def save(self, handle: bytes) -> Future[None]:
        stored: Future[None] = Future()
        stored.set_result(None)
        return stored if self._also is None else self._also.save(handle)


class FakeContext(JobContext):
    """A job's context for a test that calls a handler itself: `await count(Text(text="a b"), FakeContext())`.

    `said` and `lines` hold what the handler reported and logged; `request_cancel()` calls the job off.
    """

    def __init__(
        self,
        *,
        job_type: str = "test",
        attempt: int = 1,
        max_attempts: int = 3,
        priority: int = 0,
        deadline: datetime | None = None,
        resources: Any = None,
        handle: Any = None,
    ) -> None:
        self._recorder = _Recorder()
        super().__init__(
            job_id=new_job_id(),
            job_type=job_type,
            attempt=attempt,
            max_attempts=max_attempts,
            priority=priority,
            worker_id=new_worker_id(),
            deadline=deadline,
            reporter=self._recorder,
            resources=resources,
            saved=written(handle),
        )

    @property
    def said(self) -> tuple[Progress, ...]:
        """Give what was reported so far."""
        return tuple(self._recorder.said)

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """Give what was logged so far."""
        return tuple(self._recorder.lines)
