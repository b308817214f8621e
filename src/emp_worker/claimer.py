"""The claimer: asks for as many jobs as there are free slots, and otherwise sleeps at the doorbell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from emp_core.errors import EmpError
from emp_core.ids import WorkerId
from emp_core.jobs import ClaimedJob, Released
from emp_core.outage import Outage
from emp_core.store import Claim, ClaimWord, Doorbell, Ring, Store
from emp_worker.flusher import Flusher
from emp_worker.slots import Slots
from emp_worker.waiting import first_of

_PAUSE_FIRST, _PAUSE_LAST = 0.1, 1.0
_HANG_UP_AGAIN = 0.05
_START_WITHIN = 0.01
"""Seconds for which what was begun may wait until the next claim is sent; a slow store must not hold it up."""

_log = structlog.get_logger("emp.worker")


class Attempts(Protocol):
    """Takes claimed jobs, and starts them when it is told."""

    def begin(self, job: ClaimedJob, asked_at: int) -> None:
        """Take a job, claimed by what was sent at `asked_at` (Unix nanoseconds), and its slot."""

    def start_fresh(self) -> None:
        """Start what was taken since: the next claim is on its way, or there is none.

        Handlers that end at once would otherwise all have ended before it is sent, and the store and this worker would
        wait for each other in turn.
        """


class Claimer:
    """Claims jobs for one lease.

    Args:
        attempts: takes the claimed jobs.
        versions: of the plugin that serves each job type, kept with the attempts.
        wanted: called when the worker's own bell rang: a cancel or a drain waits at the store.
        is_fresh: tells whether the lease is still surely ours.

    `is_asking` says that a claim's answer is outstanding, `is_answered` that the last one came.
    """

    def __init__(
        self,
        store: Store,
        worker_id: WorkerId,
        slots: Slots,
        flusher: Flusher,
        attempts: Attempts,
        versions: Mapping[str, str],
        wanted: Callable[[], None],
        is_fresh: Callable[[], bool],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._slots = slots
        self._flusher = flusher
        self._attempts = attempts
        self._start = attempts.start_fresh
        self._versions = versions
        self._wanted = wanted
        self._is_fresh = is_fresh
        self._number = 0
        self._stopped = asyncio.Event()
        self._bell: asyncio.Task[Ring | None] | None = None
        self._heard: frozenset[str] = frozenset()
        self._left_behind = True
        self._asked: frozenset[str] = frozenset()
        self._next_due = Doorbell.LONGEST_WAIT
        self._outage = Outage(_log, "claim_failed")
        self.is_asking = False
        self.is_answered = False

    async def run(self) -> None:
        """Claim until stopped; a store that is away is waited for."""
        pause, outage = _PAUSE_FIRST, self._outage
        try:
            while not self._stopped.is_set():
                try:
                    await self.step()
                    outage.over()
                    pause = _PAUSE_FIRST
                except EmpError as error:
                    outage.failed(error)
                    self._start()
                    await first_of(self._stopped, patience=pause)
                    pause = min(pause * 2, _PAUSE_LAST)
                    self._left_behind = True
                    self.is_answered = False
        finally:
            outage.unanswered_since = None  # it asks no more
            self._start()
            await self._hang_up()

    @property
    def unanswered_since(self) -> float | None:
        """Since when (monotonic) the store has not answered at all, or None."""
        return self._outage.unanswered_since

    async def step(self) -> None:
        """Claim if there may be jobs for free slots, else wait for a reason to."""
        self._slots.changed.clear()
        rooms = self._rooms()
        # Types that had no room at the last claim were not asked for, so nothing is known of their lines.
        if rooms and (self._left_behind or not self._asked.issuperset(rooms)):
            await self._claim(rooms)
        else:
            self._start()
            await self._wait(frozenset(rooms))

    def _rooms(self) -> dict[str, int]:
        """Give the room of each type that jobs may be claimed for now.

        There is none while outcomes pile up, nor under a lease that may be over: what is claimed could not be begun.
        """
        return self._slots.rooms() if self._is_fresh() and not self._flusher.is_backlogged else {}

    async def _claim(self, rooms: dict[str, int]) -> None:
        # The number rises only with an answer: asked for again, a claim whose answer was lost gives the same jobs.
        self.is_asking = True
        asked_at = time.time_ns()
        # Half of the slots at most, so that the store works on the next claim while the jobs of this one run.
        total = min(self._slots.free(), -(-self._slots.total // 2))
        late = asyncio.get_running_loop().call_later(_START_WITHIN, self._start)
        try:
            claim = await self._store.jobs.claim(
                self._worker_id,
                self._number + 1,
                rooms,
                total,
                self._slots.pools(),
                self._versions,
                byte_limit=self._slots.free_bytes(),
                sent=self._start,
            )
        finally:
            late.cancel()
        self._number += 1
        self.is_asking = False
        self.is_answered = True
        self._asked = frozenset(rooms)
        self._left_behind = claim.more
        self._next_due = _seconds(claim.next_due)
        if claim.word is not ClaimWord.OK:
            await self._refused(claim)
        for job in claim.jobs:
            self._attempts.begin(job, asked_at)

    async def _refused(self, claim: Claim) -> None:
        """Let the heartbeat find out why, and ask again later."""
        _log.warning("claim_refused", word=str(claim.word))
        self._wanted()
        self._left_behind = True
        await first_of(self._stopped, patience=_PAUSE_LAST / 2)

    async def _wait(self, rooms: frozenset[str]) -> None:
        """Wait for the bell, a free slot or room for outcomes."""
        if self._bell is not None and not self._heard.issuperset(rooms):
            # It does not listen for all that we have room for now. A pop that is cancelled may have swallowed a ring.
            await self._hang_up()
            self._left_behind = True
            await self._ring_again(self._heard - rooms)
        if self._bell is None:
            self._heard = rooms
            self._bell = asyncio.create_task(self._store.doorbell.wait(self._worker_id, rooms, self._next_due))
        if self._left_behind and rooms:
            return
        self._flusher.relieved.clear()
        await first_of(self._slots.changed, self._flusher.relieved, self._stopped, also=self._bell)
        if self._bell.done():
            bell, self._bell = self._bell, None
            await self._rang(bell.result())

    async def _rang(self, ring: Ring | None) -> None:
        if ring is None:
            # The time is over: a job may be due now, and no ring may be needed to find one.
            if self._next_due < Doorbell.LONGEST_WAIT:
                await self._store.jobs.promote()
            self._left_behind = True
        elif ring.job_type is None:
            self._wanted()
        elif ring.job_type in self._rooms():
            self._left_behind = True
        else:
            await self._store.jobs.ring(ring.job_type)

    async def _ring_again(self, job_types: frozenset[str]) -> None:
        """Ring for the types that we listened for and will not claim: the pop may have swallowed another's ring."""
        await asyncio.gather(*(self._store.jobs.ring(job_type) for job_type in job_types))

    async def _hang_up(self) -> None:
        if self._bell is not None:
            # Once is not enough: redis-py may swallow a cancellation while it connects.
            while not self._bell.done():
                self._bell.cancel()
                await asyncio.wait({self._bell}, timeout=_HANG_UP_AGAIN)
            # Whatever it ends with is of no use: who hangs up claims, or stops.
            await asyncio.gather(self._bell, return_exceptions=True)
            self._bell = None

    async def hand_back(self) -> None:
        """Undo what answers that nobody read have taken, once the store answers; call it when `run` has ended.

        A pop may have swallowed a ring that another worker waits for. A claim may have taken jobs that would be
        recovered as lost, and charged: asked for again with no room it takes nothing new, and gives the same jobs.
        """
        while True:
            try:
                await self._ring_again(self._heard)
                if self.is_asking:
                    claim = await self._store.jobs.claim(self._worker_id, self._number + 1, {}, 0)
                    self.is_asking = False
                    for job in claim.jobs:
                        self._flusher.settle(Released(job.job_id, job.token))
            except EmpError as error:
                _log.warning("not_handed_back", error=error.detail, again_in_seconds=_PAUSE_LAST)
                await asyncio.sleep(_PAUSE_LAST)
            else:
                return

    def stop(self) -> None:
        """Take nothing more; `run` ends after the claim under way, whose jobs are still begun."""
        self._stopped.set()


def _seconds(due: timedelta | None) -> float:
    return Doorbell.LONGEST_WAIT if due is None else min(due.total_seconds(), Doorbell.LONGEST_WAIT)
