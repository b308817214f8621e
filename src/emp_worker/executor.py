"""The executor: one attempt from its claim to its outcome, with its time limits and whatever ends it early."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import assert_never

import structlog
from pluggy import HookRelay

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Cancelled, ClaimedJob, Completed, Failed, Outcome, Reason, Released
from emp_worker.context import JobContext
from emp_worker.error_json import error_json
from emp_worker.failures import AttemptTimedOut, JobCancelled, JobError
from emp_worker.flusher import Flusher
from emp_worker.isolation import Runners
from emp_worker.jobtypes import JobType
from emp_worker.lease import Lease
from emp_worker.outcome import outcome_of
from emp_worker.plugins import tell
from emp_worker.slots import Slots

_log = structlog.get_logger("emp.worker")


class Ending(Enum):
    """Why the worker ends an attempt before its handler does."""

    CANCEL = "somebody called the job off"
    TIMEOUT = "the attempt's time limit is over"
    SILENCE = "the handler showed no sign of life for its progress limit"
    SHUTDOWN = "the worker stops and its grace is over"
    LEASE_LOST = "the job was taken over by others"


@dataclass(slots=True)
class _Running:
    """An attempt under way; it is the reporter of its own context."""

    job: ClaimedJob
    job_type: JobType
    flusher: Flusher
    context: JobContext = field(init=False)
    attempt: asyncio.Task[None] = field(init=False)
    ending: Ending | None = None
    is_begun: bool = False
    is_abandoned: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    heard_at: float = 0.0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def progress(self, fraction: float | None, message: str | None) -> None:
        self._on_loop(self.flusher.said, fraction, message)

    def log(self, line: bytes) -> None:
        self._on_loop(self.flusher.logged, line)

    def _on_loop(self, take: Callable[..., None], *values: object) -> None:
        """Hand something to the flusher, from whatever thread the handler runs in."""
        self.heard_at = self.loop.time()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(take, self.job.job_id, *values)
        else:
            take(self.job.job_id, *values)

    def end(self, why: Ending) -> None:
        """Ask the handler to stop; the first reason counts."""
        if self.ending is None:
            self.ending = why
            self.context.request_cancel()
            if self.is_begun:  # cancelled before its first step, it would never give its slot back
                self.attempt.cancel()


class Executor:
    """Performs the jobs of one lease and hands their outcomes to the flusher."""

    def __init__(
        self,
        types: Mapping[str, JobType],
        runners: Runners,
        slots: Slots,
        flusher: Flusher,
        lease: Callable[[], Lease],
        hooks: HookRelay,
    ) -> None:
        self._types = types
        self._runners = runners
        self._slots = slots
        self._flusher = flusher
        self._lease = lease
        self._hooks = hooks
        self._worker_id: WorkerId = lease().worker_id
        self._running: dict[JobId, _Running] = {}
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def running(self) -> frozenset[JobId]:
        """The jobs whose attempts are under way."""
        return frozenset(self._running)

    def begin(self, job: ClaimedJob) -> None:
        """Take a claimed job's slot and begin its attempt."""
        running = _Running(job, self._types[job.job_type], self._flusher)
        running.context = _context(job, running, self._worker_id)
        self._slots.take(job.job_type)
        self.idle.clear()
        self._running[job.job_id] = running
        running.attempt = asyncio.create_task(self._perform(running), name=f"job {job.job_id}")

    async def _perform(self, running: _Running) -> None:
        job = running.job
        try:
            outcome = await self._attempt(running)
        except asyncio.CancelledError:
            outcome = _ended_early(running)
        finally:
            for timer in running.timers:
                timer.cancel()
            del self._running[job.job_id]
            self._slots.give_back(job.job_type)
            if not self._running:
                self.idle.set()
        if outcome is not None and not running.is_abandoned:
            self._flusher.settle(outcome)
            tell(self._hooks.emp_job_finished, job=running.context, outcome=outcome)

    async def _attempt(self, running: _Running) -> Outcome | None:
        """Call the handler and name the outcome; None if it is no longer ours to say."""
        job, job_type = running.job, running.job_type
        if running.context.cancelled:
            return _ended_early(running)
        if not self._lease().is_fresh():
            # After a freeze others may have taken the job over: it must not begin here.
            _log.warning("claim_dropped", job_id=job.job_id, job_type=job.job_type)
            return Released(job.job_id, job.token)
        running.is_begun = True
        self._flusher.started(job.job_id, job.token)
        _arm(running)
        try:
            result = await self._runners.run(job_type, job.payload, running.context)
        except (Exception, JobCancelled) as error:  # noqa: BLE001 - whatever a handler raises is its attempt's error
            return _ended_early(running) if running.ending else outcome_of(error, job, job_type, random.random())  # noqa: S311 - spreads retries
        if running.ending in {None, Ending.CANCEL, Ending.SHUTDOWN}:
            return Completed(job.job_id, job.token, result)
        return _ended_early(running)

    def cancel(self, job_id: JobId) -> None:
        """End an attempt because somebody called its job off; one that is not here has ended already."""
        if (running := self._running.get(job_id)) is not None:
            running.end(Ending.CANCEL)

    def end_all(self, why: Ending) -> None:
        """End every attempt."""
        for running in list(self._running.values()):
            running.end(why)

    def abandon(self) -> None:
        """Settle what will not end: threads that ignore their cancellation. What they return later counts no more."""
        for running in list(self._running.values()):
            running.is_abandoned = True
            _log.warning("handler_abandoned", job_id=running.job.job_id, job_type=running.job.job_type)
            outcome = _ended_early(running)
            if outcome is not None:
                self._flusher.settle(outcome)


