"""The executor: one attempt from its claim to its outcome, with its time limits and whatever ends it early."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from pluggy import HookRelay

from emp_core import logs
from emp_core.ids import JobId, WorkerId
from emp_core.jobs import ClaimedJob, Completed, Outcome, Released, TroubleWord
from emp_core.tracing import NO_SPAN, Span, Tracer
from emp_worker.context import JobContext
from emp_worker.ending import Ending, ended_early
from emp_worker.failures import JobCancelled
from emp_worker.flusher import Flusher
from emp_worker.isolation import Place, Runners
from emp_worker.isolation.seclusion import Seclusion, seclusion_of
from emp_worker.jobtypes import JobType
from emp_worker.lease import Lease
from emp_worker.loop_watch import job_name
from emp_worker.outcome import outcome_of
from emp_worker.patience import CALLED_OFF, OVERDUE
from emp_worker.plugins import tell
from emp_worker.slots import Slots
from emp_worker.tracing import Attempts, end
from emp_worker.troubles import Open, Troubles

STUCK_AFTER = 5.0
"""Seconds after which a handler that goes on although it was told to end is reported."""
OVERDUE_AFTER = 2.0
"""Seconds after its end was due in which a handler that blocks the loop may still let go of it."""
_log = structlog.get_logger("emp.worker")


@dataclass(slots=True)
class _Running:
    """An attempt under way; it is the reporter of its own context."""

    job: ClaimedJob
    job_type: JobType
    flusher: Flusher
    stuck: Callable[[_Running], None]
    context: JobContext = field(init=False)
    has_stepped: bool = False
    attempt: asyncio.Task[None] = field(init=False)
    ending: Ending | None = None
    is_begun: bool = False
    is_abandoned: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    heard_at: float = 0.0
    due_at: float | None = None
    span: Span = NO_SPAN
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def progress(self, fraction: float | None, message: str | None) -> None:
        self._on_loop(self.flusher.said, fraction, message)

    def log(self, line: bytes) -> None:
        self._on_loop(self.flusher.logged, line)

    def save(self, handle: bytes) -> Future[None]:
        stored: Future[None] = Future()
        self._on_loop(self.flusher.save, handle, stored)
        return stored

    def _on_loop(self, take: Callable[..., None], *values: object) -> None:
        """Hand something to the flusher, from whatever thread the handler runs in."""
        self.heard_at = self.loop.time()
        if _is_in(self.loop):
            take(self.job.job_id, *values)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(take, self.job.job_id, *values)

    def end(self, why: Ending) -> None:
        """Ask the handler to stop; the first reason counts."""
        if self.ending is None:
            self.ending = why
            patience = CALLED_OFF if why is Ending.CANCEL else OVERDUE
            self.context.request_cancel(patience, handed_over=self._is_handed_over(why))
            if self.has_stepped:  # cancelled before its first step, it would never give its slot back
                self.attempt.cancel()
            self.timers.append(self.loop.call_later(STUCK_AFTER, self.stuck, self))

    def ended_early(self) -> Outcome | None:
        """Name the outcome of what the worker ended; None if others have the job now."""
        return ended_early(self.job, self.job_type, self.ending, is_begun=self.is_begun)

    def _is_handed_over(self, why: Ending) -> bool:
        """Tell whether another attempt follows that this one is no failure for."""
        return why is Ending.LEASE_LOST or (why is Ending.SHUTDOWN and self.job.max_attempts > 1)


def _is_in(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether we are called in this loop; a handler's thread may run one of its own."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


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
        troubles: Troubles,
        tracer: Tracer,
    ) -> None:
        self._types = types
        self._runners = runners
        self._slots = slots
        self._flusher = flusher
        self._lease = lease
        self._hooks = hooks
        self._troubles = troubles
        self._worker_id: WorkerId = lease().worker_id
        self._traced = Attempts(tracer, self._worker_id)
        self._running: dict[JobId, _Running] = {}
        self._fresh: list[_Running] = []
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def running(self) -> frozenset[JobId]:
        """The jobs whose attempts are under way."""
        return frozenset(self._running)

    def begin(self, job: ClaimedJob, asked_at: int) -> None:
        """Take a claimed job's slot; its attempt starts with `start_fresh`."""
        job = self._traced.claimed(job, asked_at)
        running = _Running(job, self._types[job.job_type], self._flusher, self._stuck)
        running.context = _context(job, running, self._worker_id)
        self._slots.take(job.job_type, len(job.payload))
        self.idle.clear()
        self._running[job.job_id] = running
        self._fresh.append(running)

    def start_fresh(self) -> None:
        """Start the attempts of the jobs that were taken since."""
        for running in self._fresh:
            job = running.job
            running.attempt = asyncio.create_task(self._perform(running), name=job_name(job.job_id, job.job_type))
        self._fresh.clear()

    async def _perform(self, running: _Running) -> None:
        job = running.job
        logs.concern(job_id=job.job_id, job_type=job.job_type, worker_id=self._worker_id, attempt=job.attempt)
        running.span = self._traced.begin(job)
        running.span.enter()
        running.context.trace = running.span.trace
        try:
            outcome = await self._attempt(running)
        except asyncio.CancelledError:
            outcome = running.ended_early()
        finally:
            for timer in running.timers:
                timer.cancel()
            self._end_troubles(running)
            del self._running[job.job_id]
            self._slots.give_back(job.job_type, len(job.payload))
            if not self._running:
                self.idle.set()
        if running.is_abandoned:
            return
        end(running.span, outcome)
        if outcome is not None:
            self._flusher.settle(outcome)
            tell(self._hooks.emp_job_finished, job=running.context, outcome=outcome)

    async def _attempt(self, running: _Running) -> Outcome | None:
        """Call the handler and name the outcome; None if it is no longer ours to say."""
        job, job_type = running.job, running.job_type
        if running.context.cancelled:
            return running.ended_early()
        running.has_stepped = True
        try:
            # A job in doubt may be the culprit: it gets another process than ours to take down.
            in_doubt = job.is_in_doubt
            seclusion = seclusion_of(job) if in_doubt else Seclusion.NONE
            async with self._runners.place(job_type, seclusion=seclusion) as place:
                if not self._lease().is_fresh() or (in_doubt and not await self._confirm_start(job, place)):
                    # After a freeze others may have taken the job over: it must not begin here.
                    _log.warning("claim_dropped", job_id=job.job_id, job_type=job.job_type)
                    return Released(job.job_id, job.token)
                running.is_begun = True
                if not in_doubt:
                    self._flusher.started(job.job_id, job.token, in_child=place.is_child)
                _arm(running)
                result = await place.run(job_type, job.payload, running.context)
        except (Exception, JobCancelled) as error:  # noqa: BLE001 - whatever a handler raises is its attempt's error
            return running.ended_early() if running.ending else outcome_of(error, job, job_type, random.random())  # noqa: S311 - spreads retries
        if running.ending in {None, Ending.CANCEL, Ending.SHUTDOWN}:
            return Completed(job.job_id, job.token, result)
        return running.ended_early()

    async def _confirm_start(self, job: ClaimedJob, place: Place) -> bool:
        """Write that the handler of a job in doubt is about to be called; return whether it may be.

        Other starts are written behind. If a job in doubt is found claimed after the worker's death, its handler was
        not called (see recover.lua).
        """
        is_ours = await self._flusher.confirm_start(job.job_id, job.token, in_child=place.is_child)
        return is_ours and self._lease().is_fresh()

    def _stuck(self, running: _Running) -> None:
        """Report a handler that goes on although it was told to end. Its slot stays taken: it does run."""
        job, why = running.job, running.ending
        trouble = Open(job.job_id, job.job_type, TroubleWord.IGNORES_END, time.monotonic() - STUCK_AFTER)
        _log.warning("handler_stuck", job_id=job.job_id, job_type=job.job_type, told=why and why.value)
        running.context.log.warning(trouble.told())
        self._troubles.begin(trouble)

    def _end_troubles(self, running: _Running) -> None:
        """Forget what was wrong with an attempt; its log may be written to for the last time."""
        self._troubles.end(running.job.job_id, TroubleWord.IGNORES_END)
        blocked = self._troubles.end(running.job.job_id, TroubleWord.BLOCKS_LOOP)
        if blocked is not None:
            self.tell(blocked)

    def tell(self, trouble: Open) -> None:
        """Say a trouble in the log of its job, if that still runs."""
        if (running := self._running.get(trouble.job_id)) is not None:
            running.context.log.warning(trouble.told())

    def called_off(self, job_ids: Sequence[JobId]) -> None:
        """Note that jobs should end now. Any thread: the loop, which cancels them, may be blocked by one of them."""
        for job_id in job_ids:
            if (running := self._running.get(job_id)) is not None:
                running.due_at = min(running.due_at or math.inf, time.monotonic())

    def is_overdue(self, job_id: JobId) -> bool:
        """Tell whether a job goes on although its end has been due for a while. Any thread."""
        running = self._running.get(job_id)
        due_at = None if running is None else running.due_at
        return due_at is not None and time.monotonic() > due_at + OVERDUE_AFTER

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
            outcome = running.ended_early()
            end(running.span, outcome)
            if outcome is not None:
                self._flusher.settle(outcome)


def _context(job: ClaimedJob, running: _Running, worker_id: WorkerId) -> JobContext:
    return JobContext(
        job_id=job.job_id,
        job_type=job.job_type,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        worker_id=worker_id,
        deadline=None,  # counted from the handler's start
        reporter=running,
        saved=job.handle,
    )


def _arm(running: _Running) -> None:
    """Set the timers of the attempt's limits; those of the submission win over the type's."""
    limit = running.job.timeout or running.job_type.timeout
    if limit is not None:
        running.context.deadline = datetime.now(UTC) + limit
        running.due_at = time.monotonic() + limit.total_seconds()
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
