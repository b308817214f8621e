"""A handler that blocks the event loop costs nobody a lease, and is named in log, status and its job's log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState, Reason, Trouble, TroubleWord
from emp_core.store import CancelAsk
from emp_worker import JobType
from emp_worker.loop_watch import BLOCKED_AFTER, LoopWatch, job_name, job_of
from emp_worker.troubles import Troubles
from support.bench import TYPE, Bench, Nothing
from support.waiting import wait_until, wait_until_async

from .conftest import EMP, Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def block_loop(seconds: float) -> None:
    """Hold the event loop up, as a handler does that must not."""
    deadline = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > deadline)


async def trouble_of(bench: Bench) -> Trouble | None:
    """Read the first trouble of any worker."""
    troubles = [trouble for worker in await bench.store.workers.list() for trouble in worker.troubles]
    return troubles[0] if troubles else None


async def test_a_blocked_loop_is_named_while_it_lasts(bench: Bench, start_naughty: Start) -> None:
    """Within two seconds the log and the worker's status say which job it is and where."""
    supervisor = start_naughty()
    await wait_until_async(bench.store.workers.list, timeout=20)
    job_id = await bench.submit(job_type="naughty.naps", payload=b'{"seconds": 4}')

    trouble = await wait_until_async(lambda: trouble_of(bench), timeout=3)
    line = supervisor.wait_for(r'^.*"loop_blocked".*$')
    await bench.final(job_id)

    assert trouble is not None
    assert (trouble.job_id, trouble.job_type, trouble.what) == (job_id, "naughty.naps", TroubleWord.BLOCKS_LOOP)
    said = json.loads(line[0])
    assert (said["job_id"], said["job_type"]) == (job_id, "naughty.naps")
    assert "naps" in said["where"]
    assert supervisor.output().count('"loop_blocked"') == 1


async def test_emp_workers_names_it_too(
    bench: Bench, start_naughty: Start, start_server: Callable[[], str], start_process: Start
) -> None:
    """Whoever lists the workers sees which job holds one up."""
    url = start_server()
    start_naughty()
    job_id = await bench.submit(job_type="naughty.naps", payload=b'{"seconds": 5}')
    await wait_until_async(lambda: trouble_of(bench), timeout=20)

    listing = start_process([EMP, "workers", "--url", url])

    assert await asyncio.to_thread(listing.wait) == 0
    listing.wait_for(rf"job {job_id} \(naughty\.naps\) blocks the event loop")


async def test_when_the_loop_is_back_the_status_is_clear(bench: Bench, start_naughty: Start) -> None:
    """The trouble goes from the status; how long it was stays as the lag."""
    start_naughty()
    await bench.final(await bench.submit(job_type="naughty.naps", payload=b'{"seconds": 2}'), timeout=20)

    async def clear() -> float:
        (worker,) = await bench.store.workers.list()
        return 0.0 if worker.troubles else worker.loop_lag

    assert await wait_until_async(clear, timeout=3) > BLOCKED_AFTER


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "ends"])
async def test_the_jobs_own_log_says_that_it_blocked_the_loop(bench: Bench, *, goes_on: bool) -> None:
    """Also when the handler has nothing more to do once the loop is back."""

    async def handler(payload: Nothing) -> None:
        block_loop(BLOCKED_AFTER + 0.6)
        if goes_on:
            await asyncio.sleep(0.5)

    done = await bench.run_one(JobType(TYPE, handler))

    (line,) = [json.loads(line) for line in await bench.store.views.log(done.job.job_id)]
    assert line["level"] == "warning"
    assert "blocked the worker's event loop for 1." in line["message"]
    assert "block_loop" in line["message"]


async def test_a_loop_that_is_blocked_for_two_leases_costs_no_lease(
    bench: Bench, start_naughty: Start, tmp_path: Path
) -> None:
    """The job runs once and completes, under the worker's first id."""
    start_naughty()
    (before,) = await wait_until_async(bench.store.workers.list, timeout=20)
    payload = json.dumps({"seconds": 31, "mark": str(tmp_path / "marks")}).encode()

    done = await bench.final(await bench.submit(job_type="naughty.naps", payload=payload), timeout=45)

    assert (done.job.state, done.job.attempt, done.job.losses) == (JobState.COMPLETED, 1, 0)
    assert (tmp_path / "marks").read_text() == "begun\n"
    assert [worker.worker_id for worker in await bench.store.workers.list()] == [before.worker_id]


async def test_a_job_that_blocks_the_loop_beyond_its_time_limit_ends_its_worker(
    bench: Bench, start_naughty: Start
) -> None:
    """Nothing on the loop could end it, and its neighbours would wait for ever."""
    start_naughty()
    neighbour = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 2}')
    await bench.until(neighbour, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    ended = await bench.final(
        await bench.submit(job_type="naughty.spins", timeout=timedelta(seconds=0.5), max_attempts=1)
    )
    innocent = await bench.final(neighbour)

    assert ended.job.reason is Reason.WORKER_LOST
    assert "blocked the event loop beyond its end" in json.loads(ended.error or b"{}")["message"]
    assert innocent.job.state is JobState.COMPLETED


async def test_a_job_that_blocks_the_loop_can_be_cancelled(bench: Bench, start_naughty: Start) -> None:
    """The wish comes with the next renewal, whose thread is not blocked; the worker is ended, the job is cancelled."""
    start_naughty()
    job_id = await bench.submit(job_type="naughty.spins")
    await wait_until_async(lambda: trouble_of(bench), timeout=20)

    await bench.store.jobs.cancel([CancelAsk(job_id, "ann")])
    ended = await bench.final(job_id, timeout=12)

    assert ended.job.state is JobState.CANCELLED


async def test_an_unanswered_question_counts_as_lag() -> None:
    """A loop that does not answer at all is not reported as punctual."""
    watch = LoopWatch(Troubles(lambda: None), lambda _: None)

    watch.look()
    block_loop(0.1)

    assert watch.lag() >= 0.1


async def test_after_a_freeze_nobody_is_to_blame() -> None:
    """The whole process stood still: who looks after a long time gives the loop a chance to answer first."""
    watch = LoopWatch(Troubles(lambda: None), lambda _: None)

    async def job() -> None:
        watch.look()
        block_loop(BLOCKED_AFTER + 0.2)
        watch.look()

    await asyncio.create_task(job(), name=job_name(new_job_id(), TYPE))

    assert watch.blocked is None


def test_a_jobs_name_is_read_back() -> None:
    """Tasks that a handler or a library starts have other names."""
    assert job_of(job_name("abc", "image.thumbnail")) == ("abc", "image.thumbnail")
    assert job_of("Task-12") is None
