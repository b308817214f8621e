"""Child processes under a worker: limits, the end of the worker, and jobs that have lost a worker."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from emp_core.ids import JobId
from emp_core.jobs import JobState, Reason
from emp_core.store import CancelAsk
from support.bench import Bench
from support.processes import StartedProcess, is_alive
from support.waiting import wait_until, wait_until_async

from .conftest import DISTRIBUTION

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def said(bench: Bench, job_id: JobId) -> list[int]:
    """Wait until a job's handler has said its process ids."""
    job = await bench.until(job_id, lambda job: job.message)
    return [int(word) for word in job.message.split()]


async def test_a_time_limit_ends_an_endless_loop_in_c(bench: Bench, types) -> None:
    """Within a second of its time, as a timeout; the worker serves on."""
    async with bench.work(types["hopeless"], types["who"], plugins=(DISTRIBUTION,)):
        job_id = await bench.submit(job_type="hostile.hopeless", timeout=timedelta(seconds=0.5), max_attempts=1)
        done = await bench.final(job_id)
        after = await bench.final(await bench.submit(job_type="hostile.who"))

    assert (done.job.state, done.job.reason) == (JobState.FAILED, Reason.TIMEOUT)
    assert done.job.started_at is not None
    assert done.job.finished_at is not None
    assert done.job.finished_at - done.job.started_at < timedelta(seconds=1.5)
    assert after.job.state is JobState.COMPLETED


async def test_a_cancel_reaches_the_handler(bench: Bench, types) -> None:
    """One that listens is cancelled in well under a second."""
    async with bench.work(types["polite"], plugins=(DISTRIBUTION,)):
        job_id = await bench.submit(job_type="hostile.polite")
        await bench.until(job_id, lambda job: job.message == "running")
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        done = await bench.final(job_id, timeout=1.0)

    assert done.job.state is JobState.CANCELLED
    assert done.job.message == "cleaned up"


@pytest.mark.slow
async def test_a_cancel_of_a_handler_that_ignores_it_takes_seven_seconds(bench: Bench, types) -> None:
    """After that nothing is left of it, its subprocess included."""
    async with bench.work(types["stubborn"], plugins=(DISTRIBUTION,)):
        job_id = await bench.submit(job_type="hostile.stubborn")
        pids = await said(bench, job_id)
        asked_at = time.monotonic()
        await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
        done = await bench.final(job_id)
        took = time.monotonic() - asked_at

        assert not any(is_alive(pid) for pid in pids)
    assert done.job.state is JobState.CANCELLED
    assert 6.5 < took < 8.0


async def test_a_crash_is_its_attempts_error_and_is_tried_again(bench: Bench, types) -> None:
    """The worker stays, and so does its lease."""
    async with bench.work(types["exits"], plugins=(DISTRIBUTION,)):
        done = await bench.final(await bench.submit(job_type="hostile.exits", max_attempts=2))
        workers = await bench.store.workers.list()

    assert (done.job.state, done.job.reason, done.job.losses) == (JobState.FAILED, Reason.ERROR, 2)
    assert [attempt.outcome for attempt in done.attempts] == ["retry", "failed"]
    assert "exit code 7" in json.loads(done.error or b"{}")["message"]
    assert len(workers) == 1


async def test_the_end_of_a_worker_ends_its_children(bench: Bench, types) -> None:
    """The job goes back uncharged although its handler ignores everything."""
    async with bench.work(types["stubborn"], plugins=(DISTRIBUTION,)) as worker:
        job_id = await bench.submit(job_type="hostile.stubborn")
        pids = await said(bench, job_id)

    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    job = await bench.job(job_id)
    assert (job.state, job.attempt) == (JobState.PENDING, 0)
    assert not worker.has_stuck_threads


async def test_no_more_children_run_than_there_may(bench: Bench, types) -> None:
    """`children` is the size of their pool, whatever the concurrency."""
    async with bench.work(types["polite"], plugins=(DISTRIBUTION,), children=1):
        jobs = [await bench.submit(job_type="hostile.polite") for _ in range(2)]
        await bench.until(jobs[0], lambda job: job.message == "running")
        waiting = await bench.job(jobs[1])

    assert waiting.state is JobState.PENDING


