"""The janitor: promote what is due, expire what waited too long, recover what lost its worker, delete what is over.

It runs on a timer in every worker and every server, never only on traffic; the store lets one of them have a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from emp_core.errors import EmpError
from emp_core.outage import Outage
from emp_core.store import Store, eviction_detail

SWEEP_EVERY = 1.0
"""Seconds between two sweeps of one process."""
LOOK_EVERY = 15.0
"""Seconds between two looks at the eviction policy: it may change by CONFIG SET, a restart or a failover."""
_ROUNDS = 1000
_ROUNDS_OF_RETAIN = 50
"""Deleting can wait for the next turn; what is due cannot."""

_REPAIRED_HINT = "keys of the store were damaged; `emp doctor` names them, `--fix` counts again"
_HINT = "no worker gets these jobs; `emp doctor` names them and says what to do"

_log = structlog.get_logger("emp.janitor")


class Janitor:
    """Sweeps the store once a second. `interval` is in seconds."""

    def __init__(self, store: Store, interval: float = SWEEP_EVERY) -> None:
        self._store = store
        self._interval = interval
        self._look_from = 0.0
        self._evicts = False
        self._stopped = asyncio.Event()
        self._set_aside = 0
        self._repaired = 0

    async def run(self) -> None:
        """Sweep until stopped; a store that is away is waited for."""
        outage = Outage(_log, "sweep_failed")
        while not self._stopped.is_set():
            try:
                await self.step()
                await self.look_at_eviction(time.monotonic())
                outage.over()
            except EmpError as error:
                outage.failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._stopped.wait()

    async def step(self) -> None:
        """Take one turn: each duty that has work is called until it has none, up to a bound."""
        jobs = self._store.jobs
        due = await jobs.sweep()
        if due.set_aside > self._set_aside:
            await self._warn_of_set_aside(due.set_aside)
        if due.repaired > self._repaired:
            _log.warning("bookkeeping_repaired", new=due.repaired - self._repaired, hint=_REPAIRED_HINT)
            self._repaired = due.repaired
        if due.promote:
            await _work_off(jobs.promote, _ROUNDS)
        if due.expire:
            await _work_off(jobs.expire, _ROUNDS)
        if due.recover:
            await _work_off(jobs.recover, _ROUNDS)
        if due.retain:
            await _work_off(jobs.retain, _ROUNDS_OF_RETAIN)

    async def _warn_of_set_aside(self, ever: int) -> None:
        """Log records that could not be read, if any of them still waits for `emp doctor`."""
        waiting = await self._store.views.set_aside()
        if waiting:
            _log.warning("records_set_aside", new=ever - self._set_aside, waiting=waiting, hint=_HINT)
        self._set_aside = ever

    async def look_at_eviction(self, now: float) -> None:
        """Log when the store begins to evict, and when it no longer does; look once in `LOOK_EVERY` seconds.

        Args:
            now: seconds that only grow.
        """
        if now < self._look_from:
            return
        durability = await self._store.durability()
        self._look_from = now + LOOK_EVERY
        if durability.evicts and not self._evicts:
            _log.warning("store_evicts", error=eviction_detail(durability.policy))
        elif self._evicts and not durability.evicts:
            _log.info("store_keeps_all", policy=durability.policy)
        self._evicts = durability.evicts

    def stop(self) -> None:
        """Let `run` end after the step under way."""
        self._stopped.set()


async def _work_off(duty: Callable[[], Awaitable[bool]], rounds: int) -> None:
    """Call a duty while it says that there is more; the next turn goes on where this one stopped."""
    for _ in range(rounds):
        if not await duty():
            return
