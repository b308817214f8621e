"""`emp worker`: a supervisor and its worker processes, with real signals."""

from __future__ import annotations

import http.client
import os
import signal

import pytest

from emp_core.ids import JobId
from emp_core.jobs import JobState
from support.pace import allowed
from support.processes import free_port
from support.waiting import wait_until, wait_until_async

from .conftest import Bench

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONG = b'{"steps": 600, "step_seconds": 0.1}'
SHORT = b'{"steps": 1, "step_seconds": 0}'


async def running_job(bench: Bench, **fields: object) -> JobId:
    """Submit a long simulation and wait until it runs."""
    job_id = await bench.submit(job_type="simulation.run", payload=LONG, **fields)
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    return job_id


async def worker_pid(bench: Bench) -> int:
    """Give the process id of the one worker process."""
    workers = await wait_until_async(bench.store.workers.list, timeout=20)
    return workers[0].pid


async def test_a_killed_workers_job_waits_again_within_a_second_and_runs_soon_after(bench: Bench, start_worker) -> None:
    """The supervisor sees the death and reports it; nobody waits for a lease, and the worker is started again."""
    supervisor = start_worker()
    job_id = await running_job(bench)
    wait_within, run_within = allowed(1.0, starts=3), allowed(2.0, starts=8)

    os.kill(await worker_pid(bench), signal.SIGKILL)
    lost = await bench.until(job_id, lambda job: job.losses == 1, wait_within)
    again = await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, run_within)

    assert lost.state in {JobState.PENDING, JobState.CLAIMED, JobState.IN_PROGRESS}
    assert (again.attempt, again.worker_id != lost.worker_id or lost.worker_id is None) == (2, True)
    details = await bench.store.views.details(job_id)
    assert details is not None
    assert b"SIGKILL" in (details.attempts[0].error or b"")
    assert supervisor.popen.poll() is None


@pytest.mark.parametrize("children", ["1", "2"])
async def test_more_lost_jobs_than_cores_run_again_at_once(bench: Bench, start_worker, children: str) -> None:
    """Each is alone in a child process, and none waits for the end of another, which runs for a minute."""
    start_worker("--children", children)
    jobs = [await running_job(bench) for _ in range(5)]
    run_within = allowed(3.0, starts=14)

    os.kill(await worker_pid(bench), signal.SIGKILL)

    async def are_running_again() -> bool:
        found = [await bench.job(each) for each in jobs]
        return all((job.state, job.losses, job.attempt) == (JobState.IN_PROGRESS, 1, 2) for job in found)

    assert await wait_until_async(are_running_again, run_within)


async def test_sigterm_drains_and_leaves_nothing_behind(bench: Bench, start_worker) -> None:
    """The worker exits 0, its jobs are back uncharged, its lease is gone."""
    supervisor = start_worker("--grace", "0.1")
    job_id = await running_job(bench)

    supervisor.send(signal.SIGTERM)
    code = supervisor.wait(10)

    job = await bench.job(job_id)
    assert (code, job.state, job.attempt) == (0, JobState.PENDING, 0)
    assert await bench.store.workers.list() == []
    assert supervisor.left_running() == {}


async def test_a_second_signal_ends_the_grace(bench: Bench, start_worker) -> None:
    """Ctrl-C twice is enough."""
    supervisor = start_worker("--grace", "3600")
    await running_job(bench)

    supervisor.interrupt_group()
    supervisor.wait_for('"draining"|draining')
    supervisor.interrupt_group()

    assert supervisor.wait(10) == 0


async def test_a_worker_without_its_supervisor_drains(bench: Bench, start_worker) -> None:
    """No worker process is left behind by a supervisor that was killed."""
    supervisor = start_worker("--grace", "0.1")
    job_id = await running_job(bench)

    supervisor.send(signal.SIGKILL)
    await bench.until(job_id, lambda job: job.state is JobState.PENDING)

    wait_until(lambda: supervisor.left_running() == {})


