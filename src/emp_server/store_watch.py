"""Notice that the store came back empty: all that was accepted has gone with what it held."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from emp_core.errors import StoreError
from emp_core.store import Store

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at the store's epoch."""

_log = structlog.get_logger("emp.server")


class StoreWatch:
    """Looks at the store's epoch. `emptied` counts how often it came back empty since this server started."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._epoch = ""
        self.emptied = 0

    async def run(self) -> None:
        """Look for as long as the server runs; a store that is away is waited for."""
        while True:
            try:
                await self.step()
            except StoreError as error:  # whoever needs the store says so better
                _log.debug("epoch_not_read", error=error.detail)
            await asyncio.sleep(LOOK_EVERY)

    async def step(self) -> str:
        """Look once, and give the epoch.

        Raises:
            StoreError: the store is away, or cannot write an epoch.
        """
        epoch = await self._store.epoch() or await self._store.settle_epoch()
        if self._epoch and epoch != self._epoch:
            self.emptied += 1
            _log.error("store_came_back_empty", epoch=epoch, epoch_before=self._epoch, times=self.emptied)
        self._epoch = epoch
        return epoch
