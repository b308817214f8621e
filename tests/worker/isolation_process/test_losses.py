"""Jobs whose process died under them: where they run again, and what is charged to whom."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from emp_core.ids import JobId
from emp_core.jobs import FINAL_STATES, JobState, Reason
from support.bench import Bench
from support.pace import allowed
from support.processes import StartedProcess
from support.waiting import wait_until_async

from .conftest import DISTRIBUTION

pytestmark = pytest.mark.anyio

Start = Callable[..., StartedProcess]


@pytest.mark.parametrize("are_begun", [True, False], ids=["a loss", "a suspicion"])
async def test_a_job_that_lost_its_worker_runs_in_a_child(bench: Bench, types, are_begun: bool) -> None:
    """In another process than its worker's, whatever its type says; others of its type do not."""
    lost = await bench.submit(job_type="hostile.who_in_place")
    await bench.lose(lost, are_begun=are_begun)
    other = await bench.submit(job_type="hostile.who_in_place")

    async with bench.work(types["who_in_place"], plugins=(DISTRIBUTION,)):
        in_child, in_place = await bench.final(lost), await bench.final(other)

    assert in_child.job.losses == int(are_begun)
    assert json.loads(in_child.result or b"")["pid"] != os.getpid()
    assert json.loads(in_place.result or b"")["pid"] == os.getpid()


async def test_jobs_with_one_loss_share_children_and_a_job_with_two_is_alone(bench: Bench, types) -> None:
    """The first loss may be a neighbour's doing."""
    twice = await bench.submit(job_type="hostile.who_in_place")
    await bench.lose(twice)
    await bench.lose(twice)
    once = [await bench.submit(job_type="hostile.who_in_place", priority=1) for _ in range(3)]
    await bench.lose(*once)

    async with bench.work(types["who_in_place"], plugins=(DISTRIBUTION,), children_alone=1):
        shared = {json.loads((await bench.final(each)).result or b"")["pid"] for each in once}
        alone = json.loads((await bench.final(twice)).result or b"")["pid"]

    assert len(shared) == 1
    assert alone not in shared


READS_ITS_STATE = """
import redis
from pydantic import BaseModel
from emp_worker import JobType, hookimpl

class Where(BaseModel):
    url: str
    key: str

async def reads(where: Where) -> list[str]:
    with redis.Redis.from_url(where.url, decode_responses=True) as client:
        return client.hmget(where.key, "state", "place")

@hookimpl
def emp_job_types():
    return [JobType("test.reads", reads)]
"""


async def test_the_store_has_the_start_of_a_job_in_doubt_before_its_handler_is_called(
    bench: Bench, install_plugin, site: Path, start_worker: Start
) -> None:
    """So a job that is found claimed after a worker's death was surely not begun."""
    install_plugin("emp-test-reads", READS_ITS_STATE)
    job_id = JobId("01h455vb4pex5vsknk084sn02q")
    payload = {"url": bench.url, "key": f"{{emp:{bench.namespace}:00}}:job:{job_id}"}
    await bench.submit(job_id=job_id, job_type="test.reads", payload=json.dumps(payload).encode())
    await bench.lose(job_id)

    start_worker(PYTHONPATH=str(site))
    done = await bench.final(job_id, timeout=30)

    assert json.loads(done.result or b"") == ["in_progress", "child"]