def _context(job: ClaimedJob, running: _Running, worker_id: WorkerId) -> JobContext:
    limit = job.timeout or running.job_type.timeout
    return JobContext(
        job_id=job.job_id,
        job_type=job.job_type,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        worker_id=worker_id,
        deadline=None if limit is None else datetime.now(UTC) + limit,
        reporter=running,
    )


def _arm(running: _Running) -> None:
    """Set the timers of the attempt's limits; those of the submission win over the type's."""
    limit = running.job.timeout or running.job_type.timeout
    if limit is not None:
        running.timers.append(running.loop.call_later(limit.total_seconds(), running.end, Ending.TIMEOUT))
    silence = running.job.progress_timeout or running.job_type.progress_timeout
    if silence is not None:
        running.heard_at = running.loop.time()
        _listen(running, silence)


def _listen(running: _Running, silence: timedelta) -> None:
    """End the attempt if it has been silent for too long; look again when it could be."""
    left = running.heard_at + silence.total_seconds() - running.loop.time()
    if left <= 0:
        running.end(Ending.SILENCE)
    else:
        running.timers[:] = [timer for timer in running.timers if not timer.cancelled()]
        running.timers.append(running.loop.call_later(left, _listen, running, silence))


def _ended_early(running: _Running) -> Outcome | None:
    """Name the outcome of an attempt that the worker ended; None if others have the job now."""
    job, job_type, why = running.job, running.job_type, running.ending
    match why:
        case Ending.CANCEL:
            return Cancelled(job.job_id, job.token)
        case Ending.TIMEOUT | Ending.SILENCE:
            return outcome_of(AttemptTimedOut(_over(running, why)), job, job_type, random.random())  # noqa: S311 - spreads retries
        case Ending.SHUTDOWN | None:
            if running.is_begun and job.max_attempts == 1:
                # It may be begun only once, so it must not go back.
                error = error_json(JobError("the worker stopped before the handler had ended"))
                return Failed(job.job_id, job.token, Reason.INTERRUPTED, error)
            return Released(job.job_id, job.token)
        case Ending.LEASE_LOST:
            return None
        case _:
            assert_never(why)


def _over(running: _Running, why: Ending) -> str:
    job, job_type = running.job, running.job_type
    if why is Ending.TIMEOUT:
        return f"the attempt ran longer than its timeout of {job.timeout or job_type.timeout}"
    return (
        f"the handler reported nothing for its progress_timeout of {job.progress_timeout or job_type.progress_timeout}"
    )
