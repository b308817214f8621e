"""Stops and restarts: nothing is lost or charged, nothing hangs, nothing is restarted in vain."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from emp_core.ids import JobId
from emp_core.jobs import JobState
from support.bench import Bench
from support.pace import allowed
from support.scratch_plugins import install
from support.waiting import wait_until, wait_until_async

from .conftest import EMP, Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONG = b'{"steps": 600, "step_seconds": 0.1}'
BRIEF = b'{"steps": 4, "step_seconds": 0.5}'


async def are_all(bench: Bench, jobs: list[JobId], state: JobState) -> bool:
    """Tell whether all these jobs are in one state."""
    return all(job is not None and job.state is state for job in await bench.store.views.get(jobs))


async def test_a_hundred_running_jobs_survive_a_sigterm_uncharged(bench: Bench, start_worker: Start) -> None:
    """With a grace of 1 s the worker exits 0; another completes all, and none counts a second attempt."""
    first = start_worker("--grace", "1", "--concurrency", "100")
    jobs = [await bench.submit(job_type="simulation.run", payload=BRIEF) for _ in range(100)]
    await wait_until_async(lambda: are_all(bench, jobs, JobState.IN_PROGRESS), timeout=20)

    first.send(signal.SIGTERM)
    code = first.wait(10)
    start_worker()
    await wait_until_async(lambda: are_all(bench, jobs, JobState.COMPLETED), timeout=30)

    assert code == 0
    found = await bench.store.views.get(jobs)
    assert max(job.attempt for job in found if job is not None) == 1


async def test_a_signal_to_all_processes_at_once_leaves_the_grace(bench: Bench, start_worker: Start) -> None:
    """A service manager may send it to the worker process too, which its supervisor tells to drain as well."""
    supervisor = start_worker()
    job_id = await bench.submit(job_type="simulation.run", payload=BRIEF)
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    (worker,) = await bench.store.workers.list()

    os.kill(worker.pid, signal.SIGTERM)
    supervisor.send(signal.SIGTERM)
    code = await asyncio.to_thread(supervisor.wait)

    job = await bench.job(job_id)
    assert (code, job.state, job.attempt) == (0, JobState.COMPLETED, 1)


async def test_a_draining_worker_says_so(bench: Bench, start_worker: Start) -> None:
    """Told by a signal or from afar, it shows in its status at once."""
    supervisor = start_worker()
    job_id = await bench.submit(job_type="simulation.run", payload=LONG)
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    supervisor.send(signal.SIGTERM)

    async def is_draining() -> bool:
        return [worker.status for worker in await bench.store.workers.list()] == ["draining"]

    assert await wait_until_async(is_draining, timeout=2)


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_worker_with_a_blocked_loop_still_ends(bench: Bench, start_naughty: Start, signals: int) -> None:
    """Its loop cannot hear the signal: it is killed after the grace, or soon when told twice; its job is recovered."""
    supervisor = start_naughty("--grace", "0" if signals == 1 else "3600")
    job_id = await bench.submit(job_type="naughty.spins")
    supervisor.wait_for("loop_blocked")

    for count in range(signals):
        supervisor.send(signal.SIGTERM)
        supervisor.wait_for(f'"at_once": {"true" if count else "false"}')
    code = supervisor.wait(10)

    assert code == 0
    assert supervisor.left_running() == {}
    job = await bench.job(job_id)
    assert (job.state, job.attempt) == (JobState.PENDING, 1)


@pytest.mark.parametrize("handler", ["leaves_threads", "ignores_signals"])
async def test_what_handlers_have_left_behind_does_not_hold_up_the_end(
    bench: Bench, start_naughty: Start, handler: str
) -> None:
    """Threads that would be waited for, signals that are ignored: the running job goes back, and the worker ends."""
    supervisor = start_naughty("--grace", "0.1")
    await bench.final(await bench.submit(job_type=f"naughty.{handler}"), timeout=20)
    running = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 600}')
    await bench.until(running, lambda job: job.state is JobState.IN_PROGRESS)

    supervisor.send(signal.SIGTERM)
    code = await asyncio.to_thread(supervisor.wait, 4)

    job = await bench.job(running)
    assert (code, job.state, job.attempt, job.losses) == (0, JobState.PENDING, 0, 0)
    assert supervisor.left_running() == {}


async def test_a_killed_worker_is_back_within_two_seconds(bench: Bench, start_worker: Start) -> None:
    """From the death to the first lease of the next process, on the store's clock."""
    start_worker()
    (first,) = await wait_until_async(bench.store.workers.list, timeout=20)
    bound = timedelta(seconds=allowed(2.0, starts=8))

    os.kill(first.pid, signal.SIGKILL)
    (gone,) = await wait_until_async(bench.store.workers.gone)
    (second,) = await wait_until_async(bench.store.workers.list)

    assert second.pid != first.pid
    assert second.started_at - gone.renewed_at < bound


