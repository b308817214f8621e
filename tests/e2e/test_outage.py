"""The store is killed under load: no job is lost, none is stuck, and everything comes back by itself."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from emp_core.errors import StoreUnavailable
from support.plain_http import ask
from support.processes import StartedProcess
from support.waiting import wait_until

from .conftest import Stack

JOBS = 500


def test_a_store_that_is_killed_and_restarted_loses_nothing(stack: Stack, worker: StartedProcess) -> None:
    """Valkey dies with -9 in the middle of 500 simulations, twice; each ends completed, and none ran again for it."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    payloads = [{"steps": chance.randint(1, 10), "step_seconds": 0.02} for _ in range(JOBS)]

    def submit(payload: dict[str, object]) -> str:
        return stack.client.submit("simulation.run", payload).id

    with ThreadPoolExecutor(8) as pool:
        ids = [pool.submit(submit, payload) for payload in payloads]
        for finished in (JOBS // 5, JOBS // 2):
            wait_until(lambda: completed(stack) >= finished, timeout=60)  # noqa: B023 - called before it changes
            stack.store.kill()
            stack.store.start()
        job_ids = [future.result(60) for future in ids]

    wait_until(lambda: completed(stack) == JOBS, timeout=60)
    jobs = [stack.client.get(job_id) for job_id in job_ids]
    assert Counter(job.state for job in jobs) == {"completed": JOBS}
    assert {job.attempt for job in jobs} == {1}
    assert len(set(job_ids)) == JOBS
    assert worker.popen.poll() is None
    assert stack.server.popen.poll() is None


def test_a_store_that_comes_back_empty_is_said_and_worked_on(stack: Stack, worker: StartedProcess) -> None:
    """What it held is gone: worker and server say so, `/readyz` counts it, and what is submitted now is performed."""
    stack.client.wait(stack.client.submit("simulation.run", {"steps": 1, "step_seconds": 0.01}).id)
    before = readiness(stack)

    stack.store.kill()
    shutil.rmtree(stack.store.data_dir / "appendonlydir")
    stack.store.start()

    after = wait_until(lambda: (now := readiness(stack)).get("emptied") == 1 and now, timeout=20)
    worker.wait_for("store_came_back_empty", timeout=30)
    stack.server.wait_for("store_came_back_empty")
    wait_until(lambda: any(each.workers_online for each in stack.client.job_types()), timeout=30)
    job = stack.client.wait(stack.client.submit("simulation.run", {"steps": 1, "step_seconds": 0.01}).id)
    assert job.state == "completed"
    assert (before["emptied"], before["durability"]["level"]) == (0, "process")
    assert before["epoch"] != after["epoch"]


def readiness(stack: Stack) -> dict[str, Any]:
    """Ask the server whether it is ready."""
    return dict(ask(f"{stack.url}/readyz").json())


def completed(stack: Stack) -> int:
    """Count what has completed, as the server says; a server whose store is away says nothing."""
    try:
        return stack.client.stats().counts.get("simulation.run", {}).get("completed", 0)
    except StoreUnavailable:
        return 0
