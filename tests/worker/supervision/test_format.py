"""A worker on a store of another format ends with exit code 2, and takes no job."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from emp_core.jobs import JobState
from emp_core.store.format import NEWEST_FORMAT
from support.bench import Bench

from .conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def raise_format(bench: Bench) -> None:
    """Write the format of a newer release, as that does when it uses something new."""
    async with Redis.from_url(bench.url) as client:
        await client.set(f"{{emp:{bench.namespace}:00}}:format", NEWEST_FORMAT + 1)


async def test_a_worker_does_not_start_on_a_newer_store(bench: Bench, start_worker: Start) -> None:
    job_id = await bench.submit(job_type="simulation.run", payload=b'{"steps": 1}')
    await raise_format(bench)

    worker = start_worker()

    assert worker.wait(20) == 2
    assert "Install the release that the other processes on this store run" in worker.output()
    assert (await bench.job(job_id)).state is JobState.PENDING


async def test_a_running_worker_ends_when_the_format_rises(bench: Bench, start_worker: Start) -> None:
    """All its processes do, with the jobs that they perform, and they are not started again."""
    worker = start_worker("--processes", "2")
    job_id = await bench.submit(job_type="simulation.run", payload=b'{"steps": 600, "step_seconds": 0.1}')
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=30)

    await raise_format(bench)

    assert worker.wait(30) == 2
    assert "store_format_unsupported" in worker.output()
    assert "worker_restarts" not in worker.output()
