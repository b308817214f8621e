"""The contract suite of the store runs on the three engines that EMP supports; time is moved, not slept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis

from emp_core.ids import JobId, WorkerId, new_job_id, new_worker_id
from emp_core.jobs import ClaimedJob, Job, Submission
from emp_core.store import ClaimWord, LeaseWord, Store
from emp_core.store.connection import connect
from emp_core.store.keys import Keys, namespace_tag
from emp_core.store.scripts import Scripts

TYPE = "test.work"
ENGINES = ("fakeredis", "valkey", "redis")


@dataclass
class Engine:
    """A store with its raw client, and a clock that the test moves."""

    store: Store
    client: Redis
    keys: Keys
    namespace: str
    claims: int = 0

    async def pass_time(self, **duration: float) -> None:
        """Move the store's clock on (or back, when negative)."""
        shift = timedelta(**duration) // timedelta(milliseconds=1)
        await self.client.incrby(self.keys("offset"), shift)

    async def submit(self, *job_ids: JobId, **fields: Any) -> JobId:
        """Submit a job (or several) with defaults where the test does not care; give the last one's id."""
        job = Submission(job_id=new_job_id(), job_type=TYPE, payload=b"{}")
        jobs = [replace(job, **fields, job_id=job_id) for job_id in job_ids] or [replace(job, **fields)]
        await self.store.jobs.submit(jobs)
        return jobs[-1].job_id

    async def worker(self) -> WorkerId:
        """Register a worker."""
        worker = new_worker_id()
        assert (await self.store.workers.register(worker, {"name": "tester"})).word is LeaseWord.OK
        return worker

    async def claim(self, worker: WorkerId, total: int = 1, *types: str) -> tuple[ClaimedJob, ...]:
        """Claim under the next number."""
        self.claims += 1
        claim = await self.store.jobs.claim(worker, self.claims, dict.fromkeys(types or (TYPE,), total), total)
        assert claim.word is ClaimWord.OK
        return claim.jobs

    async def claimed(self, **fields: Any) -> tuple[WorkerId, ClaimedJob]:
        """Submit a job and let a new worker claim it."""
        await self.submit(**fields)
        worker = await self.worker()
        (job,) = await self.claim(worker, 1, fields.get("job_type", TYPE))
        return worker, job

    async def job(self, job_id: JobId) -> Job:
        """Read a job that must be there."""
        (job,) = await self.store.views.get([job_id])
        assert job is not None
        return job

    async def sweep(self) -> None:
        """Do all the janitor's duties once."""
        await self.store.jobs.sweep()
        for duty in (self.store.jobs.promote, self.store.jobs.expire, self.store.jobs.recover, self.store.jobs.retain):
            while await duty():
                pass

    async def lose(self, worker: WorkerId) -> None:
        """Let a worker's death be reported, and recover its jobs."""
        await self.store.workers.leave(worker, "killed by SIGKILL")
        await self.sweep()

    async def all_keys(self) -> set[str]:
        """Give every key of the namespace but the test's own clock."""
        found: set[str] = set()
        for pattern in (f"{{emp:{self.namespace}:*", f"{namespace_tag(self.namespace)}*"):
            async for key in self.client.scan_iter(match=pattern, count=1000):
                found.add(key.decode())
        return found - {self.keys("offset")}


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Engine]:
    """Give the store on each engine in turn."""
    opener = fake if request.param == "fakeredis" else real
    url = "" if request.param == "fakeredis" else request.getfixturevalue(SERVERS[request.param]).url
    async with opener(url, namespace) as engine:
        yield engine


SERVERS = {"valkey": "valkey", "redis": "redis_server"}


@asynccontextmanager
async def fake(_url: str, namespace: str) -> AsyncIterator[Engine]:
    """Open a store on fakeredis."""
    server = fakeredis.FakeServer()

    def client() -> Redis:
        return fakeredis.FakeAsyncRedis(server=server)

    async with client() as raw:
        store = Store(client(), namespace, Scripts(shebang=False, shifted_clock=True), client)
        yield Engine(store, raw, Keys(namespace, "00"), namespace)
        await store.close()


@asynccontextmanager
async def real(url: str, namespace: str) -> AsyncIterator[Engine]:
    """Open a store on a real server."""

    def waiter() -> Redis:
        return connect(url, connections=2, blocking_for=5)

    async with connect(url) as raw, connect(url) as client:
        store = Store(client, namespace, Scripts(shifted_clock=True), waiter)
        yield Engine(store, raw, Keys(namespace, "00"), namespace)
        await store.close()
