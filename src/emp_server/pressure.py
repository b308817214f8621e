"""Know how full the store is, and whether it keeps jobs, so that new jobs are rejected in time."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from emp_core.errors import EmpError, StoreError, StoreFull, StoreUnavailable, WaitingLineFull
from emp_core.store import Store, StoreLoad, eviction_detail, evicts
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the store."""

_log = structlog.get_logger("emp.server")


class Pressure:
    """Looks at the store's memory and at how many jobs wait in all; what it last saw decides."""

    def __init__(self, store: Store, settings: ServerSettings, refusals: Refusals) -> None:
        self._store = store
        self._waiting_limit = settings.waiting_limit
        self._share = 1.0 - settings.store_headroom_percent / 100
        self._refusals = refusals
        self._reason: EmpError | None = None

    @property
    def is_felt(self) -> bool:
        """Whether new jobs are refused."""
        return self._reason is not None

    def admit(self) -> None:
        """Let a new job pass.

        Raises:
            StoreUnavailable: the store may discard jobs.
            StoreFull: the store's memory is full, but for the room that running jobs need.
            WaitingLineFull: as many jobs wait as may.
        """
        if self._reason is not None:
            self._refusals.count(self._reason)
            # A new one: a traceback would grow with each raise of the same.
            raise type(self._reason)(self._reason.detail)

    async def run(self) -> None:
        """Look for as long as the server runs; a store that is away is waited for."""
        while True:
            try:
                await self.step()
            except StoreError as error:  # whoever needs the store says so better
                _log.debug("pressure_not_read", error=error.detail)
            await asyncio.sleep(LOOK_EVERY)

    async def step(self) -> None:
        """Look once.

        Raises:
            StoreError: the store is away.
        """
        reason = self.reason_of(await self._store.load())
        if (reason is None) != (self._reason is None):
            _log.warning("new_jobs_refused" if reason else "new_jobs_taken_again", why=reason.detail if reason else "")
        self._reason = reason

    def reason_of(self, load: StoreLoad) -> EmpError | None:
        """Give why no new job is taken at such a load; None where they are."""
        memory = load.memory
        if evicts(memory.policy):
            return StoreUnavailable(eviction_detail(memory.policy))
        if memory.limit and memory.used > memory.limit * self._share:
            free = round(100 * (1.0 - self._share))
            return StoreFull(f"the store's memory is full but for the {free} % that running jobs need")
        if load.waiting >= self._waiting_limit:
            return WaitingLineFull(f"{load.waiting} jobs wait, and {self._waiting_limit} may")
        return None
