"""A session: everything that a worker does under one lease. A lost lease ends it, and the next one begins afresh.

The order of the stop is the nesting: the claimer first (no new work), then the attempts (they end or are released),
then the flusher (every outcome is stored).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog
from pluggy import HookRelay

from emp_core.ids import JobId
from emp_core.store import Renewed, Store
from emp_core.tracing import NO_TRACER, Tracer
from emp_worker.claimer import Claimer
from emp_worker.ending import Ending
from emp_worker.executor import Executor
from emp_worker.flusher import Flusher
from emp_worker.isolation import Runners
from emp_worker.jobtypes import JobType
from emp_worker.lease import Lease
from emp_worker.slots import Slots
from emp_worker.strangers import Strangers
from emp_worker.troubles import Open, Troubles
from emp_worker.waiting import first_of

END_WITHIN = 2.0
"""Seconds that handlers get to end after they were told to; threads that need longer end with the process."""

_log = structlog.get_logger("emp.worker")


class Loop(Protocol):
    """What every loop of EMP has; the names of its parts are the same everywhere."""

    async def run(self) -> None:
        """Wait for reasons to act, until stopped."""

    def stop(self) -> None:
        """Let `run` end."""


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[None]:
    """Run a loop beside the body, and stop it after the body. A loop that fails fails the body."""
    async with asyncio.TaskGroup() as group:
        group.create_task(loop.run())
        try:
            yield
        finally:
            loop.stop()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker process has whatever its lease; `poke` makes the heartbeat renew at once."""

    store: Store
    types: Mapping[str, JobType]
    versions: Mapping[str, str]
    runners: Runners
    slots: Slots
    hooks: HookRelay
    troubles: Troubles
    poke: Callable[[], None]
    tracer: Tracer = NO_TRACER


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told: make room for a successor, drain, and be quick about it. Each is set once."""

    retire: asyncio.Event = field(default_factory=asyncio.Event)
    drain: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_stopping(self) -> bool:
        """Whether no more jobs are to be claimed."""
        return self.retire.is_set() or self.drain.is_set()


class Session:
    """Claims, performs and settles jobs under one lease; `lost` is set from outside when the lease is.

    `has_left_work` says at the end that the store does not have every outcome, or may have jobs for us still.
    """

    def __init__(self, parts: Parts, lease: Lease) -> None:
        store, slots, worker_id = parts.store, parts.slots, lease.worker_id
        self.lease = lease
        self.lost = asyncio.Event()
        self.has_left_work = False
        self._flusher = Flusher(store, worker_id)
        self._executor = Executor(
            parts.types,
            parts.runners,
            slots,
            self._flusher,
            lambda: self.lease,
            parts.hooks,
            parts.troubles,
            parts.tracer,
        )
        self._slots = slots
        self._claimer = Claimer(
            store,
            worker_id,
            slots,
            self._flusher,
            self._executor,
            parts.versions,
            parts.poke,
            self._is_fresh,
        )
        self._strangers = Strangers(store, worker_id, self._known, self._flusher.settle)

    async def run(self, orders: Orders, grace: timedelta) -> None:
        """Work until the lease is lost or a stop is ordered; running jobs get `grace` to end then."""
        hurry = orders.hurry
        async with running(self._flusher), running(self._strangers):
            async with running(self._claimer):
                await first_of(self.lost, orders.retire, orders.drain)
            handing_back = asyncio.create_task(self._claimer.hand_back())
            try:
                await self._wind_down(orders, grace)
                await self._write_out(handing_back, hurry, grace)
            finally:
                handing_back.cancel()

    async def _wind_down(self, orders: Orders, grace: timedelta) -> None:
        """Let running jobs end, within the grace where something presses; then end them."""
        if not self.lost.is_set() and not orders.drain.is_set():
            # The successor works already, so nothing presses: a job that may begin only once would be lost here.
            _log.info("retiring", running=len(self._executor.running))
            await first_of(self._executor.idle, self.lost, orders.drain)
        if not self.lost.is_set():
            _log.info("draining", running=len(self._executor.running), grace_seconds=grace.total_seconds())
            await first_of(self._executor.idle, orders.hurry, self.lost, patience=grace.total_seconds())
        self._executor.end_all(Ending.LEASE_LOST if self.lost.is_set() else Ending.SHUTDOWN)
        await first_of(self._executor.idle, patience=END_WITHIN)
        self._executor.abandon()

    async def _write_out(self, handing_back: asyncio.Task[None], hurry: asyncio.Event, grace: timedelta) -> None:
        """Store every outcome, and what the claimer gives back.

        A store that is away at the end is waited for, but not for ever: whoever stops us would kill us at last.
        """

        async def write() -> None:
            await handing_back
            self._flusher.stop()
            await self._flusher.written.wait()

        writing = asyncio.create_task(write())
        if not hurry.is_set() and not self.lost.is_set():
            await first_of(hurry, also=writing, patience=grace.total_seconds())
        await asyncio.wait({writing}, timeout=END_WITHIN)
        self.has_left_work = not writing.done() and not self.lost.is_set()
        writing.cancel()
        self._flusher.stop()
        self._flusher.give_up()

    def renewed(self, lease: Lease, answer: Renewed) -> None:
        """Take a renewal: it confirms the lease, repeats cancel requests, and says how many jobs we should hold."""
        self.lease = lease
        self._slots.changed.set()  # a lease that had become stale kept the claimer from claiming
        for job_id in answer.asked:
            self._executor.cancel(job_id)
        self._strangers.counted(answer.held)

    def tell(self, trouble: Open) -> None:
        """Say a trouble in the log of its job."""
        self._executor.tell(trouble)

    def called_off(self, job_ids: Sequence[JobId]) -> None:
        """Note that jobs should end now. Any thread."""
        self._executor.called_off(job_ids)

    def is_overdue(self, job_id: JobId) -> bool:
        """Tell whether a job goes on although its end has been due for a while. Any thread."""
        return self._executor.is_overdue(job_id)

    @property
    def is_claiming(self) -> bool:
        """Whether the claimer is getting answers from the store."""
        return self._claimer.is_answered

    @property
    def unanswered_since(self) -> float | None:
        """Since when (monotonic) claims, or what is flushed, have had no answer at all from the store; else None."""
        times = (self._claimer.unanswered_since, self._flusher.unanswered_since)
        return min((since for since in times if since is not None), default=None)

    def _is_fresh(self) -> bool:
        return self.lease.is_fresh()

    def _known(self) -> frozenset[JobId] | None:
        """The jobs that this worker holds as far as it knows; None while a claim's answer is outstanding."""
        return None if self._claimer.is_asking else self._executor.running | self._flusher.unsettled