async def test_a_drained_worker_is_not_started_again(bench: Bench, start_worker) -> None:
    """A drain from afar ends the whole command, with 0."""
    supervisor = start_worker()
    (worker,) = await wait_until_async(bench.store.workers.list, timeout=20)

    await bench.store.workers.drain(worker.worker_id)

    assert supervisor.wait(15) == 0


@pytest.mark.parametrize(
    ("options", "env", "reason"),
    [
        ((), {"EMP_PLUGINS": ""}, "no job type to serve"),
        (("--types", "none.*"), {}, r"no installed job type matches none\.\*"),
        (("--concurrency", "0"), {}, "concurrency"),
        (("--redis-url", "nonsense"), {}, "redis_url"),
    ],
    ids=["no plugin", "no type", "bad setting", "bad URL"],
)
async def test_what_cannot_start_exits_2_and_says_why(
    start_worker, options: tuple[str, ...], env: dict[str, str], reason: str
) -> None:
    """A mistake is told once, not retried for ever."""
    supervisor = start_worker(*options, **env)

    assert supervisor.wait(20) == 2
    supervisor.wait_for(reason)


async def test_only_the_wanted_types_are_served(bench: Bench, start_worker) -> None:
    """`--types` takes shell patterns."""
    start_worker("--types", "simulation.*")
    (worker,) = await wait_until_async(bench.store.workers.list, timeout=20)

    assert sorted(worker.types) == ["simulation.run", "simulation.run_blocking"]


async def test_several_processes_each_have_a_lease(bench: Bench, start_worker) -> None:
    """`--processes 2` makes two workers under one supervisor."""
    start_worker("--processes", "2")

    async def two() -> bool:
        return len({worker.pid for worker in await bench.store.workers.list()}) == 2

    await wait_until_async(two, timeout=20)


async def test_health_is_answered(bench: Bench, start_worker) -> None:
    """`/livez` at once, `/readyz` when the worker has its lease."""
    port = free_port()
    start_worker("--health-port", str(port))

    def status(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    wait_until(lambda: status("/livez") == 200, timeout=20)
    wait_until(lambda: status("/readyz") == 200, timeout=20)
    assert status("/nothing") == 404


async def test_a_dead_machines_jobs_run_again_within_a_lease_and_a_second(bench: Bench, start_worker) -> None:
    """Supervisor and worker killed at once: any other worker takes over when the lease is over."""
    first = start_worker()
    job_id = await running_job(bench)
    second = start_worker()
    await wait_until_async(lambda: two_workers(bench), timeout=20)

    for pid in first.left_running():
        os.kill(pid, signal.SIGKILL)
    again = await bench.until(job_id, lambda job: job.losses == 1 and job.state is JobState.IN_PROGRESS, timeout=16.5)

    assert again.attempt == 2
    assert second.popen.poll() is None


async def two_workers(bench: Bench) -> bool:
    """Tell whether two workers have a lease."""
    return len(await bench.store.workers.list()) == 2


async def test_a_late_finish_of_a_stopped_and_continued_worker_is_refused(bench: Bench, start_worker) -> None:
    """Suspended past its lease, resumed: the newer result stands, the late write is counted as refused."""
    frozen = start_worker()
    job_id = await bench.submit(job_type="simulation.run", payload=b'{"steps": 20, "step_seconds": 0.1}')
    await bench.until(job_id, lambda job: job.fraction > 0.2, timeout=20)
    pid = await worker_pid(bench)
    frozen.send(signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    start_worker()
    done = await bench.final(job_id, timeout=60)

    os.kill(pid, signal.SIGCONT)
    frozen.send(signal.SIGCONT)
    frozen.wait_for("lease_lost", timeout=20)
    await bench.final(await bench.submit(job_type="simulation.run", payload=SHORT))

    after = await bench.store.views.details(job_id)
    assert after == done
    assert done.job.attempt == 2
    assert done.job.state is JobState.COMPLETED
