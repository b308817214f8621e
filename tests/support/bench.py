"""Run a real worker in the test's own process, against a real store, with handlers that the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pluggy
from pydantic import BaseModel

from emp_core.ids import JobId, new_job_id, new_worker_id
from emp_core.jobs import FINAL_STATES, Job, JobDetails, Started, Submission
from emp_core.store import Store
from emp_core.tracing import NO_TRACER, Tracer
from emp_worker import JobType, hookspecs
from emp_worker.plugins import LoadedType, Plugins
from emp_worker.settings import WorkerSettings
from emp_worker.worker import Worker
from support.waiting import wait_until_async

TYPE = "test.work"


class Nothing(BaseModel):
    """A payload that does not matter."""


def plugins_of(*job_types: JobType, hooks: object | None = None, distribution: str = "test") -> Plugins:
    """Give what loading plugins gives, for job types of the test; children look for them in the distribution."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if hooks is not None:
        manager.register(hooks)
    types = {job_type.name: LoadedType(job_type, distribution, "1.0") for job_type in job_types}
    return Plugins(types, (), (), (), manager.hook)


@dataclass
class Bench:
    """A store, and workers that the test starts on it."""

    store: Store
    url: str
    namespace: str
    reports: list[dict[str, Any]] = field(default_factory=list)
    tracer: Tracer = NO_TRACER

    @asynccontextmanager
    async def work(self, *job_types: JobType, hooks: object | None = None, **settings: Any) -> AsyncIterator[Worker]:
        """Run a worker while the body runs, and let it end well."""
        given = {"redis_url": self.url, "namespace": self.namespace, "grace": 0, **settings}
        (distribution,) = settings.get("plugins", ("test",))
        plugins = plugins_of(*job_types, hooks=hooks, distribution=distribution)
        worker = Worker(
            WorkerSettings(**given), plugins, lambda facts: self.reports.append(dict(facts)), tracer=self.tracer
        )
        running = asyncio.create_task(worker.run())
        try:
            yield worker
            worker.stop()
            await asyncio.wait_for(running, 15)
        finally:
            running.cancel()

    async def submit(self, **fields: Any) -> JobId:
        """Submit a job with defaults where the test does not care."""
        given: dict[str, Any] = {"job_id": new_job_id(), "job_type": TYPE, "payload": b"{}", **fields}
        (answer,) = await self.store.jobs.submit([Submission(**given)])
        return answer.job_id

    async def lose(self, *job_ids: JobId, are_begun: bool = True) -> None:
        """Let another worker take jobs, which are of one type and the most urgent of it, and die."""
        other, tokens = new_worker_id(), {}
        await self.store.workers.register(other, {"name": "other", "types": {}})
        job_type = (await self.job(job_ids[0])).job_type
        while len(tokens) < len(job_ids):
            left = len(job_ids) - len(tokens)
            claim = await self.store.jobs.claim(other, len(tokens) + 1, {job_type: left}, left)
            tokens |= {job.job_id: job.token for job in claim.jobs}
        assert tokens.keys() == set(job_ids)
        if are_begun:
            await self.store.jobs.start(other, [Started(job_id, token) for job_id, token in tokens.items()])
        await self.store.workers.leave(other, "killed for the test")
        while await self.store.jobs.recover():
            pass

    async def job(self, job_id: JobId) -> Job:
        """Read a job that must be there."""
        (job,) = await self.store.views.get([job_id])
        assert job is not None
        return job

    async def until(self, job_id: JobId, reached: Callable[[Job], object], timeout: float = 10.0) -> Job:
        """Wait until a job is as the test wants it."""

        async def look() -> Job | None:
            job = await self.job(job_id)
            return job if reached(job) else None

        job = await wait_until_async(look, timeout)
        assert job is not None
        return job

    async def final(self, job_id: JobId, timeout: float = 10.0) -> JobDetails:
        """Wait until a job has ended, and read all of it."""
        await self.until(job_id, lambda job: job.state in FINAL_STATES, timeout)
        details = await self.store.views.details(job_id)
        assert details is not None
        return details

    async def run_one(self, job_type: JobType, **fields: Any) -> JobDetails:
        """Submit one job of a type, let a worker perform it, and read how it ended."""
        async with self.work(job_type):
            return await self.final(await self.submit(job_type=job_type.name, **fields))
