"""Watch the store for what ends or alarms a server: it came back empty, or other releases have taken it over."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from emp_core.errors import StoreError
from emp_core.store import Store, needs_other_release

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at the store's epoch."""

_log = structlog.get_logger("emp.server")


class StoreWatch:
    """Looks at the store's epoch and format every two seconds.

    `emptied` counts how often the store came back empty since this server started. `unfit` is the error with which the
    server has to end, if the store has a format of another release.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._epoch = ""
        self.emptied = 0
        self.unfit: StoreError | None = None

    async def run(self) -> None:
        """Look until the server has to end; wait for a store that is unreachable."""
        while self.unfit is None:
            try:
                await self.step()
            except StoreError as error:  # a request that needs the store reports it better
                _log.debug("epoch_not_read", error=error.detail)
                if needs_other_release(error):
                    _log.error("store_format_unsupported", error=error.detail)
                    self.unfit = error
            await asyncio.sleep(LOOK_EVERY)

    async def step(self) -> str:
        """Look once, and return the epoch.

        Raises:
            StoreError: the store is unreachable, cannot write an epoch, or has a format of another release.
        """
        epoch = await self._store.identify()
        if self._epoch and epoch != self._epoch:
            self.emptied += 1
            _log.error("store_came_back_empty", epoch=epoch, epoch_before=self._epoch, times=self.emptied)
        self._epoch = epoch
        return epoch