async def test_of_many_jobs_that_lost_their_worker_only_so_many_run_in_children_at_once(bench: Bench, types) -> None:
    """The others stay claimed: their handlers have not begun, and no time limit counts."""
    lost = [await bench.submit(job_type="hostile.polite_in_place") for _ in range(2)]
    await bench.lose(*lost)

    async with bench.work(types["polite_in_place"], plugins=(DISTRIBUTION,), children_alone=1):
        running = await bench.until(lost[0], lambda job: job.message == "running")
        waiting = await bench.until(lost[1], lambda job: job.state is JobState.CLAIMED)

    assert running.state is JobState.IN_PROGRESS
    assert waiting.started_at is None
    assert [(await bench.job(each)).state for each in lost] == [JobState.PENDING] * 2


async def test_a_job_that_waits_for_a_child_can_be_called_off(bench: Bench, types) -> None:
    """It ends at once, and gives its slot back."""
    lost = [await bench.submit(job_type="hostile.polite_in_place") for _ in range(2)]
    await bench.lose(*lost)

    async with bench.work(types["polite_in_place"], plugins=(DISTRIBUTION,), children_alone=1, concurrency=2):
        await bench.until(lost[0], lambda job: job.message == "running")
        await bench.store.jobs.cancel([CancelAsk(lost[1], "ann")])
        done = await bench.final(lost[1])
        other = await bench.submit(job_type="hostile.polite_in_place")
        await bench.until(other, lambda job: job.message == "running")

    assert (done.job.state, done.job.started_at) == (JobState.CANCELLED, None)


LOADED = """
import sys
from pydantic import BaseModel
from emp_worker import JobType, hookimpl

class Nothing(BaseModel):
    pass

async def loaded(payload: Nothing) -> list[str]:
    return sorted(name for name in sys.modules if name.startswith("emp_test_"))

@hookimpl
def emp_job_types():
    return [JobType("test.loaded", loaded)]
"""
WRAPS = """
from contextlib import nullcontext
from emp_worker import hookimpl

@hookimpl
def emp_around_job(job):
    return nullcontext()
"""


async def test_a_child_for_one_job_loads_the_plugin_of_its_type_and_those_that_wrap_jobs(
    bench: Bench, install_plugin, site: Path, start_worker: Callable[..., StartedProcess]
) -> None:
    """Others may take seconds to import, and the job waits for its child."""
    install_plugin("emp-test-loaded", LOADED)
    install_plugin("emp-test-wraps", WRAPS)
    install_plugin("emp-test-other", WRAPS.replace("emp_around_job(job)", "emp_job_finished(job, outcome)"))
    job_id = await bench.submit(job_type="test.loaded")
    await bench.lose(job_id)
    await bench.lose(job_id)

    start_worker(PYTHONPATH=str(site))
    done = await bench.final(job_id, timeout=30)

    assert json.loads(done.result or b"") == ["emp_test_loaded", "emp_test_wraps"]


async def test_a_job_that_always_kills_its_worker_is_found_and_its_neighbours_finish(
    bench: Bench, types, site: Path, start_worker: Callable[..., StartedProcess], tmp_path: Path
) -> None:
    """At most three starts; the worker dies of the first one only."""
    starts = tmp_path / "starts"
    neighbours = [
        await bench.submit(job_type="simulation.run", payload=b'{"steps": 10, "step_seconds": 0.1}') for _ in range(3)
    ]
    culprit = await bench.submit(job_type="hostile.exits_in_place", payload=json.dumps({"path": str(starts)}).encode())

    start_worker(PYTHONPATH=str(site))
    done = await bench.final(culprit, timeout=30)
    finished = [await bench.final(each, timeout=30) for each in neighbours]

    assert (done.job.state, done.job.reason, done.job.losses) == (JobState.FAILED, Reason.ERROR, 3)
    assert len(starts.read_text().splitlines()) == 3
    assert {each.job.state for each in finished} == {JobState.COMPLETED}
    assert {each.job.losses for each in finished} <= {0, 1}


async def test_nothing_is_left_of_a_worker_that_is_killed(
    bench: Bench, types, site: Path, start_worker: Callable[..., StartedProcess]
) -> None:
    """Its child and that child's subprocess end with it, although both ignore SIGTERM."""
    supervisor = start_worker("--grace", "0.1", PYTHONPATH=str(site))
    pids = await said(bench, await bench.submit(job_type="hostile.stubborn", max_attempts=1))
    (worker,) = await wait_until_async(bench.store.workers.list)

    supervisor.send(signal.SIGTERM)
    os.kill(worker.pid, signal.SIGKILL)

    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    supervisor.wait()
    wait_until(lambda: supervisor.left_running() == {})
