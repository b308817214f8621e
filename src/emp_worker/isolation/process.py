"""Run handlers in warm child processes: spawned, never forked, since a fork copies locks that threads hold."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import structlog

from emp_worker.context import JobContext
from emp_worker.failures import ChildGone, ChildNotReady
from emp_worker.isolation.child import Child
from emp_worker.isolation.frames import Start
from emp_worker.isolation.guard import Guard
from emp_worker.isolation.memory import mebibytes
from emp_worker.isolation.seclusion import Seclusion
from emp_worker.jobtypes import Isolation, JobType

GUESTS_STAY = 5.0
"""Seconds for which a child waits for another lost job of a type whose handlers run in the worker itself."""

_log = structlog.get_logger("emp.worker")


@dataclass(frozen=True, slots=True)
class Wear:
    """When a child is replaced by a fresh one: after so many jobs, so much time, or so many bytes of growth.

    The growth counts from the first job of the type that was the last to be new to the child: what its lifespan has
    loaded is no leak.
    """

    jobs: int
    age: timedelta
    growth: int


def worn(child: Child, wear: Wear, now: float) -> str | None:
    """Say why a child should be replaced, if it should."""
    if child.spoiled:
        return child.spoiled
    if child.jobs >= wear.jobs:
        return f"it has performed {child.jobs} jobs"
    if now - child.started_at >= wear.age.total_seconds():
        return f"it is {timedelta(seconds=int(now - child.started_at))} old"
    if (growth := child.memory - child.memory_when_warm) > wear.growth:
        return f"it has grown by {mebibytes(growth)}"
    return None


class Lent:
    """The child of one attempt; another one if the first was gone before the attempt began."""

    def __init__(self, child: Child, fresh: Callable[[JobType], Awaitable[Child]]) -> None:
        self.child = child
        self._fresh = fresh

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform the attempt; see `Child.run`."""
        try:
            return await self.child.run(job_type, payload, context)
        except ChildGone as error:
            _log.info("child_was_gone", child=self.child.pid, why=error.detail)
            self.child = await self._fresh(job_type)
            return await self.child.run(job_type, payload, context)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many jobs may run at once in children because of their losses, and how many children may start at once.

    A child that waits for its handler costs memory, one that starts costs a core.
    """

    in_doubt: int
    starting: int


class Children:
    """The child processes of one worker.

    There are as many as attempts run at once: the worker's slots bound those of types with `isolation="process"`, and
    `bounds` those of jobs that are here because of their losses; a job beyond that waits. `close` ends them all.

    Args:
        start: what a new child is told; it is used for jobs of all types.
        needs: names the plugins that the jobs of one type take, which is all that a child for one job has to load.
        wear: when a child is replaced.
        bounds: how many there may be.
    """

    def __init__(self, start: Start, needs: Callable[[JobType], tuple[str, ...]], wear: Wear, bounds: Bounds) -> None:
        self._start = start
        self._needs = needs
        self._wear = wear
        self._in_doubt = asyncio.Semaphore(bounds.in_doubt)
        self._starting = asyncio.Semaphore(bounds.starting)
        self._guard = Guard()
        self._idle: list[Child] = []
        self._lent: set[Child] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False
        # A child outlives the job that came first: what it says must not be logged as that job's.
        self._context = contextvars.copy_context()

    @asynccontextmanager
    async def lent(self, job_type: JobType, seclusion: Seclusion) -> AsyncIterator[Lent]:
        """Yield a child that is ready for an attempt: a warm one, or for a job that must be alone a fresh one.

        Raises:
            ChildNotReady: none can be started, or it does not know the job type.
        """
        is_alone = seclusion is Seclusion.ALONE
        fresh = self._for_one if is_alone else self._for_all
        async with nullcontext() if seclusion is Seclusion.NONE else self._in_doubt:
            lent = Lent(await (fresh if is_alone else self._warm_or_fresh)(job_type), fresh)
            try:
                yield lent
            finally:
                if is_alone:
                    self._retire(lent.child, "its job had to be alone")
                else:
                    self._take_back(lent.child)
                    if job_type.isolation is not Isolation.PROCESS:
                        self._retire_when_idle(lent.child)

    async def close(self) -> None:
        """End all children: the idle ones exit their lifespans, a handler that still runs is killed."""
        self._closed = True
        for child in self._idle:
            self._retire(child, "the worker stops")
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in self._lent))
        while self._retiring:  # an attempt whose child was killed retires it when it comes to know
            await asyncio.wait(self._retiring)
        self._guard.close()

    def _warm(self, job_type: JobType) -> Child | None:
        """Take an idle child, best one that has performed this type before."""
        for child in [child for child in self._idle if child.is_over()]:
            self._idle.remove(child)
            self._retire(child, "it has ended")
        # The one that was busy last is the most likely to be in the machine's caches.
        able = [child for child in self._idle if child.serves(job_type)]
        known = [child for child in able if job_type.name in child.seen] or able
        if not known:
            return None
        child = known[-1]
        self._idle.remove(child)
        self._lent.add(child)
        return child

    async def _warm_or_fresh(self, job_type: JobType) -> Child:
        """Return an idle child, or start one; while a start has to wait, another child may become idle."""
        if (child := self._warm(job_type)) is not None:
            return child
        async with self._starting:
            return self._warm(job_type) or await self._begin(self._start, job_type)

    async def _for_all(self, job_type: JobType) -> Child:
        """Start a child that may be used again, for jobs of any type."""
        return await self._fresh(self._start, job_type)

    async def _for_one(self, job_type: JobType) -> Child:
        """Start a child for one job."""
        return await self._fresh(msgspec.structs.replace(self._start, only=self._needs(job_type)), job_type)

    async def _fresh(self, start: Start, job_type: JobType) -> Child:
        async with self._starting:
            return await self._begin(start, job_type)

    async def _begin(self, start: Start, job_type: JobType) -> Child:
        """Start a child, and wait until it is ready; the caller holds a place among those that start."""
        if self._closed:
            raise ChildNotReady("the worker stops")
        try:
            child = await Child.spawn()
        except OSError as error:
            raise ChildNotReady(f"no child process can be started: {error}") from error
        self._lent.add(child)
        self._guard.watch(child.pid)
        child.ended.add_done_callback(lambda _: self._gone(child), context=self._context)
        await asyncio.create_task(child.start(start), context=self._context)
        if not child.serves(job_type):
            self._retire(child, "it knows other job types than the worker")
            raise ChildNotReady(f"{job_type.name} is not what it was when the worker started; restart the worker")
        return child

    def _gone(self, child: Child) -> None:
        self._lent.discard(child)
        self._guard.forget(child.pid)
        _log.info("child_ended", child=child.pid, how=str(child.ended.result()), jobs=child.jobs)

    def _take_back(self, child: Child) -> None:
        why = worn(child, self._wear, time.monotonic())
        if child.is_over():
            self._retire(child, "it has ended")
        elif why is not None or self._closed:
            self._retire(child, why or "the worker stops")
        else:
            self._lent.discard(child)
            self._idle.append(child)

    def _retire_when_idle(self, child: Child) -> None:
        """Retire a child soon that has performed a job of another isolation.

        It stays for the next lost job, which follows at once where there are many, and not longer: what its lifespan
        holds (a GPU's memory, say) the worker needs for itself.
        """
        jobs = child.jobs

        def retire() -> None:
            if child in self._idle and child.jobs == jobs:
                self._idle.remove(child)
                self._retire(child, "no more lost jobs came")

        asyncio.get_running_loop().call_later(GUESTS_STAY, retire, context=self._context)

    def _retire(self, child: Child, why: str) -> None:
        """Let a child end in the background."""
        self._lent.discard(child)
        _log.info("child_retired", child=child.pid, why=why)
        task = asyncio.create_task(child.stop(), context=self._context)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
