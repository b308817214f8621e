"""Fill a store with a million jobs and two hundred workers that nobody started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from emp_core.ids import JobId, WorkerId, new_job_id, new_worker_id
from emp_core.jobs import Announcement, Completed, Failed, Reason, Started, Submission
from emp_core.store import Store

TYPES: Final = tuple(f"bench.type{number}" for number in range(10))
BATCH: Final = 200
"""Jobs in a call of the store: as many as it takes."""
RENEW_EVERY: Final = 4.0
ERROR: Final = b'{"kind":"ValueError","message":"no","traceback":"line 1"}'
PAYLOAD: Final = b'{"text":"' + b"x" * 180 + b'"}'


@dataclass(slots=True)
class Full:
    """What the store was filled with."""

    workers: list[WorkerId] = field(default_factory=list)
    waiting: list[JobId] = field(default_factory=list)
    ended: list[JobId] = field(default_factory=list)
    claims: int = 0


async def fill(store: Store, waiting: int, ended: int, workers: int) -> Full:
    """Announce job types, register workers, let jobs end and let others wait; `waiting` in what it gives are some."""
    full = Full()
    await store.types.announce(
        [Announcement(job_type=name, digest="d", distribution="bench", version="1") for name in TYPES]
    )
    for number in range(workers):
        worker = new_worker_id()
        types = dict.fromkeys(TYPES, "d")
        told = {"name": f"worker-{number}", "host": f"host-{number % 20}", "pid": number, "version": "1"}
        await store.workers.register(worker, {**told, "slots": 100, "types": types, "plugins": []})
        full.workers.append(worker)
    for start in range(0, ended, BATCH):
        await submit(store, min(BATCH, ended - start))
        full.ended += await end_some(store, full)
    for start in range(0, waiting, 10 * BATCH):
        sizes = [min(BATCH, waiting - start - part) for part in range(0, min(10 * BATCH, waiting - start), BATCH)]
        made = await asyncio.gather(*(submit(store, size) for size in sizes))
        full.waiting.append(made[0][0])
    return full


async def submit(store: Store, number: int) -> list[JobId]:
    """Submit so many jobs in one call."""
    ids = [new_job_id() for _ in range(number)]
    jobs = [Submission(id_, TYPES[at % len(TYPES)], PAYLOAD, tags=("bench",)) for at, id_ in enumerate(ids)]
    await store.jobs.submit(jobs)
    return ids


async def end_some(store: Store, full: Full, number: int = BATCH) -> list[JobId]:
    """Claim, begin and end jobs, one in fifty badly."""
    full.claims += 1
    worker = full.workers[0]
    jobs = (await store.jobs.claim(worker, full.claims, dict.fromkeys(TYPES, number), number)).jobs
    await store.jobs.start(worker, [Started(job.job_id, job.token) for job in jobs])
    bad, good = jobs[: len(jobs) // 50], jobs[len(jobs) // 50 :]
    await store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.ERROR, ERROR) for job in bad])
    await store.jobs.complete(worker, [Completed(job.job_id, job.token, PAYLOAD) for job in good])
    return [job.job_id for job in jobs]


@asynccontextmanager
async def renewed(store: Store, full: Full) -> AsyncIterator[None]:
    """Keep the leases of all workers while the body runs."""

    async def renew() -> None:
        while True:
            for worker in full.workers:
                await store.workers.renew(worker, 0.0)
            await asyncio.sleep(RENEW_EVERY)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
