"""A worker process that is frozen: its supervisor replaces it, unless it was frozen with it."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from emp_core.jobs import JobState
from emp_worker.settings import WorkerSettings
from emp_worker.worker_process import LOOKS_UNTIL_FROZEN, WATCH_EVERY, WorkerProcess
from support.bench import Bench
from support.pace import allowed
from support.waiting import wait_until_async

from .conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LEASE = 15.0


async def test_a_frozen_worker_process_is_replaced(bench: Bench, start_worker: Start) -> None:
    """Soon after its lease; its job runs again under the next one, although there is no other worker."""
    supervisor = start_worker()
    steps = b'{"steps": 20, "step_seconds": 0.1}'
    job_id = await bench.submit(job_type="simulation.run", payload=steps)
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    (frozen,) = await bench.store.workers.list()

    os.kill(frozen.pid, signal.SIGSTOP)
    done = await bench.final(job_id, timeout=LEASE + allowed(10, starts=12))

    assert (done.job.state, done.job.attempt) == (JobState.COMPLETED, 2)
    assert '"event": "worker_frozen", "level": "error"' in supervisor.output()
    assert b"frozen" in (done.attempts[0].error or b"")
    assert frozen.pid not in {each.pid for each in await bench.store.workers.list()}


async def test_a_worker_that_is_frozen_with_its_supervisor_lives_on(bench: Bench, start_worker: Start) -> None:
    """A machine that was suspended: neither is to blame."""
    supervisor = start_worker()
    (before,) = await wait_until_async(bench.store.workers.list, timeout=20)

    for send in (supervisor.send, lambda number: os.kill(before.pid, number)):
        send(signal.SIGSTOP)
    await anyio.sleep(LOOKS_UNTIL_FROZEN * WATCH_EVERY + 2)  # the fault itself
    for send in (lambda number: os.kill(before.pid, number), supervisor.send):
        send(signal.SIGCONT)
    await anyio.sleep(2 * WATCH_EVERY)  # what is looked at now
    await bench.final(await bench.submit(job_type="simulation.run", payload=b'{"steps": 1}'), timeout=20)

    assert "worker_frozen" not in supervisor.output()
    assert "worker_died" not in supervisor.output()


async def test_a_process_that_has_not_begun_to_beat_is_not_taken_for_frozen() -> None:
    """It loads its plugins."""
    process = WorkerProcess(0, WorkerSettings())

    for _ in range(2 * LOOKS_UNTIL_FROZEN):
        process.look()

    assert not process.retiring.is_set()
    assert process.why_ended(0) == "exit code 0"