KILLERS = """
import asyncio, os, signal, time
from datetime import timedelta
from pydantic import BaseModel
from emp_worker import Backoff, JobType, hookimpl

class Way(BaseModel):
    path: str
    at_once: bool

def end(way):
    if way.at_once:
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)

def begin(way):
    with open(way.path, "a") as starts:
        starts.write("begun\\n")

async def awaits(way: Way) -> None:
    begin(way)
    if not way.at_once:
        await asyncio.sleep(0.3)
    end(way)

def blocks(way: Way) -> None:
    begin(way)
    if not way.at_once:
        time.sleep(0.3)
    end(way)

@hookimpl
def emp_job_types():
    quick = Backoff(timedelta(seconds=0.05), 1.0)
    return [
        JobType("killer.async", awaits, backoff=quick),
        JobType("killer.thread", blocks, backoff=quick),
        JobType("killer.process", blocks, isolation="process", backoff=quick),
    ]
"""


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "after a while"])
@pytest.mark.parametrize("mode", ["async", "thread", "process"])
async def test_a_job_that_always_kills_its_process_is_begun_three_times_at_most(
    bench: Bench, install_plugin, site: Path, start_worker: Start, tmp_path: Path, mode: str, at_once: bool
) -> None:
    """However many attempts it has; it is charged for each, and its neighbours finish."""
    install_plugin("emp-test-killers", KILLERS)
    starts = tmp_path / "starts"
    steps = b'{"steps": 10, "step_seconds": 0.1}'
    neighbours = [await bench.submit(job_type="simulation.run", payload=steps) for _ in range(3)]
    payload = json.dumps({"path": str(starts), "at_once": at_once}).encode()
    killer = await bench.submit(job_type=f"killer.{mode}", payload=payload, max_attempts=9)

    start_worker(PYTHONPATH=str(site))
    done = await bench.final(killer, timeout=30)
    beside = [await bench.final(each, timeout=30) for each in neighbours]

    assert (done.job.state, done.job.reason, done.job.losses) == (JobState.FAILED, Reason.POISONED, 3)
    assert len(starts.read_text().splitlines()) == 3
    assert {each.job.state for each in beside} == {JobState.COMPLETED}
    assert {each.job.losses for each in beside} <= {0, 1}


@pytest.mark.slow
async def test_jobs_whose_worker_is_killed_three_times_are_not_poisoned(bench: Bench, start_worker: Start) -> None:
    """Most wait for a child when it is; those are charged nothing, and those that run in one no loss."""
    steps = b'{"steps": 10, "step_seconds": 0.1}'
    jobs = [await bench.submit(job_type="simulation.run", payload=steps, max_attempts=9) for _ in range(50)]
    start_worker("--concurrency", "60", "--children-alone", "8")
    killed: list[int] = []

    async def busy_worker() -> int:
        """Return the process of a worker that holds most jobs, performs some of them, and was not killed yet."""
        running = [job for job in await bench.store.views.get(jobs) if job and job.state is JobState.IN_PROGRESS]
        workers = await bench.store.workers.list()
        return next((each.pid for each in workers if running and each.held > 40 and each.pid not in killed), 0)

    for _ in range(3):
        killed.append(await wait_until_async(busy_worker, timeout=30))
        os.kill(killed[-1], signal.SIGKILL)
    ended = [await bench.final(each, timeout=60) for each in jobs]

    assert {each.job.state for each in ended} == {JobState.COMPLETED}
    assert {each.job.losses for each in ended} <= {0, 1}
    assert sum(each.job.attempt > 2 for each in ended) < len(jobs) / 2


@pytest.mark.slow
async def test_five_hundred_lost_jobs_run_again_within_ten_seconds(bench: Bench, start_worker: Start) -> None:
    """Warm children take one after the other; none is started for each."""
    steps = b'{"steps": 1, "step_seconds": 0.05}'
    jobs = [await bench.submit(job_type="simulation.run", payload=steps) for _ in range(500)]
    await bench.lose(*jobs)

    start_worker()
    await wait_until_async(bench.store.workers.list, timeout=20)
    within, began = allowed(10.0, starts=40), time.monotonic()

    async def have_ended() -> bool:
        return all(job and job.state in FINAL_STATES for job in await bench.store.views.get(jobs))

    assert await wait_until_async(have_ended, timeout=within)
    print(f"{len(jobs)} lost jobs of 50 ms ran again within {time.monotonic() - began:.1f} s")
