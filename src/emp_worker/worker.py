"""A worker process: builds the parts and runs one session after another under its lease.

The heartbeat stops last: a lease outlives the jobs that it covers.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import Any

import structlog

from emp_core.errors import StoreError, StoreUnfit
from emp_core.janitor import Janitor
from emp_core.jobs import WorkerInfo
from emp_core.store import Renewed, Store, open_store
from emp_core.tracing import NO_TRACER, Tracer
from emp_worker.descriptors import affordable_children
from emp_worker.heartbeat import Condition, Heartbeat
from emp_worker.isolation import Runners
from emp_worker.isolation.frames import Start
from emp_worker.isolation.process import Bounds, Children, Wear
from emp_worker.jobtypes import Isolation
from emp_worker.lease import Lease
from emp_worker.loop_watch import LoopWatch
from emp_worker.plugins import LoadedType, Plugins, tell
from emp_worker.session import Orders, Parts, Session, running
from emp_worker.settings import WorkerSettings
from emp_worker.slots import Slots
from emp_worker.troubles import Open, Troubles
from emp_worker.waiting import first_of

BEAT_REPORT_EVERY = 5.0
"""Seconds between two beats that the supervisor is told of."""

_log = structlog.get_logger("emp.worker")


def served_types(plugins: Plugins, patterns: tuple[str, ...]) -> dict[str, LoadedType]:
    """Choose the job types that match one of the patterns (shell style: `image.*`)."""
    return {
        name: loaded
        for name, loaded in plugins.types.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def children_at_once(settings: WorkerSettings, served: Mapping[str, LoadedType]) -> int:
    """Return how many child processes perform handlers with `isolation="process"` at once."""
    if not any(loaded.job_type.isolation is Isolation.PROCESS for loaded in served.values()):
        return 0
    return min(settings.concurrency, settings.children or os.cpu_count() or 1)


def _children(settings: WorkerSettings, plugins: Plugins, of_types: int) -> Children:
    """Make the child processes; each loads plugins by itself, as this process has done.

    `of_types` of them are for types with `isolation="process"`; of those for lost jobs there is one at least.
    """
    start = Start(
        sys_path=tuple(sys.path),
        only=settings.plugins,
        disabled=settings.plugins_disabled,
        prefer=settings.plugins_prefer,
        log_level=settings.log_level,
        tracing=settings.tracing,
    )
    wear = Wear(settings.child_max_jobs, settings.child_max_age, settings.child_max_growth)
    in_doubt = min(settings.children_alone, 1 + affordable_children(of_types + 1))
    if in_doubt < settings.children_alone:
        _log.warning("few_file_descriptors", children_alone=in_doubt, wanted=settings.children_alone)
    bounds = Bounds(in_doubt=in_doubt, starting=os.cpu_count() or 1)
    return Children(start, lambda job_type: plugins.needed_for(job_type.name), wear, bounds)


class Worker:
    """One worker process.

    `report` takes what the supervisor should know (a mapping for JSON), from any thread: the worker's id when it has a
    lease, a sign of life with every renewal and a beat without any, that it drains or makes room, or that it has to be
    killed and why.
    `beat` is called several times a second by a thread that only the interpreter lock can stop. `has_left_work` says at
    the end that the store does not have all that was done.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        report: Callable[[Mapping[str, Any]], None],
        beat: Callable[[], None] = lambda: None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._settings = settings
        self._tracer = tracer
        self._plugins = plugins
        self._report = report
        self._also_beats = beat
        self._served = served_types(plugins, settings.types)
        self._types = {name: loaded.job_type for name, loaded in self._served.items()}
        threads = settings.threads or min(32, (os.cpu_count() or 1) + 4)
        children = children_at_once(settings, self._served)
        sizes = {
            Isolation.ASYNC: settings.concurrency,
            Isolation.THREAD: min(settings.concurrency, threads),
            Isolation.PROCESS: children,
        }
        self._slots = Slots(self._types, sizes, settings.max_jobs, settings.max_held_bytes)
        self._runners = Runners(sizes[Isolation.THREAD], plugins.hooks, _children(settings, plugins, children))
        self._loop = asyncio.get_running_loop()
        self._started_at = datetime.now(UTC)
        self._beat_reported_at = -math.inf
        self._lease: Lease | None = None
        self._session: Session | None = None
        self._unfit: StoreError | None = None
        self.has_left_work = False
        self._has_new_lease = asyncio.Event()
        self._orders = Orders()
        announcements = [loaded.announcement() for loaded in self._served.values()]
        self._heartbeat = Heartbeat(settings.redis_url, settings.namespace, self._facts(), announcements, self)
        self._troubles = Troubles(self._heartbeat.poke)
        self._watch = LoopWatch(self._troubles, self._tell)

    @property
    def has_stuck_threads(self) -> bool:
        """Whether handlers still run in threads although the worker has ended; only the process's end stops them."""
        return self._slots.taken > 0

    async def run(self) -> None:
        """Work until stopped; every outcome is stored and the lease is given back then.

        Raises:
            StoreUnfit: the store has, or came to have, a format of another release.
        """
        settings = self._settings
        async with open_store(settings.redis_url, settings.namespace) as store, self._runners:
            self._heartbeat.start()
            retiring = asyncio.create_task(self._retire_in_time())
            try:
                async with running(Janitor(store)):
                    await self._serve(store)
            finally:
                retiring.cancel()
                await self._heartbeat.stop("stopped")
                self._report({"beat": False})  # no more of them come
        if self._unfit is not None:
            raise StoreUnfit(self._unfit.detail)

    async def _serve(self, store: Store) -> None:
        hooks, orders = self._plugins.hooks, self._orders
        versions = {name: loaded.version for name, loaded in self._served.items()}
        parts = Parts(
            store,
            self._types,
            versions,
            self._runners,
            self._slots,
            hooks,
            self._troubles,
            self._heartbeat.poke,
            self._tracer,
        )
        was_started = False
        while not orders.is_stopping:
            await first_of(self._has_new_lease, orders.retire, orders.drain)
            if orders.is_stopping or self._lease is None:
                break
            self._has_new_lease.clear()
            if not was_started:
                was_started = True
                _log.info("worker_started", worker_id=self._lease.worker_id, job_types=sorted(self._types))
                tell(hooks.emp_worker_started, worker=self._worker_info(self._lease))
            self._session = Session(parts, self._lease)
            await self._session.run(orders, self._settings.grace)
            self.has_left_work = self.has_left_work or self._session.has_left_work
        if self._lease is not None and was_started:
            tell(hooks.emp_worker_stopping, worker=self._worker_info(self._lease))

    def stop(self) -> None:
        """Drain: claim nothing more and finish within the grace. To be told again changes nothing."""
        self._orders.drain.set()
        self._report({"draining": True})
        self._heartbeat.poke()

    def hurry(self) -> None:
        """Drain, and let the grace be over at once."""
        self._orders.hurry.set()
        self.stop()

    async def _retire_in_time(self) -> None:
        """Make room for a fresh process when this one has taken its jobs or reached its age."""
        age = self._settings.max_age
        # Up to a tenth earlier, so that processes that started together do not all go at once.
        patience = None if age is None else age.total_seconds() * random.uniform(0.9, 1.0)  # noqa: S311 - only spreads
        await first_of(self._slots.used_up, patience=patience)
        _log.info("worker_retires", why="max_jobs" if self._slots.used_up.is_set() else "max_age")
        self._orders.retire.set()
        self._report({"retiring": True})
        self._heartbeat.poke()

    def beat(self) -> None:
        """Look after the loop, from the heartbeat's thread."""
        self._also_beats()
        if time.monotonic() - self._beat_reported_at >= BEAT_REPORT_EVERY:
            self._beat_reported_at = time.monotonic()
            self._report({"beat": True})
        self._watch.look()
        blocked = self._watch.blocked
        if blocked is not None and self._session is not None and self._session.is_overdue(blocked.job_id):
            # Nothing on the loop can end it, and all its neighbours stand still.
            self._report({"kill": f"job {blocked.job_id} ({blocked.job_type}) blocked the event loop beyond its end"})

    def condition(self) -> Condition:
        """Say how this worker does, from the heartbeat's thread."""
        return Condition(self._watch.lag(), self._troubles.now(), self._orders.is_stopping)

    def _tell(self, trouble: Open) -> None:
        if self._session is not None:
            self._session.tell(trouble)

    def lease_given(self, lease: Lease) -> None:
        """Take a new lease, from the heartbeat's thread."""
        self._report({"worker_id": lease.worker_id, "plugins_failed": len(self._plugins.failures)})
        self._loop.call_soon_threadsafe(self._given, lease)

    def store_unfit(self, error: StoreError) -> None:
        """End the worker: nothing that it writes would be taken. From the heartbeat's thread."""
        self._report({"unfit": error.detail})
        self._loop.call_soon_threadsafe(self._end_unfit, error)

    def _end_unfit(self, error: StoreError) -> None:
        self._unfit = error
        if self._session is not None:
            self._session.lost.set()
        self._orders.drain.set()

    def lease_renewed(self, lease: Lease, renewed: Renewed) -> None:
        """Take a renewal, from the heartbeat's thread.

        The lease itself is taken at once: attempts that begin before the loop comes to it must see it.
        """
        if self._session is not None and self._session.lease.worker_id == lease.worker_id:
            self._session.lease = lease
            self._session.called_off(renewed.asked)
            self._end_if_cut_off(self._session, lease)
        self._loop.call_soon_threadsafe(self._renewed, lease, renewed)

    def _end_if_cut_off(self, session: Session, lease: Lease) -> None:
        """Ask for the end of the process if for a lease only its renewals have had answers from the store.

        The loop's connections will not come back: a handler has closed the sockets under them, say. While the lease is
        renewed, no other process recovers the jobs.
        """
        since = session.unanswered_since
        if since is None:
            return
        seconds = time.monotonic() - max(since, self._heartbeat.steady_since)
        if seconds > lease.length.total_seconds():
            _log.error("worker_cut_off", worker_id=lease.worker_id, seconds=round(seconds, 1))
            why = "its claims or outcomes had no answer from the store for a lease, although its renewals had"
            self._report({"kill": why, "cut_off": True})

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
        if renewed.draining and not self._orders.is_stopping:
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
            status="draining" if self._orders.is_stopping else "idle",
            started_at=self._started_at,
            renewed_at=now,
            lease_until=now + lease.length,
            **{name: facts[name] for name in ("name", "host", "pid", "version", "slots", "types")},
            plugins=tuple(facts["plugins"]),
        )
