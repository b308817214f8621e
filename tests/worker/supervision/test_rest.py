"""What a worker costs when there is nothing to do, and what it has become after a hundred thousand jobs."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from emp_core.store import PARTITION, Store, open_store
from emp_core.store.keys import Keys
from support.processes import StartedProcess
from support.stores import StartedStore, started_store
from support.waiting import wait_until, wait_until_async

from .conftest import EMP

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

StartProcess = Callable[..., StartedProcess]
TYPE = "simulation.run"
KEYS = Keys("rest", PARTITION)
SECONDS = 10
"""How long an idle worker is listened to."""
WARM_UP, JOBS, BATCH = 20_000, 100_000, 1000


@dataclass(frozen=True)
class Footprint:
    """What a worker process holds: memory in KiB, descriptors, threads; and the store for it: connections, keys."""

    memory: int
    descriptors: int
    threads: int
    connections: int
    keys: int


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[StartedStore, Store]]:
    """Give a store that nobody else uses."""
    with started_store(tmp_path / "store") as started:
        async with open_store(started.url, "rest") as store:
            yield started, store


def start_worker(own: StartedStore, start_process: StartProcess, *options: str) -> StartedProcess:
    """Start a worker with the installed plugins, and wait until it can be given jobs."""
    worker = start_process([EMP, "worker", "--redis-url", own.url, "--namespace", "rest", *options])
    wait_until(lambda: own.client.zcard(KEYS("workers")), 20)
    return worker


async def submit(store: Store, count: int, retention: timedelta | None = None) -> None:
    """Submit jobs that take no time."""
    payload = b'{"steps":1,"step_seconds":0}'
    for _ in range(count // BATCH):
        await store.jobs.submit([Submission(new_job_id(), TYPE, payload, retention=retention) for _ in range(BATCH)])


def said_in(store: StartedStore, seconds: float) -> list[str]:
    """Give the commands that clients send meanwhile; what scripts call in turn is not theirs."""
    heard = []
    with store.client.monitor() as monitor:
        end = time.monotonic() + seconds
        for command in monitor.listen():
            if time.monotonic() > end:
                return heard
            if command["client_type"] != "lua":
                heard.append(command["command"])
    raise AssertionError("the store hung up")


async def test_a_paused_type_with_a_thousand_jobs_costs_an_idle_worker_two_commands_a_second(
    own: tuple[StartedStore, Store], start_process: StartProcess
) -> None:
    """It does not ask again and again for what it may not have."""
    started, store = own
    await store.types.pause(TYPE)
    await submit(store, 1000)
    start_worker(started, start_process)

    heard = said_in(started, SECONDS)

    assert heard
    assert len(heard) / SECONDS <= 2


async def footprint(own: StartedStore, store: Store, worker: StartedProcess) -> Footprint:
    """Wait until every job is over and gone, and look."""

    async def is_over() -> bool:
        counts = (await store.views.stats()).counts[TYPE]
        return counts["completed"] == counts["submitted"] and not own.client.exists(KEYS("retained"))

    await wait_until_async(is_over, 200)
    return held_by(own, worker)


def held_by(own: StartedStore, worker: StartedProcess) -> Footprint:
    """Look at a worker that has nothing to do."""
    (pid,) = [pid for pid, command in worker.left_running().items() if "-m emp_worker.process" in command]
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
    keys = [key for key in own.client.scan_iter(count=1000) if b":minute:" not in key]
    return Footprint(
        memory=numbers["VmRSS"],
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=numbers["Threads"],
        connections=len(own.client.client_list()),
        keys=len(keys),
    )


async def test_after_a_hundred_thousand_jobs_a_worker_is_as_it_was(
    own: tuple[StartedStore, Store], start_process: StartProcess
) -> None:
    """Memory, descriptors, threads and connections are back at their baseline, and no key of a job is left."""
    started, store = own
    worker = start_worker(started, start_process)
    await submit(store, WARM_UP, timedelta(seconds=1))
    before = await footprint(started, store, worker)

    await submit(store, JOBS, timedelta(seconds=1))
    after = await footprint(started, store, worker)

    print(f"before {before}\nafter  {after}")
    assert after.memory <= before.memory + 16 * 1024
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.connections <= before.connections
    assert after.keys == before.keys
