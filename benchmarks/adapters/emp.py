"""EMP: `Store.jobs.submit`, as its server calls it; the worker is `emp worker` with its default settings."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from benchmarks.adapters import driver
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Submission
from emp_core.store import open_store
from emp_core.store.keys import Keys

NAMESPACE = "default"
RENEWED_EVERY = 5
LIVE = ("pending", "claimed", "in_progress", "scheduled")


class EmpAdapter(driver.Adapter):
    """The store class of EMP."""

    async def open(self) -> None:
        """Connect."""
        self._open = AsyncExitStack()
        self._store = await self._open.enter_async_context(open_store(driver.URL, NAMESPACE))
        self._redis = Redis.from_url(driver.URL, legacy_responses=False)
        self._counts = Keys(NAMESPACE, "00")("counts")
        self._types = ["bench.noop"]

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await self._store.jobs.submit([_submission(payload, self._types[0])])

    async def submit_many(self, payloads: list[dict[str, Any]]) -> None:
        """Submit many jobs, of all types in turn."""
        types = self._types
        await self._store.jobs.submit([_submission(each, types[at % len(types)]) for at, each in enumerate(payloads)])

    async def use_types(self, count: int) -> None:
        """Submit jobs of so many types from now on: 1, or up to the hundred of `emp_plugin_bench.many`."""
        self._types = ["bench.noop"] if count == 1 else [f"bench.noop_{number:02}" for number in range(count)]

    async def stand_idle(self, count: int) -> None:
        """Be so many workers of another type: each with a lease that is renewed, and a connection that waits."""
        self._idle = [asyncio.create_task(self._idle_worker()) for _ in range(count)]

    async def _idle_worker(self) -> None:
        worker, waiter = new_worker_id(), Redis.from_url(driver.URL, legacy_responses=False)
        facts = {"name": "idle", "host": "", "pid": 0, "version": "", "slots": 1, "types": {}, "plugins": []}
        await self._store.workers.register(worker, facts)
        while True:
            await waiter.blpop([f"bench:idle:{worker}"], timeout=RENEWED_EVERY)
            await self._store.workers.renew(worker, 0.0)

    async def left(self) -> int:
        """Count what has not ended."""
        counts = await self._redis.hmget(self._counts, [f"{state}:{name}" for state in LIVE for name in self._types])
        return sum(int(count or 0) for count in counts)

    async def hold(self) -> None:
        """Let nothing be claimed."""
        await self._store.types.pause("bench.noop")

    async def let_go(self) -> None:
        """Let jobs be claimed again."""
        await self._store.types.resume("bench.noop")


def _submission(payload: dict[str, Any], job_type: str) -> Submission:
    return Submission(job_id=new_job_id(), job_type=job_type, payload=json.dumps(payload).encode())


if __name__ == "__main__":
    driver.serve(EmpAdapter())
