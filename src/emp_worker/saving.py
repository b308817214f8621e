"""Handles on their way to the store, and those who wait until they are there."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from emp_core.errors import InternalError
from emp_core.ids import WorkerId
from emp_core.jobs import Handle
from emp_core.store import Reply, Store
from emp_worker.failures import HandleNotSaved
from emp_worker.handles import resolve

_log = structlog.get_logger("emp.worker")


class Saving:
    """The handles of one worker id's attempts. Like outcomes, they wait until the store is back."""

    def __init__(self, store: Store, worker_id: WorkerId) -> None:
        self._store = store
        self._worker_id = worker_id
        self._waiting: dict[Future[None], Handle] = {}

    def take(self, handle: Handle, stored: Future[None]) -> None:
        """Take a handle; `stored` is set when the store has it. It is written even if nobody waits any more."""
        self._waiting[stored] = handle

    async def write(self) -> None:
        """Write what waits, in order. Raises StoreError if the store is away; nothing is lost then."""
        await self._write(dict(self._waiting))

    async def _write(self, batch: dict[Future[None], Handle]) -> None:
        try:
            words = await self._store.jobs.save(self._worker_id, list(batch.values()))
        except InternalError as error:
            if len(batch) > 1:
                for stored, handle in batch.items():
                    await self._write({stored: handle})
                return
            (stored, handle), *_ = batch.items()
            _log.error("handle_not_stored", job_id=handle.job_id, error=error.detail)
            self._done(stored, HandleNotSaved(f"the handle was not stored: {error.detail}"))
            return
        for stored, word in zip(batch, words, strict=True):
            refused = None if word is Reply.OK else HandleNotSaved("the job has been taken over, or is gone")
            self._done(stored, refused)

    def _done(self, stored: Future[None], error: Exception | None) -> None:
        self._waiting.pop(stored, None)
        resolve(stored, error)
