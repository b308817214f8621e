"""The heartbeat: keeps the worker's lease, on a thread of its own with a connection of its own.

A handler that blocks the event loop must not cost the worker its lease, so nothing here depends on that loop.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import structlog

from emp_core.errors import EmpError, StoreError
from emp_core.ids import WorkerId, new_worker_id
from emp_core.jobs import Announcement, Trouble
from emp_core.outage import Outage
from emp_core.store import LeaseWord, LeaveWord, Renewed, Store, needs_other_release, open_store
from emp_worker.event_loop import new_event_loop
from emp_worker.lease import Lease, boot_time

RETRY_EVERY = 0.5
"""Seconds between two tries to renew while the store does not answer."""
BEAT_EVERY = 0.5
ANNOUNCE_EVERY = timedelta(days=1).total_seconds()
LOOK_EVERY = 10.0
"""Seconds between two looks whether the store still has the announcements: less than a lease."""
LEAVE_WITHIN = 3.0

_log = structlog.get_logger("emp.worker")


@dataclass(frozen=True, slots=True)
class Condition:
    """How the worker does: how late its loop was lately (seconds), which jobs misbehave, and whether it drains."""

    loop_lag: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    draining: bool = False


class Listener(Protocol):
    """Who hears of the lease. Called in the heartbeat's thread."""

    def beat(self) -> None:
        """Hear that the thread lives, several times a second."""

    def condition(self) -> Condition:
        """Say how the worker does; asked before each renewal."""

    def lease_given(self, lease: Lease) -> None:
        """Hear of a registration: at the start, and after every loss under a new id."""

    def store_unfit(self, error: StoreError) -> None:
        """Called once if the store has a format of another release; no renewal follows."""

    def lease_renewed(self, lease: Lease, renewed: Renewed) -> None:
        """Hear of a renewal, and what the store answered to it."""


class Heartbeat:
    """Registers the worker, renews its lease every third of it, and leaves at the end.

    `steady_since` is the time (monotonic) since when renewals have succeeded one after the other.
    """

    def __init__(
        self,
        redis_url: str,
        namespace: str,
        info: Mapping[str, Any],
        announcements: Sequence[Announcement],
        listener: Listener,
    ) -> None:
        self._redis_url = redis_url
        self._namespace = namespace
        self._info = info
        self._announcements = announcements
        self._listener = listener
        self._loop = new_event_loop()
        self._poked = asyncio.Event()
        self._leaving: str | None = None
        self._epoch = ""
        self._asked_as: WorkerId | None = None
        self._announce_from = self._look_from = 0.0
        self._renewed_at: float | None = None
        self.steady_since = math.inf
        self._thread = threading.Thread(target=self._in_thread, name="emp-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the listener hears of the registration when the store has answered."""
        self._thread.start()

    def poke(self) -> None:
        """Renew now: a cancel or a drain waits at the store. Any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._poked.set)

    async def stop(self, reason: str) -> None:
        """Leave, and wait until the store knows or has not answered in time; then the lease runs out by itself."""
        self._leaving = reason
        self.poke()
        await asyncio.to_thread(self._thread.join, LEAVE_WITHIN * 2)

    def _in_thread(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(self._beat())
            await self._keep_lease()
            beats.cancel()

    async def _beat(self) -> None:
        """Show, beside the calls of the store and however long they take, that this thread gets its turn."""
        while True:
            self._listener.beat()
            await asyncio.sleep(BEAT_EVERY)

    async def _keep_lease(self) -> None:
        async with open_store(self._redis_url, self._namespace) as store:
            lease: Lease | None = None
            outage = Outage(_log, "lease_not_renewed")
            while self._leaving is None:
                self._poked.clear()
                pause = RETRY_EVERY
                try:
                    lease = await (self._register(store) if lease is None else self._renew(store, lease))
                    outage.over()
                    pause = 0.0 if lease is None else lease.length.total_seconds() / 3
                    await self._announce(store)
                except StoreError as error:
                    if needs_other_release(error):
                        self._listener.store_unfit(error)
                        return
                    outage.failed(error)
                except EmpError as error:
                    outage.failed(error)
                if self._leaving is None and pause:
                    await _pause(self._poked, pause)
            worker_id = self._asked_as if lease is None else lease.worker_id
            if worker_id is not None:
                await self._leave(store, worker_id, self._leaving)

    async def _register(self, store: Store) -> Lease | None:
        """Get a lease under a new id: an id that was lost once is answered LOST for ever.

        Without an answer the same id is asked for again: a second one would leave a lease behind that nobody keeps.
        """
        sent_at = boot_time()
        worker_id = self._asked_as = self._asked_as or new_worker_id()
        registered = await store.workers.register(worker_id, self._info)
        self._asked_as = None
        if registered.word is not LeaseWord.OK:
            return None
        if self._epoch and registered.epoch != self._epoch:
            _log.warning("store_came_back_empty", epoch=registered.epoch, epoch_before=self._epoch)
        self._epoch = registered.epoch
        self._announce_from = self._look_from = 0.0
        lease = Lease(worker_id, sent_at, registered.lease)
        self._listener.lease_given(lease)
        return lease

    async def _renew(self, store: Store, lease: Lease) -> Lease | None:
        """Renew the lease; None if it was lost."""
        sent_at = boot_time()
        condition = self._listener.condition()
        renewed = await store.workers.renew(
            lease.worker_id, condition.loop_lag, condition.troubles, draining=condition.draining
        )
        if renewed.word is not LeaseWord.OK:
            _log.warning("lease_lost", worker_id=lease.worker_id)
            return None
        confirmed = Lease(lease.worker_id, sent_at, lease.length)
        self._note_renewal(lease.length.total_seconds())
        self._listener.lease_renewed(confirmed, renewed)
        return confirmed

    def _note_renewal(self, lease: float) -> None:
        """Note that a renewal has succeeded; after a pause, of the store or of this process, count anew."""
        now = time.monotonic()
        if self._renewed_at is None or now - self._renewed_at > lease / 2:
            self.steady_since = now
        self._renewed_at = now

    async def _announce(self, store: Store) -> None:
        """Make the job types known: after a registration, once a day, and when the store has lost them.

        A store that refuses costs no lease.
        """
        now = time.monotonic()
        if now < self._look_from:
            return
        try:
            if now < self._announce_from:
                if not await store.types.lacks(self._announcements):
                    self._look_from = now + LOOK_EVERY
                    return
                _log.warning("job_types_lost", why="the store does not have them any more; they are announced again")
            await store.types.announce(self._announcements)
            self._announce_from, self._look_from = now + ANNOUNCE_EVERY, now + LOOK_EVERY
        except EmpError as error:
            _log.warning("job_types_not_announced", error=error.detail)

    async def _leave(self, store: Store, worker_id: WorkerId, reason: str) -> None:
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                word = await store.workers.leave(worker_id, reason)
                # It still holds the jobs of a claim whose answer was lost: they need not wait for the janitor.
                while word is LeaveWord.LOST and await store.jobs.recover():
                    pass
                _log.info("worker_left", worker_id=worker_id, word=str(word), reason=reason)
        except (EmpError, TimeoutError) as error:
            _log.warning("leave_failed", worker_id=worker_id, error=str(error))


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
