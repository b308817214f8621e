"""A worker whose loop has lost the store while its heartbeat has it: its jobs would never be recovered."""

from __future__ import annotations

import signal

import pytest

from emp_core.jobs import JobState
from support.bench import Bench

from .conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_worker_whose_sockets_a_handler_closed_is_replaced(bench: Bench, start_naughty: Start) -> None:
    """After a lease; its neighbours' jobs and new ones complete."""
    supervisor = start_naughty()
    neighbours = [await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 2}') for _ in range(2)]
    for each in neighbours:
        await bench.until(each, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    await bench.submit(job_type="naughty.closes_sockets", max_attempts=1)
    supervisor.wait_for("(claim|flush)_failed", 20)
    later = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 0}')

    ended = [await bench.final(each, timeout=60) for each in (*neighbours, later)]
    assert {each.job.state for each in ended} == {JobState.COMPLETED}
    assert '"event": "worker_cut_off", "level": "error"' in supervisor.output()
    assert '"event": "worker_died"' in supervisor.output()


async def test_a_worker_that_stops_with_outcomes_that_the_store_lacks_says_so(
    bench: Bench, start_naughty: Start
) -> None:
    """By its exit code; its jobs are recovered at once."""
    supervisor = start_naughty("--grace", "1")
    neighbour = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 60}')
    await bench.until(neighbour, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    await bench.submit(job_type="naughty.closes_sockets", max_attempts=1)
    supervisor.wait_for("(claim|flush)_failed", 20)

    supervisor.send(signal.SIGTERM)
    code = supervisor.wait(30)

    assert code == 1
    await bench.until(neighbour, lambda job: job.state is JobState.PENDING, timeout=1)
