"""Remember which type a job is of: an update does not say, and it never changes."""

from __future__ import annotations

import asyncio
from typing import Final

from emp_core.errors import StoreError
from emp_core.ids import JobId
from emp_core.store import Store

REMEMBERED: Final = 10_000


class TypesOfJobs:
    """Serves all streams of a server process that are cut to a type: whatever their number, a job is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._types: dict[str, str] = {}
        self._reading: dict[str, asyncio.Task[str | None]] = {}

    async def of(self, job_id: str) -> str | None:
        """Give the type of a job, '' if there is no such job; None while the store is away."""
        known = self._types.get(job_id)
        if known is not None:
            return known
        reading = self._reading.get(job_id)
        if reading is None:
            reading = self._reading[job_id] = asyncio.create_task(self._read(job_id))
        # A stream that ends while it waits must not take the reading from the others.
        return await asyncio.shield(reading)

    async def _read(self, job_id: str) -> str | None:
        try:
            [job] = await self._store.views.get([JobId(job_id)])
        except StoreError:
            return None
        finally:
            del self._reading[job_id]
        if len(self._types) >= REMEMBERED:
            self._types.clear()
        self._types[job_id] = job.job_type if job else ""
        return self._types[job_id]
