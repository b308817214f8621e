"""Strangers: jobs that the store thinks this worker holds, and that it does not know. They are given back.

There are none while a repeated claim gives the same jobs; this is the net under that rope.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from emp_core.errors import EmpError
from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Released
from emp_core.store import Store

_log = structlog.get_logger("emp.worker")


class Strangers:
    """Compares what the store counts with what the worker knows.

    Args:
        known: gives the jobs that the worker knows it holds, or None while it cannot know.
        release: takes the release of a stranger.
    """

    def __init__(
        self,
        store: Store,
        worker_id: WorkerId,
        known: Callable[[], frozenset[JobId] | None],
        release: Callable[[Released], None],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._known = known
        self._release = release
        self._differed = False
        self._suspicious = asyncio.Event()
        self._stopped = False

    @property
    def is_suspicious(self) -> bool:
        """Whether it will look for strangers."""
        return self._suspicious.is_set()

    def counted(self, held: int) -> None:
        """Take the store's count; it must differ twice running, since outcomes and claims are always under way."""
        known = self._known()
        differs = known is not None and len(known) != held
        if differs and self._differed:
            self._suspicious.set()
        self._differed = differs

    async def run(self) -> None:
        """Look for strangers whenever the counts differed, until stopped."""
        while not self._stopped:
            await self._suspicious.wait()
            self._suspicious.clear()
            if not self._stopped:
                try:
                    await self.step()
                except EmpError as error:  # the next renewal brings the next suspicion
                    _log.warning("strangers_not_read", error=error.detail)

    async def step(self) -> None:
        """Read what the store thinks we hold, and give back what we do not know."""
        held = await self._store.workers.held(self._worker_id)
        known = self._known()
        if known is None:
            return
        for job_id in held - known:
            token = await self._store.workers.token_of(job_id)
            _log.warning("stranger_released", job_id=job_id)
            self._release(Released(job_id, token))

    def stop(self) -> None:
        """Let `run` end."""
        self._stopped = True
        self._suspicious.set()