COUNTED = """
import os
from pathlib import Path
from emp_worker import hookimpl

with Path(os.environ["IMPORTS"]).open("a") as imports:
    imports.write("imported\\n")

@hookimpl
def emp_worker_started(worker):
    pass
"""


async def test_plugins_that_a_worker_has_served_with_are_not_tried_again_when_it_is_restarted(
    bench: Bench, start_worker: Start, tmp_path: Path
) -> None:
    """The first process loads them in a child first; the second one has jobs that wait."""
    site, imports = tmp_path / "site", tmp_path / "imports"
    site.mkdir()
    install(site, "emp-plugin-counted", COUNTED)
    start_worker(PYTHONPATH=str(site), IMPORTS=str(imports))
    (first,) = await wait_until_async(bench.store.workers.list, timeout=20)
    before = len(imports.read_text().splitlines())

    os.kill(first.pid, signal.SIGKILL)
    await wait_until_async(bench.store.workers.gone)
    await wait_until_async(bench.store.workers.list)

    assert (before, len(imports.read_text().splitlines())) == (2, 3)


EXITS = """
import os
from emp_worker import hookimpl

@hookimpl
def emp_worker_started(worker):
    os._exit(3)
"""


async def test_a_crash_loop_backs_off(start_worker: Start, tmp_path: Path) -> None:
    """The first restart is at once; then each waits twice as long as the one before."""
    site = tmp_path / "site"
    site.mkdir()
    install(site, "emp-plugin-broken", EXITS)
    supervisor = start_worker(PYTHONPATH=str(site))

    def pauses() -> list[float]:
        found = re.findall(r'"in_seconds": ([0-9.]+).*"worker_restarts"', supervisor.output())
        return [float(pause) for pause in found]

    assert wait_until(lambda: pauses() if len(pauses()) >= 3 else [], timeout=20)[:3] == [0.0, 0.2, 0.4]


async def test_emp_workers_drain_ends_a_worker(
    bench: Bench, start_worker: Start, start_server: Callable[[], str], start_process: Start
) -> None:
    """`emp workers drain ID` over HTTP: the worker takes nothing more, ends with 0, and is not started again."""
    url = start_server()
    supervisor = start_worker()
    (worker,) = await wait_until_async(bench.store.workers.list, timeout=20)

    drained = start_process([EMP, "workers", "drain", worker.worker_id, "--url", url])

    assert await asyncio.to_thread(drained.wait) == 0
    assert await asyncio.to_thread(supervisor.wait, 15) == 0
    assert [gone.status for gone in await bench.store.workers.gone()] == ["left"]


async def test_emp_job_cancel_ends_a_running_job_within_a_second(
    bench: Bench, start_worker: Start, start_server: Callable[[], str], start_process: Start
) -> None:
    """From the end of the command on; a simulation of a minute."""
    url = start_server()
    start_worker()
    job_id = await bench.submit(job_type="simulation.run", payload=LONG)
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    cancel = start_process([EMP, "job", "cancel", job_id, "--url", url])
    code = await asyncio.to_thread(cancel.wait)
    job = await bench.until(job_id, lambda job: job.state is JobState.CANCELLED, timeout=1)

    assert code == 0
    assert job.cancel_request is not None
    assert job.finished_at is not None
    assert job.finished_at - job.cancel_request.at < timedelta(seconds=1)
