"""A worker with its store in the memory of one process: what a test submits is claimed, performed and stored for real.

The store is fakeredis with EMP's scripts, the session is a worker's own: claimer, executor, flusher. Their loop runs in
a thread, so that tests of every kind can use it. There is no server: nothing checks a payload before the worker does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from anyio.from_thread import start_blocking_portal

from emp_core.errors import UnknownJobType
from emp_core.ids import JobId, new_job_id, new_worker_id
from emp_core.janitor import Janitor
from emp_core.jobs import FINAL_STATES, Backoff, JobState, Reason, Submission
from emp_core.store import CancelAsk, Store
from emp_core.store.in_memory import open_in_memory_store
from emp_worker.isolation import Runners
from emp_worker.jobtypes import Isolation, JobType
from emp_worker.lease import Lease, boot_time
from emp_worker.loading import check_hooks, declared, new_manager
from emp_worker.session import Orders, Parts, Session, running
from emp_worker.slots import Slots
from emp_worker.testing import LogLine, Payload, Progress, as_json
from emp_worker.troubles import Troubles

__all__ = ["FinishedJob", "InMemoryWorker"]

_AT_ONCE: Final = Backoff(timedelta(milliseconds=1), 1.0, timedelta(milliseconds=1), 0.0)
_PAUSE: Final = 0.01
_THREADS: Final = 8
_SLOTS: Final = 100


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that has ended, as a client would see it; `result` and `error` are JSON values."""

    job_id: JobId
    state: JobState
    reason: Reason | None
    result: Any
    error: Any
    attempt: int
    progress: Progress
    log: tuple[LogLine, ...]


class InMemoryWorker:
    """Serves job types from a store of its own; use it as a context manager.

    A job that failed is tried again at once, whatever its backoff; handlers of `isolation="process"` run here.

    Args:
        plugins: job types, or modules (or any objects) with hooks, which are checked as a worker checks them.

    Raises:
        InvalidJobType: what a plugin declares does not fit.
    """

    def __init__(self, *plugins: object) -> None:
        manager = new_manager()
        hooking = [each for each in plugins if not isinstance(each, JobType)]
        for plugin in hooking:
            manager.register(plugin)
            check_hooks(manager, plugin)
        given = [each for each in plugins if isinstance(each, JobType)]
        self._types = {each.name: each for each in declared([given, *manager.hook.emp_job_types()])}
        self._manager = manager
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Begin to claim jobs."""
        self._portal = self._exits.enter_context(start_blocking_portal("asyncio"))
        self._store = self._exits.enter_context(self._portal.wrap_async_context_manager(self._serving()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End running jobs, and forget all."""
        self._exits.close()

    def submit(self, job_type: str, payload: Payload, *, priority: int = 0, max_attempts: int | None = None) -> JobId:
        """Store a job.

        Raises:
            UnknownJobType: no plugin of this worker declares it.
        """
        known = self._types.get(job_type)
        if known is None:
            raise UnknownJobType(f"this worker does not serve {job_type!r}; it serves {', '.join(sorted(self._types))}")
        job = Submission(
            job_id=new_job_id(),
            job_type=job_type,
            payload=as_json(payload),
            priority=priority,
            max_attempts=max_attempts or known.max_attempts,
            timeout=known.timeout,
            progress_timeout=known.progress_timeout,
            backoff=_AT_ONCE,
            schema_digest=known.digest,
        )
        (stored,) = self._portal.call(self._store.jobs.submit, [job])
        return stored.job_id

    def wait(self, job_id: JobId, timeout: float = 10.0) -> FinishedJob:
        """Wait for a job's end.

        Raises:
            TimeoutError: it did not end within `timeout` seconds; the message says how far it is.
        """
        return self._portal.call(self._ended, job_id, timeout)

    def run(self, job_type: str, payload: Payload, *, timeout: float = 10.0, **options: Any) -> FinishedJob:
        """Submit a job and wait for its end; the options are those of `submit`."""
        return self.wait(self.submit(job_type, payload, **options), timeout)

    def cancel(self, job_id: JobId) -> None:
        """Call a job off."""
        self._portal.call(self._store.jobs.cancel, [CancelAsk(job_id, "the test")])

    async def _ended(self, job_id: JobId, timeout: float) -> FinishedJob:
        deadline = time.monotonic() + timeout
        while True:
            details = await self._store.views.details(job_id)
            if details is None:
                raise LookupError(f"there is no job {job_id}")
            job = details.job
            if job.state in FINAL_STATES:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout:g} s: {job.fraction:.0%} {job.message}")
            # A retry need not wait for the janitor's turn.
            await self._store.jobs.promote()
            await asyncio.sleep(_PAUSE)
        lines = [json.loads(line) for line in await self._store.views.log(job_id)]
        return FinishedJob(
            job_id=job_id,
            state=job.state,
            reason=job.reason,
            result=None if details.result is None else json.loads(details.result),
            error=None if details.error is None else json.loads(details.error),
            attempt=job.attempt,
            progress=Progress(job.fraction, job.message),
            log=tuple(LogLine(line["level"], line["message"]) for line in lines),
        )

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Store]:
        """Run a session under a lease that is renewed for as long as it lasts."""
        poked = asyncio.Event()
        orders = Orders()
        async with (
            open_in_memory_store() as store,
            Runners(_THREADS, self._manager.hook) as runners,
            running(Janitor(store)),
            asyncio.TaskGroup() as group,
        ):
            lease = await _register(store, self._types)
            session = Session(self._parts(store, runners, poked), lease)
            renewing = group.create_task(_renew(store, session, poked))
            group.create_task(session.run(orders, timedelta(0)))
            try:
                yield store
            finally:
                orders.drain.set()
                renewing.cancel()

    def _parts(self, store: Store, runners: Runners, poked: asyncio.Event) -> Parts:
        slots = Slots(self._types, dict.fromkeys(Isolation, _SLOTS) | {Isolation.THREAD: _THREADS})
        versions = dict.fromkeys(self._types, "0")
        loop = asyncio.get_running_loop()

        def poke() -> None:
            loop.call_soon_threadsafe(poked.set)

        return Parts(store, self._types, versions, runners, slots, self._manager.hook, Troubles(poke), poke)


async def _register(store: Store, types: Mapping[str, JobType]) -> Lease:
    worker_id, sent_at = new_worker_id(), boot_time()
    facts = {
        "name": "test",
        "host": "test",
        "pid": 0,
        "version": "0",
        "slots": _SLOTS,
        "types": {name: job_type.digest for name, job_type in types.items()},
        "plugins": [],
    }
    registered = await store.workers.register(worker_id, facts)
    return Lease(worker_id, sent_at, registered.lease)


async def _renew(store: Store, session: Session, poked: asyncio.Event) -> None:
    """Keep the lease, and pass on what the store asks for."""
    while True:
        try:
            async with asyncio.timeout(session.lease.length.total_seconds() / 3):
                await poked.wait()
        except TimeoutError:
            pass
        poked.clear()
        sent_at, lease = boot_time(), session.lease
        renewed = await store.workers.renew(lease.worker_id, 0.0)
        session.renewed(Lease(lease.worker_id, sent_at, lease.length), renewed)
