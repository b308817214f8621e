"""A worker process: builds the parts and runs one session after another under its lease.

The heartbeat stops last: a lease outlives the jobs that it covers.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any

import structlog

from emp_core.janitor import Janitor
from emp_core.jobs import WorkerInfo
from emp_core.store import Renewed, Store, open_store
from emp_worker.heartbeat import Heartbeat
from emp_worker.isolation import Runners
from emp_worker.jobtypes import Isolation
from emp_worker.lease import Lease
from emp_worker.plugins import LoadedType, Plugins, tell
from emp_worker.session import Session, first_of, running
from emp_worker.settings import WorkerSettings
from emp_worker.slots import Slots

_log = structlog.get_logger("emp.worker")


def served_types(plugins: Plugins, patterns: tuple[str, ...]) -> dict[str, LoadedType]:
    """Choose the job types that match one of the patterns (shell style: `image.*`)."""
    return {
        name: loaded
        for name, loaded in plugins.types.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


class Worker:
    """One worker process.

    `report` takes what the supervisor should know (a mapping for JSON), from any thread: the worker's id when it has a
    lease, and a sign of life with every renewal.
    """

    def __init__(self, settings: WorkerSettings, plugins: Plugins, report: Callable[[Mapping[str, Any]], None]) -> None:
        self._settings = settings
        self._plugins = plugins
        self._report = report
        self._served = served_types(plugins, settings.types)
        self._types = {name: loaded.job_type for name, loaded in self._served.items()}
        threads = settings.threads or min(32, (os.cpu_count() or 1) + 4)
        sizes = {Isolation.ASYNC: settings.concurrency, Isolation.THREAD: min(settings.concurrency, threads)}
        self._slots = Slots(self._types, sizes)
        self._runners = Runners(sizes[Isolation.THREAD], plugins.hooks)
        self._loop = asyncio.get_running_loop()
        self._started_at = datetime.now(UTC)
        self._lease: Lease | None = None
        self._session: Session | None = None
        self._has_new_lease = asyncio.Event()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def has_stuck_threads(self) -> bool:
        """Whether handlers still run in threads although the worker has ended; only the process's end stops them."""
        return self._slots.taken > 0

    async def run(self) -> None:
        """Work until stopped; every outcome is stored and the lease is given back then."""
        settings = self._settings
        announcements = [loaded.announcement() for loaded in self._served.values()]
        async with open_store(settings.redis_url, settings.namespace) as store, self._runners:
            heartbeat = Heartbeat(settings.redis_url, settings.namespace, self._facts(), announcements, self)
            heartbeat.start()
            try:
                async with running(Janitor(store)):
                    await self._serve(store, heartbeat)
            finally:
                await heartbeat.stop("stopped")

    async def _serve(self, store: Store, heartbeat: Heartbeat) -> None:
        hooks = self._plugins.hooks
        was_started = False
        while not self._stop.is_set():
            await first_of(self._has_new_lease, self._stop)
            if self._stop.is_set() or self._lease is None:
                break
            self._has_new_lease.clear()
            if not was_started:
                was_started = True
                _log.info("worker_started", worker_id=self._lease.worker_id, job_types=sorted(self._types))
                tell(hooks.emp_worker_started, worker=self._worker_info(self._lease))
            self._session = Session(store, self._types, self._runners, self._slots, self._lease, hooks, heartbeat.poke)
            await self._session.run(self._stop, self._hurry, self._settings.grace)
        if self._lease is not None and was_started:
            tell(hooks.emp_worker_stopping, worker=self._worker_info(self._lease))

    def stop(self) -> None:
        """Drain: claim nothing more and finish within the grace. Called again, the grace is over at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def lease_given(self, lease: Lease) -> None:
        """Take a new lease, from the heartbeat's thread."""
        self._report({"worker_id": lease.worker_id})
        self._loop.call_soon_threadsafe(self._given, lease)

    def lease_renewed(self, lease: Lease, renewed: Renewed) -> None:
        """Take a renewal, from the heartbeat's thread.

        The lease itself is taken at once: attempts that begin before the loop comes to it must see it.
        """
        if self._session is not None and self._session.lease.worker_id == lease.worker_id:
            self._session.lease = lease
        self._loop.call_soon_threadsafe(self._renewed, lease, renewed)

    def _given(self, lease: Lease) -> None:
        self._lease = lease
        if self._session is not None:  # whatever runs under the lease before is not ours any more
            self._session.lost.set()
        self._has_new_lease.set()

    def _renewed(self, lease: Lease, renewed: Renewed) -> None:
        if self._session is None or self._session.lease.worker_id != lease.worker_id:
            return
        self._session.renewed(lease, renewed)
        if self._session.is_claiming:
            self._report({"alive": True})
        if renewed.draining and not self._stop.is_set():
            _log.info("drain_asked", worker_id=lease.worker_id)
            self.stop()

    def _facts(self) -> dict[str, Any]:
        """Say who we are, for the store."""
        host, pid = socket.gethostname(), os.getpid()
        return {
            "name": self._settings.name or f"{host}:{pid}",
            "host": host,
            "pid": pid,
            "version": version("emp-jobs"),
            "slots": self._slots.total,
            "types": {name: job_type.digest for name, job_type in self._types.items()},
            "plugins": list(self._plugins.report()),
        }

    def _worker_info(self, lease: Lease) -> WorkerInfo:
        """Say who we are, for the plugins' hooks."""
        facts, now = self._facts(), datetime.now(UTC)
        return WorkerInfo(
            worker_id=lease.worker_id,
            status="draining" if self._stop.is_set() else "idle",
            started_at=self._started_at,
            renewed_at=now,
            lease_until=now + lease.length,
            **{name: facts[name] for name in ("name", "host", "pid", "version", "slots", "types")},
            plugins=tuple(facts["plugins"]),
        )
