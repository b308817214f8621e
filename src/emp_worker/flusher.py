"""The flusher: writes behind what jobs have done. Outcomes, starts, progress and log lines go out together.

Commands of one event-loop tick share a round trip (see emp_core.store.batching). If the store is away,
outcomes wait until it is back: a finish is repeated until it lands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import structlog
from msgspec import Struct

from emp_core.errors import EmpError, InternalError, StoreFull
from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Cancelled, Completed, Failed, Handle, Outcome, Released, Report, Retry, Started
from emp_core.outage import Outage
from emp_core.store import Reply, Store
from emp_worker.failures import HandleNotSaved
from emp_worker.handles import resolve
from emp_worker.saving import Saving

REPORT_EVERY = 0.1
"""Seconds between two reports of a job: progress is coalesced to ten a second, a final outcome never is."""
BACKLOG_OUTCOMES = 1000
BACKLOG_BYTES = 64 * 1024 * 1024
FLUSH_BYTES = 8 * 1024 * 1024
"""Outcomes of one flush: what a store that is slow or just back takes in one call, so that each flush gets on."""
_PAUSE_FIRST, _PAUSE_LAST = 0.1, 1.0

_NAMES: Final = {kind: kind.__name__.lower() for kind in (Completed, Failed, Retry, Released, Cancelled)}
"""What outcomes are called in the log."""
_WITH_REASON: Final = (Failed, Retry)
"""A tuple, since `Failed | Retry` would be made anew for each outcome."""
_log = structlog.get_logger("emp.worker")


@dataclass(slots=True)
class _Said:
    """What one attempt has said and the store does not have yet."""

    token: str
    fraction: float | None = None
    message: str | None = None
    log: list[bytes] = field(default_factory=list)
    log_sent: int = 0

    def report(self, job_id: JobId) -> Report:
        return Report(job_id, self.token, self.fraction, self.message, tuple(self.log), self.log_sent)

    def is_news(self) -> bool:
        return self.fraction is not None or self.message is not None or bool(self.log)

    def sent(self, report: Report) -> None:
        """Forget what the store has now; what was said meanwhile stays."""
        if self.fraction == report.fraction:
            self.fraction = None
        if self.message == report.message:
            self.message = None
        del self.log[: len(report.log)]
        self.log_sent += len(report.log)


class _Start(Struct):
    """When a handler was called, in seconds of the monotonic clock, and where."""

    token: str
    at: float
    in_child: bool


def _milliseconds(start: _Start, now: float) -> int:
    """Return how many milliseconds ago a handler was called."""
    return int((now - start.at) * 1000)


@dataclass(slots=True)
class _Batch:
    """What goes out in one flush at a time (monotonic seconds), all of one worker id."""

    at: float
    starts: dict[JobId, _Start]
    reports: list[Report]
    outcomes: list[Outcome]
    begun: dict[JobId, int]
    """For outcomes whose start is not stored: how many milliseconds ago their handler was called."""


class Flusher:
    """Buffers what the attempts of one worker id produce and writes it in batches."""

    def __init__(self, store: Store, worker_id: WorkerId) -> None:
        self._store = store
        self._worker_id = worker_id
        self._starts: dict[JobId, _Start] = {}
        self._confirmations: dict[JobId, asyncio.Future[bool]] = {}
        self._said: dict[JobId, _Said] = {}
        self._outcomes: dict[JobId, Outcome] = {}
        self._saving = Saving(store, worker_id)
        self._bytes = 0
        self._reported_at = 0.0
        self._dirty = asyncio.Event()
        self._stopping = False
        self._given_up = False
        self._outage = Outage(_log, "flush_failed")
        # Looked up once: of a job that ended well usually nothing is logged, and `_log.debug` costs more than that.
        self._log_ended = _log.bind().debug
        self.relieved = asyncio.Event()
        self.written = asyncio.Event()

    @property
    def is_backlogged(self) -> bool:
        """Whether so many outcomes wait for the store that no more jobs should be claimed."""
        return len(self._outcomes) >= BACKLOG_OUTCOMES or self._bytes >= BACKLOG_BYTES

    @property
    def unsettled(self) -> frozenset[JobId]:
        """The jobs whose outcomes the store does not have yet."""
        return frozenset(self._outcomes)

    @property
    def unanswered_since(self) -> float | None:
        """Since when (monotonic) the store has not answered at all, or None."""
        return self._outage.unanswered_since

    def started(self, job_id: JobId, token: str, *, in_child: bool = False) -> None:
        """Write behind that a handler is about to be called."""
        self._starts[job_id] = _Start(token, time.monotonic(), in_child)
        self._said[job_id] = _Said(token)
        self._dirty.set()

    async def confirm_start(self, job_id: JobId, token: str, *, in_child: bool) -> bool:
        """Write that a handler is about to be called, and wait until the store has it.

        Return whether the job is still ours: else its handler must not be called.
        """
        confirmation: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._confirmations[job_id] = confirmation
        self.started(job_id, token, in_child=in_child)
        is_ours = False
        try:
            is_ours = await confirmation
        finally:
            del self._confirmations[job_id]
            if not is_ours:  # the handler will not be called
                self._starts.pop(job_id, None)
                self._said.pop(job_id, None)
        return is_ours

    def said(self, job_id: JobId, fraction: float | None, message: str | None) -> None:
        """Take an attempt's progress; only the newest counts. After its outcome nothing is taken."""
        said = self._said.get(job_id)
        if said is not None and job_id not in self._outcomes:
            said.fraction = said.fraction if fraction is None else fraction
            said.message = said.message if message is None else message
            self._dirty.set()

    def logged(self, job_id: JobId, line: bytes) -> None:
        """Take a line of an attempt's log."""
        said = self._said.get(job_id)
        if said is not None and job_id not in self._outcomes:
            said.log.append(line)
            self._dirty.set()

    def save(self, job_id: JobId, value: bytes, stored: Future[None]) -> None:
        """Take a handle for later attempts; `stored` is set when the store has it, or will not have it."""
        said = self._said.get(job_id)
        if said is None or job_id in self._outcomes:
            resolve(stored, HandleNotSaved("the attempt has ended"))
            return
        self._saving.take(Handle(job_id, said.token, value), stored)
        self._dirty.set()

    def settle(self, outcome: Outcome) -> None:
        """Take how an attempt ended; it is written before anything else of this job is.

        An outcome of the attempt before can only be there if the store has it: else nobody could have claimed the job.
        """
        self._outcomes[outcome.job_id] = outcome
        self._bytes += _size(outcome)
        self._dirty.set()

    async def run(self) -> None:
        """Flush whatever comes until stopped, and then what is left."""
        pause, outage = _PAUSE_FIRST, self._outage
        while not (self._given_up or (self._stopping and self._is_empty())):
            await self._dirty.wait()
            try:
                await self.step()
                outage.over()
                pause = _PAUSE_FIRST
            except EmpError as error:
                outage.failed(error, outcomes=len(self._outcomes))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _PAUSE_LAST)
                self._dirty.set()

        self.written.set()

    async def step(self) -> None:
        """Write what is there. Raises StoreError if the store is away or full; nothing is lost then."""
        self._dirty.clear()
        batch = self._gather()
        jobs = self._store.jobs
        begun, _, reported, words = await asyncio.gather(
            jobs.start(
                self._worker_id,
                [
                    Started(job_id, start.token, _milliseconds(start, batch.at), start.in_child)
                    for job_id, start in batch.starts.items()
                ],
            ),
            self._saving.write(),  # before the outcome, which ends the claim
            self._report(batch.reports),
            self._settle(batch.outcomes, batch.begun),
        )
        for (job_id, start), reply in zip(batch.starts.items(), begun, strict=True):
            if self._starts.get(job_id) is start:
                self._has_started(job_id, reply)
        for report in reported:
            if report.job_id in self._said:
                self._said[report.job_id].sent(report)
        for outcome, word in zip(batch.outcomes, words, strict=True):
            self._settled(outcome, word)
        if not self.is_backlogged:
            self.relieved.set()
        if any(said.is_news() for said in self._said.values()):
            asyncio.get_running_loop().call_later(REPORT_EVERY, self._dirty.set)

    def _has_started(self, job_id: JobId, reply: Reply) -> None:
        """Forget a start that the store has, and let a handler begin that waits for this."""
        del self._starts[job_id]
        confirmation = self._confirmations.get(job_id)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(reply is Reply.OK)

    def _gather(self) -> _Batch:
        """Choose what goes out now: outcomes and starts; reports of jobs that end, the others when it is time."""
        outcomes = self._next_outcomes()
        going = {outcome.job_id for outcome in outcomes}
        # A job that has an outcome already needs no start of its own: the outcome carries the time.
        starts = {job_id: start for job_id, start in self._starts.items() if job_id not in self._outcomes}
        now = time.monotonic()
        begun: dict[JobId, int] = {}
        for outcome in outcomes:
            start = self._starts.get(outcome.job_id)
            if start is not None and start.token == outcome.token:
                begun[outcome.job_id] = _milliseconds(start, now)
        is_time = now - self._reported_at >= REPORT_EVERY
        reports = [
            said.report(job_id)
            for job_id, said in self._said.items()
            if said.is_news() and (is_time or job_id in going)
        ]
        if reports and is_time:
            self._reported_at = now
        return _Batch(now, starts, reports, outcomes, begun)

    def _next_outcomes(self) -> list[Outcome]:
        """Give the outcomes of this flush, the oldest first; what is left makes the next one."""
        chosen: list[Outcome] = []
        size = 0
        for outcome in self._outcomes.values():
            size += _size(outcome)
            if chosen and size > FLUSH_BYTES:
                self._dirty.set()
                break
            chosen.append(outcome)
        return chosen

    async def _report(self, reports: list[Report]) -> list[Report]:
        """Write reports and give those that are done with; a full store costs log lines and progress, not outcomes."""
        try:
            await self._store.jobs.report(self._worker_id, reports)
        except (StoreFull, InternalError) as error:
            _log.warning("reports_dropped", error=error.detail, jobs=len(reports))
        return reports

    async def _settle(self, outcomes: list[Outcome], begun: Mapping[JobId, int]) -> list[Reply]:
        """Write outcomes; one that the store cannot take because a record is damaged does not hold up the others."""
        try:
            return await self._store.jobs.settle(self._worker_id, outcomes, begun)
        except InternalError as error:
            if len(outcomes) > 1:
                return [word for outcome in outcomes for word in await self._settle([outcome], begun)]
            _log.error("outcome_not_stored", job_id=outcomes[0].job_id, error=error.detail)
            return [Reply.NOT_FOUND]

    def _settled(self, outcome: Outcome, word: Reply) -> None:
        """Forget an attempt that is stored. Its job may be back already: what the next attempt says is not touched."""
        job_id = outcome.job_id
        if self._outcomes.get(job_id) is outcome:
            del self._outcomes[job_id]
        for said in (self._said, self._starts):
            if job_id in said and said[job_id].token == outcome.token:
                del said[job_id]
        self._bytes -= _size(outcome)
        if word is not Reply.OK:
            _log.warning("outcome_refused", job_id=job_id, outcome=_NAMES[outcome.__class__], word=str(word))
        elif isinstance(outcome, _WITH_REASON):
            _log.info("attempt_failed", job_id=job_id, outcome=_NAMES[outcome.__class__], reason=str(outcome.reason))
        else:
            self._log_ended("attempt_ended", job_id=job_id, outcome=_NAMES[outcome.__class__])

    def _is_empty(self) -> bool:
        return not self._outcomes and not self._starts

    def stop(self) -> None:
        """Let `run` end when everything is written; `written` is set then."""
        self._stopping = True
        self._dirty.set()

    def give_up(self) -> None:
        """Let `run` end although the store does not answer; what it does not have then runs again elsewhere."""
        if self._outcomes and not self.written.is_set():
            _log.error("outcomes_given_up", outcomes=len(self._outcomes))
        self._given_up = True
        self._dirty.set()


def _size(outcome: Outcome) -> int:
    """Return how many bytes of an outcome are kept until the store has it."""
    if isinstance(outcome, Completed):
        return len(outcome.result)
    return len(outcome.error) if isinstance(outcome, _WITH_REASON) else 0
